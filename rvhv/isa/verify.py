"""The verifier: what must hold of every row before anything is rendered from it."""

from __future__ import annotations

from itertools import combinations

from rvhv.isa.effects import (
    FLOAT_FORMATS,
    FLOAT_OPS,
    Amo,
    Branch,
    Call,
    CsrAccess,
    Float,
    Jump,
    Load,
    LoadReserved,
    Store,
    StoreConditional,
    UseFloat,
)
from rvhv.isa.expr import INT64_MIN, MASK64, OPS, E, const, node, select
from rvhv.isa.rows import CONTEXT_LEAVES, DESTINATIONS, Insn, Registry

Problem = str


def _shift_is_masked(amount: E) -> bool:
    if amount.op == "const":
        value = amount.args[0]
        return isinstance(value, int) and value < 64
    if amount.op == "and":
        return any(k.op == "const" and isinstance(k.args[0], int) and k.args[0] < 64 for k in amount.kids)
    return False


def _divisor_is_guarded(op: str, x: E, divisor: E) -> bool:
    """The divisor is `select(it is zero [or the division overflows], 1, it)`."""
    if divisor.op == "const":
        return divisor.args[0] not in (0, MASK64)
    if divisor.op != "select" or divisor.kids[1] != const(1):
        return False
    y = divisor.kids[2]
    zero = node("eq", y, 0)
    overflow = node("eq", x, INT64_MIN) & node("eq", y, MASK64)
    return divisor == select(zero | overflow, 1, y) or (op in ("udiv", "urem") and divisor == select(zero, 1, y))


def check_expr(expr: E, leaves: set[str]) -> list[Problem]:
    """Known operations, known leaves, masked shifts, guarded divisors."""
    problems = []
    for n in expr.walk():
        if n.op == "leaf":
            if n.args[0] not in leaves:
                problems.append(f"reads {n.args[0]}, which is not an operand or defined before")
        elif n.op == "const":
            value = n.args[0]
            if not isinstance(value, int) or not 0 <= value <= MASK64:
                problems.append(f"constant {value!r} is not a 64-bit value")
        elif n.op not in OPS:
            problems.append(f"unknown operation {n.op}")
        elif n.op in ("shl", "shr", "sar") and not _shift_is_masked(n.kids[1]):
            problems.append(f"{n.op} by an amount that is not masked to 0..63")
        elif n.op in ("udiv", "urem", "sdiv", "srem") and not _divisor_is_guarded(n.op, *n.kids):
            problems.append(f"{n.op} by a divisor that is not guarded")
    return problems


def _effect_inputs(effect: object) -> list[E]:
    match effect:
        case Load(addr=addr) | LoadReserved(addr=addr):
            return [addr]
        case Store(addr=addr, value=value) | StoreConditional(addr=addr, value=value):
            return [addr, value]
        case Amo(addr=addr):
            return [addr]
        case CsrAccess(csr=csr, reads=reads, writes=writes):
            return [csr, reads, writes]
        case Branch(cond=cond, target=target):
            return [cond, target]
        case Jump(target=target):
            return [target]
        case Call(args=args):
            return list(args)
        case UseFloat(rm=rm):
            return [rm]
        case Float(mode=mode, args=args):
            return [mode, *args]
    raise TypeError(effect)


def _float_problems(effect: Float) -> list[Problem]:
    problems = []
    if effect.fmt not in FLOAT_FORMATS:
        problems.append(f"unknown format {effect.fmt}")
    if effect.op not in FLOAT_OPS:
        problems.append(f"unknown floating-point operation {effect.op}")
    elif len(effect.args) != FLOAT_OPS[effect.op]:
        problems.append(f"{effect.op} takes {FLOAT_OPS[effect.op]} operands, not {len(effect.args)}")
    return problems


def check_insn(insn: Insn) -> list[Problem]:
    """The fields of the encoding are disjoint and fill it; effects are in order; each destination is written once."""
    problems = []
    covered = insn.encoding.mask
    for f in insn.encoding.fields:
        if covered & f.insn_mask:
            problems.append(f"field {f.name} overlaps other bits")
        covered |= f.insn_mask
    if covered != (1 << 8 * insn.encoding.length) - 1:
        problems.append("its encoding leaves bits undefined")
    leaves = set(insn.encoding.by_name) - set(DESTINATIONS) | set(CONTEXT_LEAVES)
    transfers = 0
    if insn.uses_float and not (insn.effects and isinstance(insn.effects[0], UseFloat)):
        problems.append("has an F register but does not begin by using floating point")
    for position, effect in enumerate(insn.effects):
        for e in _effect_inputs(effect):
            problems += check_expr(e, leaves)
        if isinstance(effect, Float):
            problems += _float_problems(effect)
        temp = getattr(effect, "temp", None)
        if temp is not None:
            if temp in leaves:
                problems.append(f"{temp} is defined twice")
            leaves.add(temp)
        update = getattr(effect, "update", None)
        if update is not None:
            problems += check_expr(update, leaves)
        if isinstance(effect, Branch | Jump | Call):
            transfers += 1
            if position != len(insn.effects) - 1:
                problems.append("a control transfer is not its last effect")
    writes_memory = sum(isinstance(e, Store | Amo | StoreConditional | CsrAccess) for e in insn.effects)
    if writes_memory > 1 or transfers > 1:
        problems.append("writes one destination more than once")
    if insn.result is not None:
        if insn.encoding.by_name.keys().isdisjoint(DESTINATIONS):
            problems.append("has a result but no rd")
        problems += check_expr(insn.result, leaves)
    return [f"{insn.name}: {p}" for p in problems]


