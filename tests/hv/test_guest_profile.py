"""A VM has what its device tree says: floating point of its own, cache blocks, Svadu, Svpbmt, wide and NAPOT page tables."""

from __future__ import annotations

import pytest

from rvhv.core.registry import ISA
from rvhv.cpu.state import ARCH_WORDS, SLOT
from rvhv.hv import VM, Hypervisor
from rvhv.isa.render.asm import Assembler
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image, Segment
from rvhv.machine.isa_string import isa_string
from tests.hv.machines import IMAGE, MEMORY, RAM, host

POWER_OFF = "li a7, 0x53525354; li a6, 0; li a0, 0; li a1, 0; ecall"
CATCH = f"""
        j start
        .balign 4
    handler:
        csrr s10, scause; csrr s11, stval
        {POWER_OFF}
    start:
        la t0, handler; csrw stvec, t0
"""
FP_ON = "li t0, 0x2000; csrs sstatus, t0"
ILLEGAL, LOAD_PAGE_FAULT = 2, 13


def image(source: str) -> Image:
    code = Assembler(ISA).program(source, BOARD.image_base)
    return Image("assembled", BOARD.image_base, (Segment(BOARD.image_base, code, 16384),), b"")


def ran(source: str) -> VM:
    """The VM that ran `source` and powered itself off."""
    with Hypervisor(memory="16M") as hv:
        vm = hv.create("a", image(f"{CATCH}{source}; {POWER_OFF}"), memory="4M")
        hv.run(max_steps=100_000)
        assert vm.reason == "powered off"
        return vm


def csr(vm: VM, name: str) -> int:
    return vm.vcpu.state[SLOT[name]]


def f(vm: VM, i: int) -> int:
    return csr(vm, f"f{i}")


def fetched(vm: VM, gva: int) -> int | None:
    """The gpa that a fetch reaches through the VS-stage, mapped by the G-stage or not."""
    walk = vm.vcpu.walk(gva, "fetch", mode="VS")
    return walk.reached.gpa if walk.reached else walk.fault.gpa if walk.fault else None


class TestFloatingPoint:
    def test_is_off_until_the_guest_turns_it_on(self) -> None:
        vm = ran("csrr s0, sstatus; fmv.d.x f1, zero")
        assert vm.vcpu.x[8] >> 13 & 3 == 0
        assert vm.vcpu.x[26] == ILLEGAL

    def test_works_when_the_guest_turned_it_on(self) -> None:
        vm = ran(f"{FP_ON}; li t0, 3; fcvt.d.w f1, t0; fdiv.d f2, f1, f1; csrr s0, sstatus")
        assert vm.vcpu.x[26] == 0 and f(vm, 2) == 0x3FF0_0000_0000_0000
        assert vm.vcpu.x[8] >> 13 & 3 == 3 and vm.vcpu.x[8] >> 63  # Dirty

    COMPUTE = """
        li s9, 0
    again:
        {check}
        csrr t2, fcsr; li t3, {fcsr}; beq t2, t3, same
        addi s9, s9, 1
    same:
        fdiv.d f0, f1, f2
        addi s0, s0, -1
        bnez s0, again
    """

    def computing(self, seed: int, fcsr: int, rounds: int) -> str:
        """Every register its own value, a rounding mode and flags of its own; s9 counts what was not as it was left."""
        fill = "".join(f"li t0, {seed + i << 40 | i}; fmv.d.x f{i}, t0;" for i in range(3, 32))
        ask = "".join(
            f"fmv.x.d t0, f{i}; li t1, {seed + i << 40 | i}; beq t0, t1, ok{i}; addi s9, s9, 1; ok{i}:\n" for i in range(3, 32)
        )
        numbers = f"li t0, {seed}; fcvt.d.l f1, t0; li t0, 3; fcvt.d.l f2, t0"
        first = "".join(f"fmv.x.d t0, f{i}; or s8, s8, t0;" for i in range(32)) + "csrr t0, fcsr; or s8, s8, t0"
        loop = self.COMPUTE.format(check=ask, fcsr=fcsr)
        return f"{FP_ON}; {first}; {fill}; {numbers}; li t0, {fcsr}; csrw fcsr, t0; li s0, {rounds}; {loop}"

    @pytest.mark.parametrize("slice_steps", [1, 97, 1000])
    def test_neighbours_do_not_share_registers(self, slice_steps: int) -> None:
        """Flags NX (1) is set in both: a third cannot be exact; the rounding modes are down, up and nearest."""
        down, up, near = 2 << 5 | 1, 3 << 5 | 1 | 1 << 3, 1
        with Hypervisor(memory="32M", slice_steps=slice_steps) as hv:
            computing = [(hv.create(n, image(self.computing(s, r, 40) + POWER_OFF), memory="4M"), s, r)
                         for n, s, r in (("a", 7, down), ("b", 1000, up), ("c", 2, near))]  # fmt: skip
            idle = hv.create("idle", image("li s0, 3000; more: addi s0, s0, -1; bnez s0, more;" + POWER_OFF), memory="4M")
            hv.run(max_steps=1_000_000)
            for vm, seed, fcsr in computing:
                assert vm.reason == "powered off"
                assert (vm.vcpu.x[24], vm.vcpu.x[25]) == (0, 0)  # clean at the start, never disturbed
                assert [f(vm, i) for i in range(3, 32)] == [seed + i << 40 | i for i in range(3, 32)]
                assert csr(vm, "fcsr") == fcsr
            by_vm = [f(vm, 0) for vm, _, _ in computing]
            # 7/3 down, 1000/3 up, 2/3 to nearest: each one step beside what another mode gives, or not, as IEEE 754 says
            assert by_vm == [0x4002_AAAA_AAAA_AAAA, 0x4074_D555_5555_5556, 0x3FE5_5555_5555_5555]
            assert [f(idle, i) for i in range(32)] == [0] * 32 and csr(idle, "fcsr") == 0

    def test_the_block_of_a_vcpu_holds_all_that_a_guest_can_write(self) -> None:
        """What VS-mode reaches by CSR instructions lies in the block, or is told by `pmp_epoch`, which no guest can write."""
        reached = [c for c in ISA.csrs.values() if c.number >> 8 & 3 < 2 and c.number >> 10 != 3]
        names = {vs for c in reached if (vs := c.vs)} | {c.name for c in reached if not c.vs}
        written = {slot for name in names for slot, _ in ISA.csrs[name].writes}
        assert {"vsstatus", "vsepc", "fcsr", "senvcfg", "mie", "hvip"} <= written
        assert {slot for slot in written if SLOT[slot] >= ARCH_WORDS} == set()
        assert all(SLOT[f"f{i}"] < ARCH_WORDS for i in range(32))


