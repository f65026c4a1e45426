"""Which registers the code behind an entry reads before it writes them: the ones that an entry has to load."""

from __future__ import annotations

from collections import Counter

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


def live_at_starts(region: Region) -> dict[int, set[str]]:
    """For each block the registers whose values at its start matter to it or what comes after it."""
    first, killed = {}, {}
    for at, block in region.blocks.items():
        need, have = set[str](), set[str]()
        for step in block.steps:
            need |= reads(step) - have
            have |= writes(step)
        first[at], killed[at] = need, have
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
    return live


def _all_successors(region: Region, at: int) -> list[int]:
    """A jump through a register may go to any entry."""
    block = region.blocks[at]
    return [*block.successors, *(region.entries if block.last.kind is Kind.INDIRECT else ())]


MOST_VARIABLES = {"x": 7, "f": 12}  # of a loop: more the host's registers do not hold, besides what every region needs
LOOP_WEIGHT, DEEPEST = 8, 4


def variables(region: Region) -> dict[int, frozenset[str]]:
    """For each block the registers that have variables in it: those that its innermost loop names most often, in loops within
    it more. A block in no loop counts as in one with all others. The rest stay in the state."""
    loops = {(s, at) for at, block in region.blocks.items() for s in block.successors if s <= at}
    spans = sorted(loops, key=lambda s: (s[1] - s[0], s))
    around = {at: [span for span in spans if span[0] <= at <= span[1]] for at in region.blocks}
    named = {at: Counter(r for step in block.steps for r in reads(step) | writes(step)) for at, block in region.blocks.items()}
    found: dict[tuple[int, int] | None, frozenset[str]] = {}
    for span in (*spans, None):
        inside = [at for at in region.blocks if span is None or span[0] <= at <= span[1]]
        weight = Counter[str]()
        for at in inside:
            for register, times in named[at].items():
                weight[register] += times * LOOP_WEIGHT ** min(len(around[at]), DEEPEST)
        ranked = sorted(weight, key=lambda r: (-weight[r], r))
        found[span] = frozenset(r for file, most in MOST_VARIABLES.items() for r in [r for r in ranked if r[0] == file][:most])
    return {at: found[around[at][0] if around[at] else None] for at in region.blocks}
