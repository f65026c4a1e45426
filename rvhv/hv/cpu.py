"""The hart as parts of the hypervisor use it: registers by the specification's names, which a lab can hand out over a pipe."""

from __future__ import annotations

from typing import ClassVar, Protocol

from rvhv.cpu.csrs import VSEIP, VSSIP, VSTIP
from rvhv.cpu.state import SLOT
from rvhv.hart import Hart
from rvhv.hv.registers import field
from rvhv.sbi.table import Words

REGISTERS = 32
# hie, hip and hvip have the same fields; the manual ends their names in E and P
INTERRUPTS = {"VSSI": VSSIP, "VSTI": VSTIP, "VSEI": VSEIP}


class Registers(Protocol):
    """What a part may rely on: of the hart that it is in HS-mode on."""

    @property
    def x(self) -> Words:
        """The integer registers by number. Writing x[0] is a mistake."""

    @property
    def f(self) -> Words:
        """The floating-point registers by number."""

    def read_csr(self, name: str) -> int: ...

    def write_csr(self, name: str, value: int) -> None:
        """Through the CSR's WARL rule."""

    def mask(self, csr: str, name: str) -> int:
        """The bits of a CSR that are one of its fields."""


class Cpu:
    """`Registers` of a `Hart`."""

    NOT_STATE: ClassVar = ("x", "f")  # the hart's own words

    def __init__(self, hart: Hart) -> None:
        self.hart = hart
        self.x: Words = hart.state[SLOT["x0"] : SLOT["x0"] + REGISTERS]
        self.f: Words = hart.state[SLOT["f0"] : SLOT["f0"] + REGISTERS]

    def read_csr(self, name: str) -> int:
        return self.hart.read_csr(name)

    def write_csr(self, name: str, value: int) -> None:
        self.hart.write_csr(name, value)

    def mask(self, csr: str, name: str) -> int:
        """Raises StopIteration or KeyError for what there is not."""
        return INTERRUPTS[name[:-1]] if csr in ("hie", "hip", "hvip") else field(csr, name)
