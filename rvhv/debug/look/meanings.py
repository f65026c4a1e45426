"""What the numbers in CSR fields mean, in the specification's words. The fields themselves are those of the rows."""

from __future__ import annotations

from functools import cache

from rvhv.core.registry import ISA
from rvhv.cpu import pte
from rvhv.hext.walks import protection
from rvhv.isa.render.syntax import ROUNDING_MODES
from rvhv.isa.rows import Csr, CsrField

INTERRUPT = 1 << 63
FS = {0: "Off", 1: "Initial", 2: "Clean", 3: "Dirty"}
XL = {1: "32-bit", 2: "64-bit", 3: "128-bit"}
ATP = {0: "Bare", **pte.MODES}
BY_NAME: dict[str, dict[int, str]] = {
    "FS": FS, "UXL": XL, "SXL": XL, "VSXL": XL, "MXL": XL,
    "MPP": {0: "U", 1: "S", 3: "M"},
    "frm": {number: name for name, number in ROUNDING_MODES.items()},
    "CBIE": {0: "cbo.inval traps", 1: "cbo.inval flushes", 3: "cbo.inval invalidates"},
    "type": {0: "none", 2: "mcontrol", 6: "mcontrol6", 15: "disabled"},
}  # fmt: skip
BY_CSR: dict[tuple[str, str], dict[int, str]] = {
    **{(csr, "MODE"): ATP for csr in ("satp", "vsatp")},
    ("hgatp", "MODE"): {0: "Bare", **{n: f"{name}x4" for n, name in pte.MODES.items()}},
    **{(csr, "MODE"): {0: "Direct", 1: "Vectored"} for csr in ("mtvec", "stvec", "vstvec")},
    **{(csr, "SPP"): {0: "U", 1: "S"} for csr in ("mstatus", "sstatus")},
    ("vsstatus", "SPP"): {0: "VU", 1: "VS"},
    ("hstatus", "SPVP"): {0: "VU", 1: "VS"},
}
ADDRESSES = frozenset({"mtvec", "stvec", "vstvec", "mepc", "sepc", "vsepc"})  # of instructions, but for their low bits
TIMERS = {"stimecmp": 0, "vstimecmp": 1}  # 1: compared with the guest's time


def meaning(csr: str, field: CsrField, number: int, value: int) -> str:
    """In a word or two what `number` in a field says, "" where the number says it; `value` is the whole CSR."""
    known = BY_CSR.get((csr, field.name)) or BY_NAME.get(field.name)
    if known is not None:
        return known.get(number, "reserved")
    if field.name == "Code":
        return cause_name(value)
    if field.name == "PPN":
        return f"root table at {number << pte.PAGE_BITS:#x}" if value >> pte.MODE_SHIFT else ""
    if field.name == "Extensions":
        return "".join(chr(ord("A") + n) for n in range(26) if number >> n & 1)
    if field.name.startswith("pmp") and number:
        lock = ", locked" if number & protection.L else ""
        return f"{protection.KINDS[number >> 3 & 3]} {protection.letters(number)}{lock}"
    return ""


@cache
def cause_name(value: int) -> str:
    """What a cause register says, in the manual's words; its number where the manual has none."""
    interrupt, code = value >= INTERRUPT, value & ~INTERRUPT
    for row in ISA.causes.values():
        if row.code == code and row.interrupt == interrupt:
            return row.text
    return f"{'interrupt' if interrupt else 'exception'} {code}"


def delegated(row: Csr, value: int) -> list[tuple[int, str]]:
    """Code and text of the exceptions that medeleg or hedeleg hands down, which their rows have no fields for."""
    if row.name not in ("medeleg", "hedeleg"):
        return []
    return [(cause.code, cause.text) for cause in ISA.causes.values() if not cause.interrupt and value >> cause.code & 1]
