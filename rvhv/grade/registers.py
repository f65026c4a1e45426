"""The hart's registers as a part may use them: those of VS-mode, and of HS-mode what is not set up once and for all."""

from __future__ import annotations

from rvhv.grade.part import Offered, items, method, u64, whole, word
from rvhv.hv.cpu import INTERRUPTS, REGISTERS, Registers
from rvhv.hv.world import ENTRY_CSRS, GUEST_CSRS

CSRS = (*ENTRY_CSRS, *GUEST_CSRS, *"vsie vsip hip time scause stval htval htinst".split())
FIELDS_OF = {
    "hgatp": "MODE VMID PPN",
    "hstatus": "SPV SPVP GVA HU VGEIN VTVM VTW VTSR VSXL",
    "sstatus": "SIE SPIE SPP FS SUM MXR UXL",
    "vsstatus": "SIE SPIE SPP FS SUM MXR UXL",
    "vstvec": "BASE MODE",
    "hie": " ".join(f"{stem}E" for stem in INTERRUPTS),
    "hip": " ".join(f"{stem}P" for stem in INTERRUPTS),
    "hvip": " ".join(f"{stem}P" for stem in INTERRUPTS),
}


def offered_registers(cpu: Registers) -> Offered:
    """`cpu`, for a part."""
    number = whole(0, REGISTERS - 1)

    def put_x(n: int, value: int) -> None:
        if n:  # x0 is always zero
            cpu.x[n] = value

    def put_f(n: int, value: int) -> None:
        cpu.f[n] = value

    def mask(csr: str, field: str) -> int:
        if field not in FIELDS_OF[csr].split():
            raise ValueError(f"{csr} has no field {field:.20}: it has {FIELDS_OF[csr].replace(' ', ', ')}")
        return cpu.mask(csr, field)

    def text(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("the name of a field, such as SPV")
        return value

    return Offered(
        "cpu",
        {
            "x": items(lambda n: cpu.x[n], put_x, number),
            "f": items(lambda n: cpu.f[n], put_f, number),
            "read_csr": method(cpu.read_csr, name=word(CSRS)),
            "write_csr": method(cpu.write_csr, name=word(CSRS), value=u64),
            "mask": method(mask, csr=word(tuple(FIELDS_OF)), field=text),
        },
        cpu,
    )
