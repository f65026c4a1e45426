"""The real hart against the oracle: single instructions in random states, programs, and memory full of random code.

Flat memory, M, S and U mode: after every budget, registers, pc, mode, every CSR slot, the reservation and memory are the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from rvhv.core.memory import Memory
from rvhv.core.registry import ISA
from rvhv.core.stop_table import Access, Space
from rvhv.cpu.state import ARCH_NAMES, NO_RESERVATION, SLOT, Exit
from rvhv.hart import RESET, Hart
from rvhv.isa.effects import Load, Store
from rvhv.isa.expr import MASK64
from rvhv.isa.render.asm import Assembler
from rvhv.isa.render.disasm import Disassembler
from rvhv.isa.render.oracle import OracleMachine
from tests.diff.floats import register as float_register
from tests.diff.programs import ProgramMaker
from tests.diff.states import SCALE, SEED, Row, random_case, random_word, rng_for, rows, value

SIZE = 0x6000
RAM = range(0x8000_0000, 0x8000_0000 + SIZE)
CODE = range(RAM.start, RAM.start + 0x3000)
DATA = range(RAM.start + 0x4000, RAM.stop)
DIS = Disassembler(ISA, pseudo=False)
ASM = Assembler(ISA)
# the slots of the oracle's CSRs: all that the architecture keeps, but for what is compared on its own or counted by the hart
NOT_CSRS = {"pc", "x_sink", "reservation", "reservation_size", "irq_lines", "vm_steps", "trap_steps", "traps_in_a_row"}
CSR_SLOTS = [n for n in ARCH_NAMES if n not in NOT_CSRS and not (n[0] in "xf" and n[1:].isdigit())]
XS = [f"x{n}" for n in range(32)]
FS = [f"f{n}" for n in range(32)]
M, S, U = 3, 1, 0
ISA_MSTATUS = {f.name: f.mask for f in ISA.csrs["mstatus"].fields}


def via_vs(row: Row) -> bool:
    return any(isinstance(e, Load | Store) and e.via != "data" for e in row.insn.effects)


class Pair:
    """The hart and the oracle in the same state."""

    def __init__(self) -> None:
        self.memory = Memory(SIZE, RAM.start)
        self.hart = Hart(self.memory, tlb_bits=2)
        self.state = self.hart.state
        self.oracle = OracleMachine(ISA)
        self.bytes = self.oracle.map(RAM.start, bytes(SIZE))

    def reset(self) -> None:
        """Registers and CSRs as after reset; memory and the time stay. Nothing stops any more."""
        self.hart.stops.clear()
        for name in ARCH_NAMES:
            self.state[SLOT[name]] = RESET.get(name, 0)
        self.hart.open_pmp()  # the oracle protects nothing
        self.state[SLOT["clock"]] = self.oracle.pc = 0
        self.oracle.csrs = {name: self.state[SLOT[name]] for name in CSR_SLOTS}
        self.oracle.x = [0] * 32
        self.oracle.f = [0] * 32
        self.oracle.steps = self.oracle.retired = 0
        self.oracle.reservation = None

    def write(self, address: int, data: bytes) -> None:
        self.memory.write(address, data)
        self.bytes[address - RAM.start : address - RAM.start + len(data)] = data

    def registers(self, x: list[int] | tuple[int, ...]) -> None:
        self.oracle.x = [0, *x[1:]]
        for name, v in zip(XS[1:], x[1:], strict=True):
            self.state[SLOT[name]] = v

    def float_registers(self, f: list[int]) -> None:
        self.oracle.f = list(f)
        for name, v in zip(FS, f, strict=True):
            self.state[SLOT[name]] = v

    def set(self, name: str, v: int) -> None:
        """A slot, directly."""
        self.state[SLOT[name]] = v
        if name == "pc":
            self.oracle.pc = v
        else:
            self.oracle.csrs[name] = v

    def write_csr(self, name: str, v: int) -> None:
        """A CSR, by the rule of its row in both."""
        self.hart.write_csr(name, v)
        self.oracle.write_csr(name, v)

    def reserve(self, reservation: tuple[int, int] | None) -> None:
        self.oracle.reservation = reservation
        self.state[SLOT["reservation"]], self.state[SLOT["reservation_size"]] = reservation or (NO_RESERVATION, 0)

    def add_stops(self, rng: random.Random) -> None:
        """Breakpoints and watchpoints of the host, which must change nothing: `run` goes on behind each."""
        for _ in range(rng.choice((0, 1, 3, 20))):
            at = rng.randrange(RAM.start, RAM.stop, 2)
            if rng.random() < 0.5:
                self.hart.stops.add_breakpoint(at)
            else:
                kind, space = Access(rng.randint(1, 3)), rng.choice((Space.VIRTUAL, Space.HOST_PHYSICAL))
                self.hart.stops.add_watchpoint(at, rng.choice((1, 8, 300)), kind, space=space)

    def run(self, steps: int) -> None:
        end = self.state[SLOT["steps"]] + steps
        while (left := end - self.state[SLOT["steps"]]) > 0:
            match self.hart.run(left):
                case Exit.TRACE_FULL:
                    self.hart.drain_trace()
                case Exit.TRAP_LOOP:
                    self.state[SLOT["traps_in_a_row"]] = 0
        self.oracle.run(steps)

    def differences(self) -> list[str]:
        """What is not the same, oracle first."""
        state, oracle = self.state, self.oracle
        pairs = [(name, oracle.x[n], state[SLOT[name]]) for n, name in enumerate(XS)]
        pairs += [(name, oracle.f[n], state[SLOT[name]]) for n, name in enumerate(FS)]
        pairs.append(("pc", oracle.pc, state[SLOT["pc"]]))
        pairs += [(name, oracle.csrs.get(name, 0), state[SLOT[name]]) for name in CSR_SLOTS]
        pairs.append(("reservation", (oracle.reservation or (NO_RESERVATION, 0))[0], state[SLOT["reservation"]]))
        found = [f"{name} {a:#x} != {b:#x}" for name, a, b in pairs if a != b]
        memory = self.memory.read(RAM.start, SIZE)
        if memory != self.bytes:
            bad = [i for i in range(SIZE) if memory[i] != self.bytes[i]]
            found += [f"byte {RAM[i]:#x} {self.bytes[i]:#x} != {memory[i]:#x}" for i in bad[:8]]
        return found

    def check(self, test: str, name: str, what: str) -> None:
        if found := self.differences():
            command = f"RVHV_DIFF_SEED={SEED} pytest tests/diff/test_interpreter.py -k '{test} and {name}'"
            pytest.fail(f"oracle != hart: {'; '.join(found)}\n  {what} | {command}")


@pytest.fixture(scope="module")
def machines() -> Iterator[Pair]:
    yield Pair()


@pytest.fixture
def pair(machines: Pair) -> Pair:
    machines.reset()
    return machines


# the oracle protects nothing and has no triggers: no instruction writes these
NOT_IN_ORACLE = {"tdata1"} | {name for name in ISA.csrs if name.startswith("pmp")}
# CSRs that a random state leaves alone: translation would be on, or an interrupt pending
QUIET = {"satp", "vsatp", "hgatp", "mie", "sie", "hie", "vsie"} | NOT_IN_ORACLE
WRITABLE = [row.name for row in ISA.csrs.values() if row.writes and row.name not in QUIET]


def random_mode(pair: Pair, rng: random.Random) -> None:
    """Every CSR written with a random value; M, S or U mode."""
    for name in WRITABLE:
        pair.write_csr(name, value(rng) if rng.random() < 0.8 else MASK64)
    # either MPRV or MPV: both together are accesses as V=1 (mstatus.GVA says so), which the oracle has not
    unwanted = ISA_MSTATUS[rng.choice(("MPRV", "MPV"))]
    pair.write_csr("mstatus", pair.oracle.csrs["mstatus"] & ~unwanted)
    pair.set("prv", rng.choice((M, S, U)))
    if rng.random() < 0.5:  # counters and CSRs of S that the modes below may reach, or not
        for name in ("mcounteren", "scounteren", "hcounteren"):
            pair.write_csr(name, MASK64)


ROWS = [row for row in rows(ISA) if not via_vs(row)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row: Row, pair: Pair) -> None:
    """One instruction from a random state in a random mode: in RAM, at its end, and outside; traps and all."""
    rng = rng_for("interpreter", row.name)
    numbers = [csr.number for csr in ISA.csrs.values() if csr.name not in NOT_IN_ORACLE]
    for n in range(int(60 * SCALE)):
        if n % 10 == 0:
            pair.reset()
            random_mode(pair, rng)
            pair.add_stops(rng)
            pair.write(DATA.start, rng.randbytes(len(DATA)))
        pair.set("prv", rng.choice((M, S, U)))
        pair.set("v", 0)
        case = random_case(row, ISA, rng, DATA, RAM)
        word, x = case.word, list(case.x)
        if "csr" in row.encoding.by_name and rng.random() < 0.9:
            word = row.encoding.build(row.encoding.extract(word) | {"csr": rng.choice(numbers)})
        if row.touches_memory and rng.random() < 0.2:
            fields = ISA.decode(word)[1]  # type: ignore[index]
            target = rng.choice((RAM.start, RAM.stop, 0, 1 << 63)) + rng.randint(-9, 9)
            x[fields["rs1"]] = (target - fields.get("imm", 0)) & MASK64
        pair.reserve(rng.choice((None, (rng.randrange(DATA.start, DATA.stop, 8), rng.choice((4, 8))))))
        if row.must_align and rng.random() < 0.5:
            pair.reserve((x[ISA.decode(word)[1]["rs1"]], row.access_size))  # type: ignore[index]
        pc = rng.randrange(CODE.start, CODE.stop, 2)
        pair.write(pc, word.to_bytes(row.length, "little"))
        pair.set("pc", pc)
        pair.registers(x)
        if row.insn.uses_float:
            pair.float_registers([float_register(rng) for _ in range(32)])
        pair.run(1)
        pair.check("row", row.name, f"{DIS.text(word)} ({word:#x}) at {pc:#x}, x={[hex(v) for v in case.x]}")


def test_every_csr_is_written_by_its_row(pair: Pair) -> None:
    """Random values into every CSR that no guard keeps: WARL rules and computed reads, in M-mode's view."""
    rng = rng_for("csrs")
    for _ in range(int(40 * SCALE)):
        for row in ISA.csrs.values():
            pair.write_csr(row.name, value(rng))
            assert not pair.differences(), f"write of {row.name}: {pair.differences()}"
            assert pair.hart.read_csr(row.name) == pair.oracle.read_csr(row.name), row.name


