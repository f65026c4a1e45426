"""The commit log: what a line shows of each kind of instruction, as Spike's does."""

from __future__ import annotations

import io

import pytest

from rvhv.boot.commit_log import CommitLog
from tests.devices.bare import POWER_OFF, RAM, Bare

AT = RAM + 0x1000


def logged(bare: Bare, steps: int) -> list[str]:
    out = io.StringIO()
    bare.machine.watcher = CommitLog(bare.machine, out)
    bare.machine.run(steps)
    return out.getvalue().splitlines()


def shown(source: str, steps: int | None = None) -> list[str]:
    """What the lines of these instructions show behind the instruction word; a0 points to memory, floating point is on."""
    bare = Bare(f"li a0, {AT}; li t0, 0x2000; csrs mstatus, t0\n" + source)
    while not bare.slot("mstatus") & 3 << 13:
        bare.machine.run(1)
    lines = logged(bare, steps or len([part for part in source.replace("\n", ";").split(";") if part.strip()]))
    return [line.partition(")")[2].strip() for line in lines]


def test_lines() -> None:
    bare = Bare(
        f"""
            auipc t0, 0
            addi t1, x0, -1
            sd t1, 64(t0)
            lw t2, 64(t0)
            c.addi t2, 2
            addi t3, t0, 64
            amoadd.w x0, t2, (t3)
            lr.d a0, (t3)
            sc.d a1, t1, (t3)
            sc.d a1, t1, (t3)
            csrrw a2, mscratch, t0
            .word 0
            {POWER_OFF}
        """
    )
    lines = logged(bare, 13)
    at = 0x80000040
    assert lines == [
        "core   0: 3 0x0000000080000000 (0x00000297) x5  0x0000000080000000",
        "core   0: 3 0x0000000080000004 (0xfff00313) x6  0xffffffffffffffff",
        f"core   0: 3 0x0000000080000008 (0x0462b023) mem 0x{at:016x} 0xffffffffffffffff",
        f"core   0: 3 0x000000008000000c (0x0402a383) x7  0xffffffffffffffff mem 0x{at:016x}",
        "core   0: 3 0x0000000080000010 (0x0389) x7  0x0000000000000001",
        "core   0: 3 0x0000000080000012 (0x04028e13) x28 0x0000000080000040",
        f"core   0: 3 0x0000000080000016 (0x007e202f) mem 0x{at:016x} mem 0x{at:016x} 0x00000000",
        f"core   0: 3 0x000000008000001a (0x100e352f) x10 0xffffffff00000000 mem 0x{at:016x}",
        f"core   0: 3 0x000000008000001e (0x186e35af) x11 0x0000000000000000 mem 0x{at:016x} 0xffffffffffffffff",
        "core   0: 3 0x0000000080000022 (0x186e35af) x11 0x0000000000000001",
        "core   0: 3 0x0000000080000026 (0x34029673) x12 0x0000000000000000 c832_mscratch 0x0000000080000000",
    ]


