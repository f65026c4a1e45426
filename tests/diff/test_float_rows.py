"""Each floating-point row on the real hart against the oracle, and the oracle against Unicorn where that is right.

Operands are numbers of the formats with edges and near neighbours; who may use floating point, and what makes its state dirty.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import unicorn
from unicorn import riscv_const as rc

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.isa.expr import MASK64
from rvhv.isa.render.asm import Assembler
from rvhv.isa.render.oracle import OracleMachine
from rvhv.isa.render.oracle_float import FORMATS, box
from tests.diff.floats import RESERVED, data, float_registers, register, source_format, with_rounding
from tests.diff.states import SCALE, SEED, Row, random_case, rng_for, rows
from tests.diff.test_interpreter import CODE, DATA, DIS, FS, RAM, Pair
from tests.hext.bare import BASE, Bare

ROWS = [row for row in rows(ISA) if row.insn.uses_float]
ASM = Assembler(ISA)
DIRTY = 3 << 13
OFF, INITIAL, CLEAN = 0, 1 << 13, 2 << 13
ILLEGAL = 2


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield Pair()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row: Row, pair: Pair) -> None:
    rng = rng_for("float", row.name)
    pair.reset()
    pair.write(DATA.start, rng.randbytes(len(DATA)))
    for _ in range(int(150 * SCALE)):
        case = random_case(row, ISA, rng, DATA, RAM)
        word = with_rounding(row, case.word, rng)
        pc = rng.randrange(CODE.start, CODE.stop, 2)
        pair.write(pc, word.to_bytes(row.length, "little"))
        pair.set("pc", pc)
        pair.set("prv", 3)
        pair.registers(case.x)
        f = float_registers(row, word, rng)
        pair.float_registers(f)
        pair.set("fcsr", rng.choice((0, 1, 31, rng.getrandbits(5))) | rng.choice((0, 0, 0, 1, 2, 3, 4, 7)) << 5)
        pair.set("mstatus", pair.oracle.csrs["mstatus"] & ~DIRTY | rng.choice((OFF, INITIAL, CLEAN, DIRTY, INITIAL, CLEAN)))
        pair.run(1)
        if found := pair.differences():
            command = f"RVHV_DIFF_SEED={SEED} pytest tests/diff/test_float_rows.py -k 'row and {row.name}'"
            pytest.fail(f"oracle != hart: {'; '.join(found)}\n  {DIS.text(word)} ({word:#x}) f={[hex(v) for v in f]} | {command}")


# -- who may use floating point, and what it leaves behind


@pytest.fixture
def bare() -> Bare:
    return Bare()


def status(bare: Bare, fs: int, vs_fs: int = OFF, v: int = 0) -> None:
    bare["mstatus"] = bare["mstatus"] & ~DIRTY | fs
    bare["vsstatus"] = bare["vsstatus"] & ~DIRTY | vs_fs
    bare.mode(1 if v else 3, v)


USES = [
    "fadd.d fa0, fa1, fa2", "fmv.x.d a0, fa0", "fld fa0, 0(a0)", "fsw fa0, 0(a0)", "c.fld fa0, 0(a0)", "fclass.h a0, fa0",
    "fsgnj.s fa0, fa1, fa2", "frcsr a0", "fsrm a0", "fsflagsi 0", "frflags a0",
]  # fmt: skip


@pytest.mark.parametrize("text", USES)
@pytest.mark.parametrize(("v", "fs", "vs_fs", "legal"), [
    (0, OFF, DIRTY, False), (0, INITIAL, OFF, True), (0, CLEAN, OFF, True),
    (1, OFF, DIRTY, False), (1, CLEAN, OFF, False), (1, CLEAN, INITIAL, True),
])  # fmt: skip
def test_off_is_illegal(text: str, v: int, fs: int, vs_fs: int, legal: bool, bare: Bare) -> None:
    """norm: an illegal instruction with V=1 too, not a virtual one."""
    status(bare, fs, vs_fs, v)
    bare["x10"] = BASE + 0x2000
    assert bare.one(text) == (None if legal else ILLEGAL)


LEAVES = {
    "fmv.d fa0, fa1": DIRTY, "flw fa0, 0(a0)": DIRTY, "fmv.w.x fa0, a0": DIRTY, "fsrm a1": DIRTY, "csrs fflags, a1": DIRTY,
    "fcvt.w.d a1, fa0, rtz": CLEAN, "fcvt.w.d a1, fa1, rtz": DIRTY, "feq.d a1, fa0, fa0": CLEAN, "flt.d a1, fa0, fa2": DIRTY,
    "fsd fa0, 0(a0)": CLEAN, "fmv.x.d a1, fa0": CLEAN, "frcsr a1": CLEAN, "fclass.d a1, fa0": CLEAN,
}  # fmt: skip


@pytest.mark.parametrize(("text", "fs"), LEAVES.items())
@pytest.mark.parametrize("v", [0, 1])
def test_dirty(text: str, fs: int, v: int, bare: Bare) -> None:
    """Registers written and flags raised make FS Dirty, and SD with it; with V=1 in both status registers."""
    status(bare, CLEAN, CLEAN, v)
    bare["x10"] = BASE + 0x2000
    for name, number in (("f10", 0x3FF0 << 48), ("f11", 0x3FF8 << 48), ("f12", 0x7FF8 << 48)):
        bare.state[SLOT[name]] = number
    assert bare.one(text) is None
    for name, expected in (("mstatus", fs), ("vsstatus", fs if v else CLEAN)):
        assert bare[name] & DIRTY == expected
        assert bare[name] >> 63 == (expected == DIRTY)


def test_a_faulting_load_leaves_no_trace(bare: Bare) -> None:
    status(bare, CLEAN)
    bare["x10"], bare.state[SLOT["f10"]] = 16, 7
    assert bare.one("fld fa0, 0(a0)") == 5
    assert bare.state[SLOT["f10"]] == 7 and bare["mstatus"] & DIRTY == CLEAN


@pytest.mark.parametrize("rm", range(8))
@pytest.mark.parametrize("frm", range(8))
def test_reserved_rounding_modes(rm: int, frm: int, bare: Bare) -> None:
    """Illegal, whether the instruction rounds or not; without an rm field frm does not matter."""
    status(bare, DIRTY)
    bare["frm"] = frm
    legal = rm < 5 or (rm == 7 and frm < 5)
    for name, fields in (("fadd.s", {"frs2": 3}), ("fcvt.d.w", {"rs1": 3}), ("fmadd.d", {"frs2": 3, "frs3": 3})):
        encoding = ISA.insns[name].encoding
        word = encoding.build(dict.fromkeys(encoding.by_name, 0) | fields | {"rm": rm})
        assert bare.one(f".word {word:#x}") == (None if legal else ILLEGAL)
    assert bare.one("fmin.d fa0, fa1, fa2") is None


def test_fcsr_is_made_of_frm_and_fflags(bare: Bare) -> None:
    status(bare, INITIAL)
    bare["fcsr"] = MASK64
    assert (bare["fcsr"], bare["frm"], bare["fflags"]) == (0xFF, 7, 31)
    bare["frm"], bare["fflags"] = 2, 0
    assert bare["fcsr"] == 0x40
    bare["fflags"] = MASK64
    assert bare["fcsr"] == 0x5F


def test_misa_has_f_and_d(bare: Bare) -> None:
    assert all(bare["misa"] >> (ord(letter) - ord("A")) & 1 for letter in "IMAFDCH")


# -- Unicorn: an older QEMU, with its own soft-float

# pinned divergences: it has no Zfh, minimum and maximum are IEEE 754-2008's, and single results and operands are not boxed
UNICORN_ROWS = [r for r in ROWS if not r.insn.extension.startswith("Zfh") and not r.name.startswith(("fmin", "fmax"))]
FREGS = [getattr(rc, f"UC_RISCV_REG_F{n}") for n in range(32)]
XREGS = [getattr(rc, f"UC_RISCV_REG_X{n}") for n in range(32)]
U_CODE, U_DATA = range(0x4000_0000, 0x4040_0000), range(0x8000_0000, 0x8000_1000)
ORACLE = OracleMachine(ISA)


@pytest.fixture(scope="module")
def witness() -> Iterator[unicorn.Uc]:
    uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
    uc.mem_map(U_CODE.start, len(U_CODE))
    uc.mem_map(U_DATA.start, len(U_DATA))
    uc.reg_write(rc.UC_RISCV_REG_MSTATUS, DIRTY)
    yield uc


def same(oracle: int, other: int) -> bool:
    """The same register, or the same single."""
    return oracle == other or (oracle >> 32 == 0xFFFF_FFFF and (oracle ^ other) & 0xFFFF_FFFF == 0)


@pytest.mark.parametrize("row", UNICORN_ROWS, ids=lambda row: row.name)
def test_unicorn(row: Row, witness: unicorn.Uc) -> None:
    rng = rng_for("float unicorn", row.name)
    memory = rng.randbytes(len(U_DATA))
    at = U_CODE.start + 8 * 1000 * UNICORN_ROWS.index(row)
    for n in range(int(60 * SCALE)):
        case = random_case(row, ISA, rng, U_DATA, U_CODE)
        word = with_rounding(row, case.word, rng)
        fmt = source_format(row)
        f = [box(v, fmt) if fmt else v for v in (register(rng, fmt or "d") for _ in range(32))]
        f = [v if fmt is None else box(v & ((1 << FORMATS[fmt].width) - 1), fmt) for v in f]
        fields = ISA.decode(word)[1]  # type: ignore[index]
        names = [name for name in ("frs1", "frs2", "frs3") if name in fields]
        if fmt is not None:
            for name, number in zip(names, data(fmt, len(names), rng), strict=True):
                f[fields[name]] = box(number, fmt)
        frm = rng.randrange(5)
        if fields.get("rm") in RESERVED:
            continue
        pc = at + 8 * n
        ORACLE.regions.clear()
        ORACLE.map(pc, word.to_bytes(row.length, "little"))
        expected = ORACLE.map(U_DATA.start, memory)
        ORACLE.pc, ORACLE.x, ORACLE.f = pc, list(case.x), list(f)
        ORACLE.csrs = {"prv": 3, "v": 0, "mstatus": DIRTY, "fcsr": frm << 5}
        assert ORACLE.step() is None
        witness.mem_write(pc, word.to_bytes(row.length, "little"))
        witness.mem_write(U_DATA.start, memory)
        for registers, values in ((XREGS[1:], case.x[1:]), (FREGS, f), ((rc.UC_RISCV_REG_FCSR,), (frm << 5,))):
            witness.reg_write_batch(list(zip(registers, values, strict=True)))
        witness.emu_start(pc, MASK64, count=1)
        got = [*witness.reg_read_batch(XREGS), *witness.reg_read_batch(FREGS), witness.reg_read(rc.UC_RISCV_REG_FCSR)]
        names = [*(f"x{i}" for i in range(32)), *(f"f{i}" for i in range(32)), "fcsr"]
        pairs = zip(names, [*ORACLE.x, *ORACLE.f, ORACLE.csrs["fcsr"]], got, strict=True)
        found = [f"{name} {a:#x} != {b:#x}" for name, a, b in pairs if not (same(a, b) if name in FS else a == b)]
        assert not found, f"oracle != Unicorn: {'; '.join(found)}\n  {DIS.text(word)} frm {frm} RVHV_DIFF_SEED={SEED}"
        assert bytes(witness.mem_read(U_DATA.start, len(U_DATA))) == bytes(expected)