def test_reading_a_csr_at_reset_and_writing_it_back_changes_nothing(pair: Pair) -> None:
    """What is fixed by a row is so from reset on, in the slot that traps and translation look at too."""
    for row in ISA.csrs.values():
        pair.reset()
        before = [pair.state[SLOT[name]] for name in CSR_SLOTS]
        pair.hart.write_csr(row.name, pair.hart.read_csr(row.name))
        changed = [name for name, b in zip(CSR_SLOTS, before, strict=True) if pair.state[SLOT[name]] != b]
        expected = ["mstatus"] if row.name in ("fflags", "frm", "fcsr") else []  # a write makes FS Dirty
        assert changed in (expected, ["minstret"]), row.name


HANDLER = """
        csrrw t6, mscratch, t6          # t6: the save area
        sd t5, 0(t6)
        sd t4, 8(t6)
        ld t5, 16(t6)                   # a ring of records: cause, tval, epc, status
        csrr t4, mcause
        sd t4, 0(t5)
        csrr t4, mtval
        sd t4, 8(t5)
        csrr t4, mstatus
        sd t4, 16(t5)
        csrr t4, mepc
        sd t4, 24(t5)
        addi t5, t5, 32
        andi t5, t5, -1025              # the ring wraps after a kilobyte
        sd t5, 16(t6)
        csrr t5, mcause
        bltz t5, interrupt
        lhu t5, 0(t4)                   # skip the instruction
        andi t5, t5, 3
        addi t5, t5, -3
        addi t4, t4, 2
        bnez t5, short
        addi t4, t4, 2
short:  csrw mepc, t4
out:    ld t5, 0(t6)
        ld t4, 8(t6)
        csrrw t6, mscratch, t6
        mret
interrupt:
        li t4, -1
        csrw stimecmp, t4
        csrw mip, zero
        j out
"""
HANDLER_AT = RAM.start + 0x3000
SAVE_AT, RING_AT = RAM.start + 0x3400, RAM.start + 0x3800
PROGRAM_CSRS = tuple(
    ISA.csrs[name].number
    for name in (
        "sscratch", "sepc", "scause", "stval", "stvec", "mcycle", "minstret", "cycle", "instret", "time", "mhartid", "mcause",
        "mtval", "misa", "sstatus", "hstatus", "vsstatus", "mscratch",
    )
)  # fmt: skip
IN_PROGRAMS = [row for row in ROWS if row.plain or row.insn.extension == "Zicsr"]
MAKER = ProgramMaker(ISA, IN_PROGRAMS)
TRAPPING = [ASM.assemble(t) for t in ("ecall", "ebreak", "sfence.vma", "lr.d a0, (a1)", "c.ebreak", "csrw cycle, a0")]


