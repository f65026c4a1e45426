"""Which registers the code behind an entry reads before it writes them: the ones that an entry has to load."""

from __future__ import annotations

from rvhv.isa.rows import FLOAT_OPERANDS
from rvhv.jit.form import Kind, Region, Step


def reads(step: Step) -> set[str]:
    """Registers that translated code takes from its own variables."""
    if step.kind in (Kind.LEAVE, Kind.ASSIST, Kind.NOTHING):
        return set()
    found = {f"x{n}" for name in ("rs1", "rs2", "rd") if (n := step.fields.get(name)) and (name != "rd" or _reads_rd(step))}
    return found | {f"f{step.fields[name]}" for name in FLOAT_OPERANDS - {"frd"} if name in step.fields}


def _reads_rd(step: Step) -> bool:
    return any(
        kid.op == "leaf" and kid.args[0] == "rd_value"
        for effect in step.insn.effects
        for part in vars(effect).values()
        if hasattr(part, "walk")
        for kid in part.walk()
    )


def writes(step: Step) -> set[str]:
    """Registers that translated code has in its own variables afterwards."""
    if step.kind in (Kind.LEAVE, Kind.NOTHING):
        return set()
    found = {f"x{step.fields['rd']}"} if step.fields.get("rd") else set()
    return found | ({f"f{step.fields['frd']}"} if "frd" in step.fields else set())


def live_at_entries(region: Region) -> tuple[dict[int, set[str]], set[str]]:
    """For each entry the registers to load, and all registers that the region has variables for."""
    first, killed, used = {}, {}, set[str]()
    for at, block in region.blocks.items():
        need, have = set[str](), set[str]()
        for step in block.steps:
            need |= reads(step) - have
            have |= writes(step)
        first[at], killed[at] = need, have
        used |= need | have
    successors = {at: _all_successors(region, at) for at in region.blocks}
    live = dict(first)
    changed = True
    while changed:
        changed = False
        for at in sorted(region.blocks, reverse=True):
            after = set[str]().union(*(live[s] for s in successors[at]))
            now = first[at] | (after - killed[at])
            if now != live[at]:
                live[at] = now
                changed = True
    return {at: live[at] for at in region.entries}, used


def _all_successors(region: Region, at: int) -> list[int]:
    """A jump through a register may go to any entry."""
    block = region.blocks[at]
    return [*block.successors, *(region.entries if block.last.kind is Kind.INDIRECT else ())]


MOST_VARIABLES = {"x": 7, "f": 12}  # of a region: more the host's registers do not hold, besides what every region needs
LOOP_WEIGHT, DEEPEST = 8, 4


def most_used(region: Region, used: set[str]) -> list[str]:
    """The registers that are worth a variable: by how often they are named, in loops more."""
    weight = dict.fromkeys(sorted(used), 0)
    spans = [(s, at) for at, block in region.blocks.items() for s in block.successors if s <= at]
    for at, block in region.blocks.items():
        depth = min(len({s for s, end in spans if s <= at <= end}), DEEPEST)
        for step in block.steps:
            for register in reads(step) | writes(step):
                weight[register] += LOOP_WEIGHT**depth
    ranked = sorted(weight, key=lambda r: -weight[r])
    return [r for file, most in MOST_VARIABLES.items() for r in [r for r in ranked if r[0] == file][:most]]
