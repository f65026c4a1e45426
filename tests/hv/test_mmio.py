"""Guest-page faults: RAM gets frames, devices get loads and stores of every width, the guest gets the rest."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.hv import EXIT_COST, VM, Hypervisor, mmio
from rvhv.hv import registers as r
from rvhv.hv.mmio import decode, decode_compressed
from rvhv.hv.ram import ACCESS_COST, BYTE_COST
from rvhv.isa.effects import Load, Store
from rvhv.machine.bus import BusFault
from tests.hv.fake_hart import FakeHart, Script, Trap
from tests.hv.machines import IMAGE, MEMORY, RAM, host, power_off, slot

MASK64 = (1 << 64) - 1
DEVICE = 0x1800_0000
HANDLER = RAM + 0x200080
LOADS = {"lb": 0, "lh": 1, "lw": 2, "ld": 3, "lbu": 4, "lhu": 5, "lwu": 6}
STORES = {"sb": 0, "sh": 1, "sw": 2, "sd": 3}


def load_word(name: str, rd: int) -> int:
    """A transformed load: immediate and rs1 are zero."""
    return LOADS[name] << 12 | rd << 7 | 0x03


def store_word(name: str, rs2: int) -> int:
    return rs2 << 20 | STORES[name] << 12 | 0x23


class Recorder:
    """A device that remembers what was done to it."""

    name, base, size = "recorder", DEVICE, 64

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self.log: list[tuple[object, ...]] = []

    def load(self, offset: int, size: int) -> int:
        self.log.append(("load", offset, size))
        if offset == 32:
            raise BusFault("not here")
        return self.value

    def store(self, offset: int, size: int, value: int) -> None:
        self.log.append(("store", offset, size, value))
        if offset == 32:
            raise BusFault("not here")


def access(
    trap: Trap, before: Callable[[FakeHart], None] = lambda hart: None, value: int = 0
) -> tuple[Hypervisor, Recorder, list[int]]:
    """One faulting access to a machine with a recorder; returns the registers after it, pc in place of x0."""
    device = Recorder(value)
    registers: list[int] = []

    def script(hart: FakeHart) -> Script:
        hv.vms[0].bus.attach(device)
        hart.state[SLOT["vstvec"]] = HANDLER
        before(hart)
        yield trap
        registers.extend([hart.state[SLOT["pc"]], *hart.state[SLOT["x1"] : SLOT["x1"] + 31]])
        yield Trap(0x55)  # unexpected: stops the VM with everything as it is

    hv = host(script)
    hv.run()
    return hv, device, registers


def load(tinst: int, gpa: int = DEVICE) -> Trap:
    return Trap(r.LOAD_GUEST_PAGE, tval=gpa, gpa=gpa, tinst=tinst)


def store(tinst: int, gpa: int = DEVICE) -> Trap:
    return Trap(r.STORE_GUEST_PAGE, tval=gpa, gpa=gpa, tinst=tinst)


ENTRY = RAM + 0x200000


class TestLoads:
    @pytest.mark.parametrize(
        ("name", "size", "expected"),
        [
            ("lb", 1, 0xFFFF_FFFF_FFFF_FF88),
            ("lbu", 1, 0x88),
            ("lh", 2, 0xFFFF_FFFF_FFFF_9988),
            ("lhu", 2, 0x9988),
            ("lw", 4, 0xFFFF_FFFF_BBAA_9988),
            ("lwu", 4, 0xBBAA_9988),
            ("ld", 8, 0xFFEE_DDCC_BBAA_9988),
        ],
    )
    @pytest.mark.parametrize(("low_bits", "length"), [(0b11, 4), (0b01, 2)])
    def test_widths_and_signs(self, name: str, size: int, expected: int, low_bits: int, length: int) -> None:
        tinst = load_word(name, 9) & ~3 | low_bits
        _, device, x = access(load(tinst, DEVICE + 8), value=0xFFEE_DDCC_BBAA_9988)
        assert device.log == [("load", 8, size)]
        assert x[9] == expected
        assert x[0] == ENTRY + length

    def test_x0_stays_zero(self) -> None:
        hv, device, x = access(load(load_word("lw", 0)), value=5)
        assert device.log and slot(hv.vms[0], "x0") == 0 and x[0] == ENTRY + 4

    def test_a_device_that_gives_too_much(self) -> None:
        assert access(load(load_word("lbu", 5)), value=MASK64)[2][5] == 0xFF


class TestStores:
    @pytest.mark.parametrize(("name", "size"), [("sb", 1), ("sh", 2), ("sw", 4), ("sd", 8)])
    def test_widths(self, name: str, size: int) -> None:
        def before(hart: FakeHart) -> None:
            hart.state[SLOT["x31"]] = 0x8877_6655_4433_2211

        _, device, x = access(store(store_word(name, 31), DEVICE + 16), before)
        assert device.log == [("store", 16, size, 0x8877_6655_4433_2211 & (1 << 8 * size) - 1)]
        assert x[0] == ENTRY + 4


class TestAccessFaults:
    def check(self, trap: Trap, cause: int, logged: bool = False) -> None:
        def before(hart: FakeHart) -> None:
            hart.state[SLOT["vsstatus"]] |= r.SIE

        hv, device, x = access(trap, before)
        vm = hv.vms[0]
        assert bool(device.log) == logged
        assert x[0] == HANDLER
        assert slot(vm, "vscause") == cause
        assert slot(vm, "vsepc") == ENTRY
        assert slot(vm, "vstval") == trap.tval
        assert slot(vm, "vsstatus") & (r.SIE | r.SPIE | r.SPP) == r.SPIE | r.SPP

    def test_nothing_there(self) -> None:
        self.check(load(load_word("lw", 5), 0x4000), 5)
        self.check(store(store_word("sw", 5), 0x4000), 7)
        self.check(load(load_word("ld", 5), RAM + MEMORY), 5)
        self.check(load(load_word("ld", 5), 1 << 41), 5)

    def test_the_device_refuses(self) -> None:
        self.check(load(load_word("lw", 5), DEVICE + 32), 5, logged=True)
        self.check(store(store_word("sw", 5), DEVICE + 32), 7, logged=True)

    def test_over_the_end_of_a_device(self) -> None:
        self.check(load(load_word("ld", 5), DEVICE + 64), 5)

    def test_misaligned(self) -> None:
        self.check(load(load_word("lw", 5), DEVICE + 2), 5)
        self.check(load(load_word("lw", 5) | 2 << 15, DEVICE + 4), 5)  # the upper part of one

    def test_a_fetch(self) -> None:
        self.check(Trap(r.FETCH_GUEST_PAGE, tval=DEVICE, gpa=DEVICE), 1)

    @pytest.mark.parametrize("word", [0x0050_A2AF, 0x1000_A2AF, 0x1850_A2AF])  # amoadd.w, lr.w, sc.w
    def test_atomics(self, word: int) -> None:
        self.check(store(word & ~(0x1F << 15)), 7)

    def test_page_tables_outside_ram(self) -> None:
        self.check(Trap(r.STORE_GUEST_PAGE, tval=0x123, gpa=DEVICE, tinst=0x3000), 7)
        self.check(Trap(r.FETCH_GUEST_PAGE, tval=0x123, gpa=DEVICE, tinst=0x3000), 1)

    def test_from_user_mode(self) -> None:
        def script(hart: FakeHart) -> Script:
            yield 1
            yield trap
            raise AssertionError

        trap = load(load_word("lw", 5), 0x4000)

        class UserHart(FakeHart):
            def _trap(self, trap: Trap) -> None:
                super()._trap(trap)
                self.state[SLOT["hstatus"]] &= ~r.SPVP & MASK64
                self.state[SLOT["mstatus"]] &= ~r.SPP & MASK64

        hart = UserHart({1: script})
        hv = Hypervisor("16M", hart=lambda memory: hart)  # type: ignore[arg-type,return-value]
        hv.create("a", IMAGE, memory=MEMORY)
        hv.run(max_steps=2)
        assert not slot(hv.vms[0], "vsstatus") & r.SPP  # came from VU-mode
        assert hart.state[SLOT["mstatus"]] & r.SPP  # goes on in VS-mode


class TestWithoutHtinst:
    """htinst may be zero; then the instruction is fetched and decoded."""

    def at_entry(self, word: int, trap: Trap) -> tuple[Recorder, list[int]]:
        device = Recorder(0x1234)
        registers: list[int] = []

        def script(hart: FakeHart) -> Script:
            vm = hv.vms[0]
            vm.bus.attach(device)
            vm.ram.write(ENTRY, word.to_bytes(4, "little"))
            hart.state[SLOT["x9"]] = 0xABCD
            yield trap
            registers.extend([hart.state[SLOT["pc"]], *hart.state[SLOT["x1"] : SLOT["x1"] + 31]])
            yield Trap(0x55)

        hv = host(script)
        hv.run()
        return device, registers

    def test_a_load(self) -> None:
        device, x = self.at_entry(0x0045_2483, load(0))  # lw s1, 4(a0)
        assert device.log == [("load", 0, 4)] and x[9] == 0x1234 and x[0] == ENTRY + 4

    def test_a_compressed_load(self) -> None:
        device, x = self.at_entry(0x4144, load(0))  # c.lw s1, 4(a0)
        assert device.log == [("load", 0, 4)] and x[9] == 0x1234 and x[0] == ENTRY + 2

    def test_a_compressed_store(self) -> None:
        device, x = self.at_entry(0xC144, store(0))  # c.sw s1, 4(a0)
        assert device.log == [("store", 0, 4, 0xABCD)] and x[0] == ENTRY + 2


def test_ram_gets_a_frame_and_the_guest_retries() -> None:
    gpa = RAM + MEMORY - 8
    free = [0, 0]

    def script(hart: FakeHart) -> Script:
        vm = hv.vms[0]
        assert vm.gstage.frame(gpa) is None
        free[0] = hv.frames.available
        yield load(load_word("ld", 5), gpa)
        free[1] = hv.frames.available
        assert vm.gstage.frame(gpa) is not None
        assert hart.state[SLOT["pc"]] == ENTRY
        yield Trap(r.STORE_GUEST_PAGE, tval=0, gpa=RAM + 0x300000, tinst=0x3000)  # a page table of the guest's
        assert vm.gstage.frame(RAM + 0x300000) is not None
        yield from power_off(hart)

    hv = host(script)
    hv.run()
    assert hv.vms[0].reason == "powered off"
    assert free[0] - free[1] in (1, 2)  # a frame, and a table perhaps
    assert hv.frames.available * 4096 == hv.memory_size


@pytest.mark.parametrize("word", [0x0000_0013, 0xFFFF_FFFF, 0, 0x0050_A2AF, 0x6000_C073])
def test_only_loads_and_stores_are_decoded(word: int) -> None:
    assert decode(word, 4) is None


def by_rows(word: int) -> tuple[bool, int, bool, int] | None:
    """Store, size, signed and register of a plain load or store, as the instruction's row has them."""
    found = ISA.decode(word)
    if found is None:
        return None
    insn, fields, _ = found
    match insn.effects:
        case (Load(size=size, signed=signed, via="data"),):
            return False, size, signed, fields["rd"]
        case (Store(size=size, via="data"),):
            return True, size, False, fields["rs2"]
    return None