def start(pair: Pair, rng: random.Random, prv: int) -> None:
    """The handler, its areas, and who may do what."""
    pair.write(HANDLER_AT, ASM.program(HANDLER, HANDLER_AT))
    pair.write(SAVE_AT + 16, RING_AT.to_bytes(8, "little"))
    pair.write_csr("mtvec", HANDLER_AT)
    pair.write_csr("mscratch", SAVE_AT)
    pair.write_csr("mcounteren", MASK64)
    pair.write_csr("scounteren", rng.getrandbits(3))
    pair.set("prv", prv)


@pytest.mark.parametrize("n", range(int(60 * SCALE)))
def test_program(n: int, pair: Pair) -> None:
    """Branches, loops, CSRs and traps with a handler that logs and skips; a timer interrupt at its own step."""
    rng = rng_for("programs", n)
    prv = (M, S, U)[n % 3]
    program = MAKER.make(rng, DATA.start + len(DATA) // 2, 60, PROGRAM_CSRS)
    start(pair, rng, prv)
    pair.write(DATA.start, rng.randbytes(len(DATA)))
    pair.write(CODE.start, program.code + b"\x01\x00" * 8)
    if prv != M:  # in M-mode programs write mscratch, which is the handler's
        pair.write_csr("menvcfg", MASK64)
        pair.write_csr("stimecmp", rng.randint(0, 6))
        pair.write_csr("mideleg", 0)
        pair.write_csr("mie", MASK64)
    pair.registers(program.x)
    pair.add_stops(rng)
    pair.set("pc", CODE.start)
    end = CODE.start + len(program.code)
    for _ in range(200):
        pair.run(rng.choice((1, 2, 3, 7, 50, 200)))
        pair.check("program", str(n), f"pc {pair.oracle.pc:#x} of {program.code.hex()}")
        if pair.oracle.pc == end:
            break


@pytest.mark.parametrize("by", ["guest", "python"])
def test_changed_code_is_decoded_anew(by: str) -> None:
    """An instruction runs, some of its bytes are overwritten, and what is there then runs: no fence, at any place in lines
    and pages, by the guest's stores of any size and alignment or by Python's writes."""
    rng = rng_for("changed", by)
    plain = [row for row in ROWS if row.plain and not row.touches_memory and not row.insn.jumps]
    stores = [ASM.assemble(f"{name} a1, 0(a0)").to_bytes(4, "little") for name in ("sb", "sh", "sw", "sd")]

    def some_word() -> bytes:
        row = rng.choice(plain)
        return random_case(row, ISA, rng, DATA, RAM).word.to_bytes(row.length, "little")

    # every place is new to its hart: nothing that was decoded near it before hides what was noted for it
    lines = [line for line in range(RAM.start + 0x1000, RAM.start + 0x5000, 128) for _ in range(9)]
    places = [line + 2 * (i % 9 - 4) for i, line in enumerate(lines)]
    places += [RAM.start + 0x1000 - 2, RAM.start + 0x2000 - 2] * 20
    pair = Pair()
    for n, pc in enumerate(rng.sample(places, int(600 * min(SCALE, 1)))):
        if n % 32 == 0:
            pair = Pair()
            pair.reset()
        pair.write(pc, some_word() + some_word())
        for again in range(3):
            pair.set("pc", pc)
            pair.registers([value(rng) for _ in range(32)])
            pair.run(1 if by == "guest" else 2)  # a trap on what the bytes have become is as good as anything
            pair.check("changed", by, f"{n}.{again}: {pair.memory.read(pc, 8).hex()} at {pc:#x}")
            size = rng.randrange(4)
            new, where = (some_word() + some_word())[:8], pc + rng.randint(-2, 4)
            if by == "python":
                pair.write(where, new[: rng.randint(1, len(new))])
                continue
            pair.write(RAM.start, stores[size])
            pair.set("prv", M)
            pair.set("pc", RAM.start)
            pair.registers([*[0] * 10, where, int.from_bytes(new, "little"), *[0] * 20])
            pair.run(1)


@pytest.mark.parametrize("n", range(int(40 * SCALE)))
def test_chaos(n: int, pair: Pair) -> None:
    """Memory full of random rows that run, overwrite each other and trap into themselves, in every mode."""
    rng = rng_for("chaos", n)
    code = bytearray()
    wild = [row for row in ROWS if "csr" not in row.encoding.by_name]
    while len(code) < SIZE - 4:
        row = rng.choice(wild if rng.random() < 0.9 else IN_PROGRAMS)
        fixed = {"rs1": rng.choice((2, 8))} if row.touches_memory and row.length == 4 else {}
        word = random_word(row.encoding, rng, csr=rng.choice(PROGRAM_CSRS), **fixed)
        code += word.to_bytes(row.length, "little")
    pair.write(RAM.start, bytes(code[:SIZE]))
    pair.registers([rng.randrange(RAM.start, RAM.stop) if rng.random() < 0.7 else value(rng) for _ in range(32)])
    for name in ("mtvec", "stvec", "mepc", "sepc"):
        pair.write_csr(name, rng.randrange(CODE.start, RAM.stop, 4) | (rng.random() < 0.3))
    pair.write_csr("medeleg", value(rng))
    pair.write_csr("mideleg", value(rng))
    pair.set("pc", rng.randrange(CODE.start, CODE.stop, 2))
    pair.set("prv", rng.choice((M, S, U)))
    for _ in range(30):
        pair.add_stops(rng)
        before = pair.oracle.pc
        pair.run(rng.choice((1, 1, 2, 5, 40)))
        pair.check("chaos", str(n), f"the budget from pc {before:#x}")
        if pair.oracle.csrs["v"] or any(pair.oracle.csrs[name] for name in ("satp", "hgatp")):
            break  # a guest's mode, or translation: not the oracle's any more


@pytest.mark.parametrize("name", ["amocas.w", "amocas.d", "amocas.q"])
def test_compare_and_swap(name: str, pair: Pair) -> None:
    """Half of the time rd (for amocas.q: rd and the register behind it) holds what memory holds; any registers, x0 too."""
    rng = rng_for("amocas", name)
    row = next(row for row in ROWS if row.name == name)
    for _ in range(int(200 * SCALE)):
        word = random_word(row.encoding, rng, rs1=rng.choice((9, 10)))
        fields = row.encoding.extract(word)
        rd, rs1 = fields["rd"], fields["rs1"]
        x = [0, *(value(rng) for _ in range(31))]
        x[rs1] = rng.randrange(DATA.start, DATA.stop, 16)
        memory = rng.randbytes(16) if rng.random() < 0.7 else bytes(16)
        pair.write(x[rs1], memory)
        if rd and rng.random() < 0.7:
            for n, half in ((rd, memory[:8]), (rd + 1, memory[8:])):
                if n < 32 and n != rs1:
                    x[n] = int.from_bytes(half, "little")
            if rng.random() < 0.3:
                x[rd] ^= 1 << 32  # above the word
        if x[rs1] not in DATA:
            continue
        pc = rng.randrange(CODE.start, CODE.stop, 2)
        pair.write(pc, word.to_bytes(4, "little"))
        pair.set("pc", pc)
        pair.registers(x)
        pair.run(1)
        pair.check("compare_and_swap", name, f"{DIS.text(word)} on {memory.hex()}, x={[hex(v) for v in x]}")
        assert pair.oracle.pc == pc + 4