FP_DIRTY = "8000000a00006000"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("csrwi sscratch, 3", ["c320_sscratch 0x0000000000000003"]),
        ("csrsi sstatus, 2", ["c768_mstatus 0x0000000a00002002"]),
        ("csrwi mideleg, 2; csrwi sie, 2", [None, "c260_sie 0x0000000000000002 c772_mie 0x0000000000000002"]),
        ("csrwi hie, 4", ["c772_mie 0x0000000000000004"]),
        ("csrwi hip, 4", ["c836_mip 0x0000000000000004"]),
        # the bits of hvip that are or-ed in where mip is read are not there yet
        ("li t0, 0x444; csrw hvip, t0", [None, "c836_mip 0x0000000000000004 c1605_hvip 0x0000000000000444"]),
        ("csrr t0, hvip", ["x5  0x0000000000000000"]),
        ("csrwi tselect, 1; csrwi mhpmevent3, 1; csrwi mhpmcounter3, 1",
         ["c1952_tselect 0x0000000000000001", "c803_mhpmevent3 0x0000000000000000", ""]),
        # floating point: flags that are raised, also those that were set; FS when it becomes dirty
        ("fmv.w.x f1, x0", [f"f1  0xffffffff00000000 c768_mstatus 0x{FP_DIRTY}"]),
        ("fmv.w.x f1, x0; fmv.w.x f1, x0", [None, "f1  0xffffffff00000000"]),
        ("fdiv.d f0, f0, f0; fdiv.d f2, f0, f0",
         [f"f0  0x7ff8000000000000 c1_fflags 0x0000000000000010 c768_mstatus 0x{FP_DIRTY}", "f2  0x7ff8000000000000"]),
        ("fcvt.w.d x1, f9; csrwi fflags, 0; fsqrt.d f9, f9", [None, None, "f9  0x0000000000000000"]),
        ("li t0, 7; fcvt.d.w f1, t0; fsqrt.d f1, f1; fsqrt.d f3, f1",
         [None, None, "f1  0x40052a7fa9d2f8ea c1_fflags 0x0000000000000001",
          "c1_fflags 0x0000000000000001 f3  0x3ffa0675250ee9f3"]),
        ("csrwi fcsr, 1; csrwi frm, 2",
         [f"c1_fflags 0x0000000000000001 c2_frm 0x0000000000000000 c768_mstatus 0x{FP_DIRTY}", "c2_frm 0x0000000000000002"]),
        ("feq.s x1, f1, f1", ["x1  0x0000000000000000"]),
        # compare and swap
        ("amocas.w x0, a0, (a0); amocas.w x0, a0, (a0)",
         ["mem 0x0000000080001000 mem 0x0000000080001000 0x80001000", "mem 0x0000000080001000"]),
        ("amocas.q t1, a0, (a0); amocas.q t1, a0, (a0)",
         ["x6  0x0000000000000000 x7  0x0000000000000000 mem 0x0000000080001000"
          " mem 0x0000000080001000 0x0000000080001000 mem 0x0000000080001008 0x0000000000000000",
          "x6  0x0000000080001000 x7  0x0000000000000000 mem 0x0000000080001000"]),
        # an SC whose result nobody sees
        ("lr.w x0, (a0); sc.w x0, a0, (a0); sc.w x0, a0, (a0)",
         ["mem 0x0000000080001000", "mem 0x0000000080001000 0x80001000", ""]),
        ("addi a0, a0, 70; cbo.zero (a0)", [None, " ".join(f"mem 0x{AT + 64 + i:016x} 0x00" for i in range(64))]),
        ("fence.i; fence; .word 0x1ff0020f", ["", "", ""]),
    ],
)  # fmt: skip
def test_what_a_line_shows(source: str, expected: list[str | None]) -> None:
    found = shown(source)
    assert [line for line, e in zip(found, expected, strict=True) if e is not None] == [e for e in expected if e is not None]


# xRET by the mode it goes to
TARGET = f"li t0, {RAM + 0x800}; csrw mepc, t0; csrw sepc, t0; csrw vsepc, t0"


@pytest.mark.parametrize(
    ("status", "hstatus", "instruction", "expected"),
    [
        (1 << 11, 0, "mret", "c768_mstatus 0x0000000a00002080"),
        (1 << 11 | 1 << 39, 0, "mret", "c768_mstatus 0x0000000a00002080"),
        (1 << 39, 0, "mret", "c512_vsstatus 0x0000000200000000 c768_mstatus 0x0000000a00002080"),
        (1 << 8, 1 << 7, "sret", "c768_mstatus 0x0000000a00002020 c1536_hstatus 0x0000000200000000"),
        (0, 1 << 7, "sret", "c512_vsstatus 0x0000000200000000 c768_mstatus 0x0000000a00002020 c1536_hstatus 0x0000000200000000"),
        (0, 0, "sret", "c768_mstatus 0x0000000a00002020 c1536_hstatus 0x0000000200000000"),
    ],
)
def test_a_return_from_a_trap(status: int, hstatus: int, instruction: str, expected: str) -> None:
    source = f"li t0, {status}; csrs mstatus, t0; li t0, {hstatus}; csrs hstatus, t0; {TARGET}; {instruction}"
    assert expected in shown(source, 40)


def test_a_return_from_a_trap_of_a_guest() -> None:
    """What VS-mode calls sstatus is vsstatus."""
    at = RAM + 0x800
    bare = Bare(f"li t0, {0x880 | 1 << 39}; csrs mstatus, t0; li t0, {at}; csrw mepc, t0; csrw vsepc, t0; not t0, x0\n"
                "csrw pmpaddr0, t0; li t0, 0x1f; csrw pmpcfg0, t0; mret")  # fmt: skip
    bare.machine.memory.write(at, (0x10200073).to_bytes(4, "little"))
    lines = logged(bare, 40)
    (line,) = [line for line in lines if "(0x10200073)" in line][:1]
    assert line.startswith("core   0: 1 ") and line.endswith(") c512_vsstatus 0x0000000200000020")