PAGING = """
        la t0, root; li t1, {pte}; sd t1, 16(t0)        # one gigapage: RAM to itself
        li t1, {alias}; sd t1, 24(t0)                   # and another name for it, at 0xc000_0000
        srli t0, t0, 12; li t1, 8; slli t1, t1, 60; or t0, t0, t1; csrw satp, t0
        j paged
        .balign 4096
    root: .zero 4096
    cell: .zero 4096
    paged:
"""
RAM_PPN = RAM >> 12 << 10
ALL, AD = 0x0F, 0xC0
PBMT_IO = 2 << 61


class TestStateEnables:
    def test_what_the_tree_calls_smstateen_is_there(self) -> None:
        vm = ran("; ".join(f"csrw sstateen{n}, zero; csrr s{n + 2}, sstateen{n}" for n in range(4)))
        assert "smstateen" in isa_string(hypervisor=False)
        assert vm.vcpu.x[26] == 0


class TestMemory:
    @pytest.mark.parametrize("operation", ["cbo.zero", "cbo.clean", "cbo.flush", "cbo.inval"])
    def test_cache_blocks(self, operation: str) -> None:
        vm = ran(f"li s0, 0x80300000; li t0, -1; sd t0, 56(s0); {operation} (s0); ld s1, 56(s0)")
        assert vm.vcpu.x[26] == 0
        assert vm.vcpu.x[9] == (0 if operation == "cbo.zero" else (1 << 64) - 1)

    def test_the_hart_sets_a_and_d(self) -> None:
        paging = PAGING.format(pte=RAM_PPN | ALL | AD, alias=RAM_PPN | ALL)
        vm = ran(paging + "la s0, cell; li t1, 0x40000000; add t1, t1, s0; sd zero, 0(t1); la t0, root; ld s1, 24(t0)")
        assert vm.vcpu.x[26] == 0 and vm.vcpu.x[9] & 0xFF == ALL | AD

    def test_page_based_memory_types(self) -> None:
        paging = PAGING.format(pte=RAM_PPN | ALL | AD, alias=PBMT_IO | RAM_PPN | ALL | AD)
        vm = ran(paging + "la s0, cell; li t1, 0x40000000; add t1, t1, s0; li t0, 5; sd t0, 0(t1); ld s1, 0(s0)")
        assert vm.vcpu.x[26] == 0 and vm.vcpu.x[9] == 5
        reserved = PAGING.format(pte=RAM_PPN | ALL | AD, alias=3 << 61 | RAM_PPN | ALL | AD)
        assert ran(reserved + "li t1, 0xc0300000; ld t0, 0(t1)").vcpu.x[26] == LOAD_PAGE_FAULT


class TestFetch:
    """Instructions are found under every mode that the device tree offers."""

    @pytest.mark.parametrize(("mode", "levels"), [(8, 3), (9, 4), (10, 5)])
    @pytest.mark.parametrize("high", [False, True])
    def test_modes(self, mode: int, levels: int, high: bool) -> None:
        vm = self.vm()
        sign = 12 + 9 * levels - 1
        gva = (((1 << 64) - (1 << sign)) if high else 0) | 0x5_4321_0ABC & (1 << sign) - 1
        table, target = RAM + 0x10_0000, RAM + 0x20_0000
        vm.vcpu.state[SLOT["vsatp"]] = mode << 60 | table >> 12
        for level in range(levels - 1, -1, -1):
            slot = table + 8 * (gva >> 12 + 9 * level & 0x1FF)
            table = table + 0x1000 if level else target
            vm.ram.write(slot, (table >> 12 << 10 | (1 if level else 0xCF)).to_bytes(8, "little"))
        assert fetched(vm, gva) == target | 0xABC
        assert fetched(vm, gva ^ 1 << 63) is None  # not canonical

    def test_napot(self) -> None:
        vm = self.vm()
        table = RAM + 0x10_0000
        vm.vcpu.state[SLOT["vsatp"]] = 8 << 60 | table >> 12
        vm.ram.write(table, ((table + 0x1000) >> 12 << 10 | 1).to_bytes(8, "little"))
        vm.ram.write(table + 0x1000, ((table + 0x2000) >> 12 << 10 | 1).to_bytes(8, "little"))
        leaf = 1 << 63 | (RAM + 0x20_0000 >> 12 | 8) << 10 | 0xCF
        for page in range(16):
            vm.ram.write(table + 0x2000 + 8 * page, leaf.to_bytes(8, "little"))
        assert fetched(vm, 0xF124) == RAM + 0x20_F124
        assert fetched(vm, 0x1_0000) is None

    def vm(self) -> VM:
        hv = host(memory="16M")
        return hv.create("a", IMAGE, memory=MEMORY)