def found(access: mmio.Access | None) -> tuple[bool, int, bool, int] | None:
    if access is None:
        return None
    return access.store, access.size, access.signed and access.size < 8, access.register  # eight bytes are all there is


def test_it_decodes_as_the_rows_do() -> None:
    for half in range(1 << 16):
        if half & 3 != 3:
            assert found(decode_compressed(half)) == by_rows(half), hex(half)
    rng = random.Random(1)
    for opcode in range(3, 128, 4):
        for funct3 in range(8):
            for _ in range(4):
                word = rng.getrandbits(17) << 15 | funct3 << 12 | rng.getrandbits(5) << 7 | opcode
                assert found(decode(word, 4)) == by_rows(word), hex(word)


def test_its_causes_are_those_of_the_rows() -> None:
    assert (mmio.FETCH_GUEST_PAGE, mmio.LOAD_GUEST_PAGE, mmio.STORE_GUEST_PAGE) == (
        r.FETCH_GUEST_PAGE,
        r.LOAD_GUEST_PAGE,
        r.STORE_GUEST_PAGE,
    )
    assert list(mmio.ACCESS_FAULT.values()) == [r.FETCH_ACCESS, r.LOAD_ACCESS, r.STORE_ACCESS]


def test_a_vm_pays_for_what_its_devices_move() -> None:
    size = 0x8000

    def write(vm: VM, gpa: int, *words: int) -> None:
        vm.ram.write(gpa, b"".join(word.to_bytes(8, "little") for word in words))

    def put(hart: FakeHart, register: int, value: int) -> Trap:
        hart.state[SLOT["x5"]] = value
        return store(store_word("sw", 5), 0x1000_1000 + register)

    def printer(hart: FakeHart) -> Script:
        vm = hv.vms[0]
        table, avail, used = RAM + 0x300000, RAM + 0x301000, RAM + 0x302000
        write(vm, table, RAM, size)  # one readable buffer
        write(vm, avail, 1 << 16)  # which is available
        setup = [(0x70, 1), (0x70, 2), (0x24, 1), (0x20, 1), (0x70, 8), (0x30, 1), (0x38, 1)]
        for register, value in (*setup, (0x80, table), (0x90, avail), (0xA0, used), (0x44, 1)):
            yield put(hart, register, value)
        before, others = hart.state[r.CLOCK], hv.vms[1].steps
        yield put(hart, 0x70, 4)  # DRIVER_OK serves what is available
        costs.append(hart.state[r.CLOCK] - before - 1 - EXIT_COST)
        yield 1
        costs.append(hv.vms[1].steps - others)
        yield from power_off(hart)

    def neighbour(hart: FakeHart) -> Script:
        for _ in range(1000):
            yield 100
        yield from power_off(hart)

    costs: list[int] = []
    hv = host(printer, neighbour, slice_steps=1000, clock="vm")
    hv.run()
    a, b = hv.vms
    assert a.reason == b.reason == "powered off" and len(a.console.transcript) == size
    assert size * BYTE_COST < costs[0] < size * BYTE_COST + 50 * ACCESS_COST
    assert costs[1] > size * BYTE_COST  # what its neighbour ran meanwhile


def test_a_look_at_an_exit_costs_the_vm_nothing() -> None:
    def script(hart: FakeHart) -> Script:
        yield load(0, DEVICE)  # htinst says nothing: the instruction is fetched from RAM
        yield from power_off(hart)

    looked, plain = host(script), host(script)
    for exit_ in looked.exits():
        exit_.explain()
    plain.run()
    assert looked.virtual_ns == plain.virtual_ns == plain.steps + EXIT_COST * 2