def _overlap(a: Insn, b: Insn) -> bool:
    return (a.encoding.match ^ b.encoding.match) & a.encoding.mask & b.encoding.mask == 0


def _is_special_case(insn: Insn, general: Insn) -> bool:
    """Every word of `insn` is one of `general`, and not the other way round."""
    wide = general.encoding.mask
    return _overlap(insn, general) and insn.encoding.mask & wide == wide and insn.encoding.mask != wide


def check_overlaps(registry: Registry) -> list[Problem]:
    """No word matches two instructions but one that overrides the other, and no halfword two compressed rows that their
    `where` does not tell apart."""
    problems = []
    for a, b in combinations(registry.insns.values(), 2):
        if _overlap(a, b) and a.overrides != b.name and b.overrides != a.name:
            problems.append(f"{a.name} and {b.name}: their encodings overlap")
    for insn in registry.insns.values():
        if insn.overrides is None:
            continue
        general = registry.insns.get(insn.overrides)
        if general is None:
            problems.append(f"{insn.name}: overrides {insn.overrides}, which does not exist")
        elif not _is_special_case(insn, general):
            problems.append(f"{insn.name}: is not a special case of {general.name}, which it overrides")
    for half in range(0x10000):
        if half & 3 == 3:
            continue
        rows = [
            r.name
            for r in registry._compressed_by_quadrant[half & 3, half >> 13]
            if half & r.encoding.mask == r.encoding.match and r.where(r.encoding.extract(half))
        ]
        if len(rows) > 1:
            problems.append(f"{half:#06x} matches {' and '.join(rows)}")
    return problems


def check_compressed(registry: Registry) -> list[Problem]:
    problems = []
    for row in registry.compressed.values():
        base = registry.insns.get(row.base)
        if base is None:
            problems.append(f"{row.name}: no base instruction {row.base}")
        elif set(row.operands) != set(base.encoding.by_name):
            problems.append(f"{row.name}: operands {sorted(row.operands)} are not those of {row.base}")
        for source in row.operands.values():
            if isinstance(source, str) and source not in row.encoding.by_name:
                problems.append(f"{row.name}: its encoding has no field {source}")
    return problems


def check_csrs(registry: Registry, slots: set[str]) -> list[Problem]:
    """Numbers are unique, fields disjoint, expressions sound, aliases exist."""
    problems = []
    if len(registry.csr_by_number) != len(registry.csrs):
        problems.append("two CSRs share a number")
    leaves = slots | {"value", "pending", "time", "cycle", "instret"}
    for row in registry.csrs.values():
        mine: list[Problem] = []
        mine += check_expr(row.read, leaves)
        if row.modify is not None:
            mine += check_expr(row.modify, leaves)
        for slot, e in row.writes:
            if slot not in slots:
                mine.append(f"writes {slot}, which is not a slot")
            mine += check_expr(e, leaves)
        if len({slot for slot, _ in row.writes}) != len(row.writes):
            mine.append("writes one slot twice")
        for guard, kind in row.guards:
            mine += check_expr(guard, leaves)
            if kind not in ("illegal", "virtual"):
                mine.append(f"guard of kind {kind}")
        used = 0
        for f in row.fields:
            if used & f.mask:
                mine.append(f"field {f.name} overlaps another")
            used |= f.mask
        if row.vs is not None and row.vs not in registry.csrs:
            mine.append(f"its alias {row.vs} does not exist")
        problems += [f"{row.name}: {p}" for p in mine]
    return problems


def verify(registry: Registry, slots: set[str]) -> list[Problem]:
    """Every problem of every row, one sentence each; an empty list is a sound ISA."""
    problems = [p for insn in registry.insns.values() for p in check_insn(insn)]
    problems += check_overlaps(registry) + check_compressed(registry) + check_csrs(registry, slots)
    codes: set[tuple[bool, int]] = set()
    for cause in registry.causes.values():
        if (cause.interrupt, cause.code) in codes:
            problems.append(f"{cause.name}: its code is taken")
        codes.add((cause.interrupt, cause.code))
    return problems
