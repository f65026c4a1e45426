"""VMs from creation to end: what is refused, what a guest can only do to itself, and that frames come back."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from rvhv.cpu.state import SLOT, Exit
from rvhv.errors import ConfigError, DeviceError, ImageError, InternalError
from rvhv.hv import GuestPageFaultExit, Hypervisor, MmioExit, SbiExit, Sv39x4, VirtualInstructionExit, VmExit, WfiExit
from rvhv.hv import registers as r
from rvhv.hv.exits import WFI
from rvhv.hv.gstage import LEAF
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image, Segment
from tests.hv.fake_hart import FakeHart, Script, Stop, Trap
from tests.hv.machines import IMAGE, MEMORY, RAM, SBI_BASE, host, power_off, slot
from tests.hv.test_mmio import DEVICE, load, load_word, store, store_word


def forever(hart: FakeHart) -> Script:
    while True:
        yield 1000


class TestConfiguration:
    @pytest.mark.parametrize(
        "memory",
        ["0", 0, -4096, "64K", "1000000", 4097, "2M1", "much", "", "1.5M", "-1M", "M", "12E", "3 M", "256M", 1 << 50],
    )
    def test_memory_sizes(self, memory: Any) -> None:
        hv = host()
        with pytest.raises(ConfigError) as error:
            hv.create("x", IMAGE, memory=memory)
        assert "\n" not in str(error.value)
        assert not hv.vms and hv.frames.available * 4096 == hv.memory_size

    @pytest.mark.parametrize("memory", ["0", "4K", "nothing", 4097 << 12 | 1])
    def test_the_machine_s_memory(self, memory: Any) -> None:
        with pytest.raises(ConfigError):
            host(memory=memory)

    @pytest.mark.parametrize("size", ["4M", "4m", "4MiB", "4096K", 4 << 20, " 4M "])
    def test_ways_to_write_a_size(self, size: Any) -> None:
        assert host(forever).create("x", IMAGE, memory=size).memory_size == 4 << 20

    @pytest.mark.parametrize(
        ("memory", "message"),
        [
            ("64K", "memory of x: 64K is too small for tiny, give it at least 2052K"),
            (0, "memory of x: 0 is too small for tiny, give it at least 2052K"),
            ((3 << 20) + 1024, "memory of x: 3073K is not a whole number of 4 KiB pages"),
            (32 << 20, "memory of x: 32M is more than the machine's 16M"),
            ("lots", "'lots' is not a size: write a number with K, M or G, such as 32M"),
        ],
    )
    def test_messages(self, memory: Any, message: str) -> None:
        with pytest.raises(ConfigError) as error:
            host().create("x", IMAGE, memory=memory)
        assert str(error.value) == message

    def test_names(self) -> None:
        hv = host(forever)
        with pytest.raises(ConfigError, match="already"):
            hv.create("a", IMAGE, memory=MEMORY)
        with pytest.raises(ConfigError):
            hv.create("a\nb", IMAGE, memory=MEMORY)
        with pytest.raises(ConfigError):
            hv.create("", IMAGE, memory=MEMORY)
        assert len(hv.vms) == 1

    def test_other_options(self) -> None:
        with pytest.raises(ConfigError, match="slice"):
            host(slice_steps=0)
        with pytest.raises(ConfigError, match="clock"):
            host(clock="sundial")
        for options in ({"slice_steps": "1000"}, {"slice_steps": 1000.5}, {"memory": 1.5e8}, {"memory": None}):
            with pytest.raises(ConfigError, match="is a whole number, not"):
                host(**options)
        with pytest.raises(ConfigError, match="max_steps is a whole number, not 10.0"):
            host().run(max_steps=10.0)  # type: ignore[arg-type]

    def test_images(self, tmp_path: Path) -> None:
        hv = host(memory="64M")
        with pytest.raises(ImageError, match="did you mean 'tasks'"):
            hv.create("taks")
        with pytest.raises(ImageError, match="there is no such file"):
            hv.create("x", tmp_path / "none.elf")
        with pytest.raises(ConfigError, match="2M is too small for tiny, give it at least 2052K"):
            hv.create("x", IMAGE, memory="2M")
        high = Image("high", BOARD.image_base, (Segment(BOARD.ram_base + (1 << 40), b"\x13", 4096),), b"")
        with pytest.raises(ImageError, match="more memory"):
            hv.create("x", high, memory="4M")
        with pytest.raises(ImageError, match="without a name"):
            hv.create("x", "")
        low = Image("low", BOARD.device_tree, (Segment(BOARD.device_tree, b"\x13", 4096),), b"")
        with pytest.raises(ImageError, match="device tree"):
            hv.create("x", low, memory=MEMORY)
        assert not hv.vms and hv.frames.available * 4096 == hv.memory_size

    def test_disks(self, tmp_path: Path) -> None:
        path = tmp_path / "disk.raw"
        path.write_bytes(bytes(1024))
        hv = host(forever, forever)
        hv.hart._makers[3] = hv.hart._makers[4] = forever  # type: ignore[attr-defined]
        hv.create("x", IMAGE, memory=MEMORY, disk=path)
        with pytest.raises(DeviceError, match="in use"):
            hv.create("y", IMAGE, memory=MEMORY, disk=path)
        with pytest.raises(DeviceError):
            hv.create("y", IMAGE, memory=MEMORY, disk=tmp_path / "none.raw")
        hv.stop_all("enough")
        hv.create("y", IMAGE, memory=MEMORY, disk=path)  # the disk is free again
        hv.close()

    def test_built_in_guests_need_only_a_name(self) -> None:
        vm = host(memory="64M").create("hello")
        assert vm.image.name == "hello" and vm.memory_size == 32 << 20


class TestStart:
    def test_registers(self) -> None:
        seen: dict[str, int] = {}

        def script(hart: FakeHart) -> Script:
            names = "pc v x10 x11 vsatp hgatp medeleg hedeleg hideleg hstatus hcounteren mcounteren henvcfg vstimecmp"
            seen.update({name: hart.state[SLOT[name]] for name in names.split()})
            yield from power_off(hart)

        hv = host(script)
        root = hv.vms[0].gstage.root
        hv.run()
        assert seen["pc"] == BOARD.image_base and seen["v"] == 1 and seen["vsatp"] == 0
        assert seen["x10"] == 0 and seen["x11"] == BOARD.device_tree
        assert seen["hgatp"] == 8 << 60 | 1 << 44 | root >> 12
        assert seen["medeleg"] & ~seen["hedeleg"] == 1 << 10 | 0b1111 << 20
        assert seen["hedeleg"] == 0b1011_0001_1111_1111
        assert seen["hideleg"] == 1 << 2 | 1 << 6 | 1 << 10
        assert seen["hstatus"] & r.VTW
        assert seen["hcounteren"] == seen["mcounteren"] == 7
        assert seen["henvcfg"] >> 63 == 1 and seen["vstimecmp"] == (1 << 64) - 1

    def test_ram(self) -> None:
        vm = host(forever).vms[0]
        assert vm.ram.read(BOARD.device_tree, 4) == b"\xd0\x0d\xfe\xed"
        assert vm.ram.read(BOARD.image_base, 257) == bytes(range(256)) + b"\0"


class TestEnds:
    def stopped_by(self, *events: Trap | Stop) -> Hypervisor:
        def script(hart: FakeHart) -> Script:
            yield from events

        def neighbour(hart: FakeHart) -> Script:
            yield 500_000
            yield from power_off(hart)

        hv = host(script, neighbour, slice_steps=1000)
        hv.run()
        a, b = hv.vms
        assert a.state == "stopped" and a.failed
        assert b.reason == "powered off" and b.steps == 500_001
        assert hv.frames.available * 4096 == hv.memory_size
        return hv

    def test_an_unexpected_trap(self) -> None:
        hv = self.stopped_by(Trap(2, tval=0xBAD))
        assert hv.vms[0].reason == (
            "a trap the hypervisor does not expect: illegal instruction at pc 0x80200000, stval 0xbad"
        )

    def test_an_unexpected_interrupt(self) -> None:
        reason = self.stopped_by(Trap(1 << 63 | 5)).vms[0].reason
        assert "supervisor timer interrupt" in reason

    def test_a_trap_loop(self) -> None:
        assert self.stopped_by(Stop(Exit.TRAP_LOOP)).vms[0].reason.startswith("trap loop at pc 0x80200000, cause 0")

    def test_another_exit_is_our_bug(self) -> None:
        with pytest.raises(InternalError):
            self.stopped_by(Stop(Exit.WATCH))

    def test_out_of_host_frames(self) -> None:
        def greedy(hart: FakeHart) -> Script:
            for gpa in range(RAM + 0x201000, RAM + MEMORY, 4096):
                yield load(load_word("lb", 5), gpa)
            raise AssertionError

        def modest(hart: FakeHart) -> Script:
            yield 500_000
            yield hart.ecall(0x4442434E, 1, 5, RAM + 0x300000, 0)
            assert hart.ret == (0, 5)
            yield from power_off(hart)

        hv = host(greedy, modest, memory="4M", slice_steps=100_000)
        hv.vms[1].feed(b"hello")
        hv.run(max_steps=1)
        held = [hv.frames.alloc() for _ in range(hv.frames.available - 40)]
        hv.run()
        assert hv.vms[0].reason == "out of host frames: all of the machine's 4M are in use" and hv.vms[0].failed
        assert hv.vms[1].reason == "powered off"
        assert (hv.frames.available + len(held)) * 4096 == hv.memory_size

    def test_out_of_host_frames_in_an_sbi_call(self) -> None:
        def script(hart: FakeHart) -> Script:
            yield hart.ecall(0x4442434E, 1, 5, RAM + 0x300000, 0)
            raise AssertionError

        hv = host(script)
        hv.vms[0].feed(b"hello")
        while hv.frames.available:
            hv.frames.alloc()
        hv.run()
        assert hv.vms[0].reason.startswith("out of host frames")

    @pytest.mark.parametrize("left", [0, 3, 8])
    def test_out_of_host_frames_at_its_creation(self, left: int) -> None:
        hv = host(power_off)
        held = [hv.frames.alloc() for _ in range(hv.frames.available - left)]
        vm = hv.create("late", IMAGE, memory=MEMORY)
        assert vm.state == "stopped" and vm.reason.startswith("out of host frames")
        assert hv.frames.available == left
        hv.run()
        assert hv.vms[0].reason == "powered off"
        assert (hv.frames.available + len(held)) * 4096 == hv.memory_size

    def test_stop_all(self) -> None:
        hv = host(forever, power_off)
        hv.run(max_steps=5_000_000)
        hv.stop_all("stopped by Ctrl-C")
        hv.stop_all("again")
        assert [vm.reason for vm in hv.vms] == ["stopped by Ctrl-C", "powered off"]
        assert hv.finished and hv.run() == 0

    def test_close(self) -> None:
        with host(forever) as hv:
            hv.run(max_steps=10)
        assert hv.finished and hv.frames.available * 4096 == hv.memory_size


class TestIllegalInstructions:
    def test_virtual_instructions_become_illegal_ones(self) -> None:
        csrr_hstatus = 0x6000_25F3

        def script(hart: FakeHart) -> Script:
            hart.state[SLOT["vstvec"]] = RAM + 0x200041  # MODE is vectored: exceptions go to BASE
            yield Trap(r.VIRTUAL_INSTRUCTION, tval=csrr_hstatus)
            assert hart.state[SLOT["pc"]] == RAM + 0x200040
            yield Trap(0x55)

        hv = host(script)
        hv.run()
        vm = hv.vms[0]
        assert slot(vm, "vscause") == 2 and slot(vm, "vstval") == csrr_hstatus and slot(vm, "vsepc") == RAM + 0x200000


class TestExits:
    def script(self, hart: FakeHart) -> Script:
        yield 100
        yield hart.ecall(SBI_BASE, 0)
        yield hart.ecall(0x4442434E, 0, 5, RAM, 0)
        yield hart.ecall(0xBAD, 7)
        yield hart.ecall(2, 0)
        yield load(load_word("lw", 5), RAM + 0x300000)
        yield Trap(r.LOAD_GUEST_PAGE, tval=0x1000, gpa=RAM + 0x301000, tinst=0x3000)
        yield load(load_word("lw", 5), 0x1000_1000)
        yield store(store_word("sw", 5), 0x1000_1070)
        yield load(load_word("lw", 5), 0x4000)
        yield Trap(r.VIRTUAL_INSTRUCTION, tval=0x6000_25F3)
        hart.state[SLOT["mie"]] |= r.VSTIP
        hart.state[SLOT["vstimecmp"]] = 1_000_000
        yield Trap(r.VIRTUAL_INSTRUCTION, tval=WFI)
        yield Trap(r.VIRTUAL_INSTRUCTION, tval=WFI)
        yield Trap(6, tval=3)

    def test_objects(self) -> None:
        hv = host(self.script)
        seen = list(hv.exits())
        assert [type(e) for e in seen] == [
            *[SbiExit] * 4, *[GuestPageFaultExit] * 2, *[MmioExit] * 3, VirtualInstructionExit, *[WfiExit] * 2, VmExit,
        ]  # fmt: skip
        for e in seen:
            sentence = e.explain()
            assert sentence.startswith("a: ") and sentence.endswith(".") and "\n" not in sentence
        texts = [e.explain() for e in seen]
        assert "get_spec_version (BASE)" in texts[0] and "SBI_SUCCESS, value 0x3000000" in texts[0]
        assert "0x80200000" in texts[0] and "`ecall`" in texts[0]
        assert "SBI_ERR_NOT_SUPPORTED" in texts[2]
        assert "V=0: nothing is mapped here, in the level 0 PTE 0x0 at h:" in texts[4] and "gpa 0x80300000" in texts[4]
        assert "walking the VS-stage tables for gva 0x1000" in texts[5]
        assert "offset 0x0 of virtio console and gives 0x74726976" in texts[6]
        assert "the store of 0x74726976" in texts[7] and "offset 0x70 of virtio console" in texts[7]
        assert "gets cause 5, load access fault" in texts[8]
        assert "virtual-instruction exception" in texts[9]
        assert "deadline, 100000000 ns" in texts[10]
        assert "falls through" in texts[11]

    def test_the_same_run_as_run(self) -> None:
        hashes = []
        for look in (False, True):
            hv = host(self.script, forever)
            if look:
                for _ in hv.exits():
                    if hv.vms[0].stopped:
                        break
                assert len(hv.vms[0].exit_counts) > 3
            while not hv.vms[0].stopped:
                hv.run(max_steps=1000)
            hashes.append((hv.vms[0].trace_hash(), hv.vms[0].exit_counts, hv.vms[0].reason))
        assert hashes[0] == hashes[1]

    def test_counts(self) -> None:
        hv = host(self.script)
        hv.run()
        assert hv.vms[0].exit_counts == {
            "environment call from VS-mode": 4,
            "load guest-page fault": 4,
            "virtual instruction": 3,
            "store/AMO guest-page fault": 1,
            "store/AMO address misaligned": 1,
        }


class TestReplacedHandlers:
    def test_mmio(self) -> None:
        calls: list[tuple[int, bool]] = []

        def handle(exit_: MmioExit) -> bool:
            assert exit_.access is not None
            calls.append((exit_.gpa, exit_.access.store))
            if exit_.gpa != 0x4000:
                return False
            exit_.vm.vcpu.x[exit_.access.register] = 42
            exit_.advance()
            return True

        def script(hart: FakeHart) -> Script:
            yield load(load_word("lw", 5), 0x4000)
            assert hart.state[SLOT["x5"]] == 42
            yield load(load_word("lw", 5), 0x1000_1000)
            assert hart.state[SLOT["x5"]] == 0x74726976
            yield load(load_word("lw", 5), RAM + 0x300000)
            yield from power_off(hart)

        hv = host(script)
        hv.on(MmioExit, handle)
        hv.run()
        assert hv.vms[0].reason == "powered off"
        assert calls == [(0x4000, False), (0x1000_1000, False)]

    def test_sbi_and_csrs(self) -> None:
        def handle(exit_: SbiExit) -> bool | None:
            if exit_.eid != 0x0900_0000:
                return False
            exit_.vm.vcpu.x[10] = exit_.args[0] + 1
            exit_.vm.vcpu.csr["vscause"] = 11
            assert exit_.vm.vcpu.csr["vscause"] == 11
            exit_.advance()
            return None

        def script(hart: FakeHart) -> Script:
            yield hart.ecall(0x0900_0000, 0, 6)
            assert hart.ret[0] == 7
            yield from power_off(hart)

        hv = host(script)
        hv.on(SbiExit, handle)
        hv.run()
        vm = hv.vms[0]
        assert vm.reason == "powered off"
        assert vm.vcpu.csr["vscause"] == 11
        with pytest.raises(ConfigError):
            vm.vcpu.csr["vscause"] = 1
        with pytest.raises(ConfigError):
            vm.vcpu.csr["vsip"]
        with pytest.raises(KeyError):
            vm.vcpu.csr["vsnonsense"]
        assert dict(vm.vcpu.csr)["vscause"] == 11 and len(vm.vcpu.csr) == len(dict(vm.vcpu.csr))

    def test_a_handler_that_raises_gets_the_exit_again(self) -> None:
        def script(hart: FakeHart) -> Script:
            yield 10
            yield hart.ecall(SBI_BASE, 0)
            assert hart.ret == (0, 0x3000000)
            yield from power_off(hart)

        def handle(exit_: SbiExit) -> bool:
            calls.append(hv.steps)
            if len(calls) < 3:
                raise (ValueError, KeyboardInterrupt)[len(calls) - 1]
            return False

        calls: list[int] = []
        hv, plain = host(script), host(script)
        hv.on(SbiExit, handle)
        with pytest.raises(ValueError):
            hv.run()
        with pytest.raises(KeyboardInterrupt):
            list(hv.exits())
        hv.run()
        plain.run()
        assert hv.vms[0].reason == "powered off" and calls[:3] == [11] * 3
        assert (hv.trace_hash(), hv.virtual_ns) == (plain.trace_hash(), plain.virtual_ns)

    @pytest.mark.parametrize("answer", [True, False])
    def test_a_handler_may_stop_the_vm(self, answer: bool) -> None:
        def script(hart: FakeHart) -> Script:
            yield 10
            yield hart.ecall(SBI_BASE, 0)
            raise AssertionError("it is off")

        def handle(exit_: SbiExit) -> bool:
            hv.stop_all("enough")
            return answer

        hv = host(script)
        hv.on(SbiExit, handle)
        hv.run()
        assert hv.vms[0].reason == "enough" and hv.frames.available * 4096 == hv.memory_size

    def test_a_g_stage_with_a_wrong_bit_is_named(self) -> None:
        class NoUser(Sv39x4):
            def map(self, gpa: int) -> int:
                spa = super().map(gpa)
                self.memory.write_u64(self._slot(gpa, 0), spa >> 12 << 10 | LEAF & ~0x10)
                return spa

        def script(hart: FakeHart) -> Script:
            yield load(load_word("lw", 5), RAM + 0x300000)
            yield load(load_word("lw", 5), RAM + 0x300000)

        hv = host(script, gstage=NoUser)
        hv.run()
        assert "although its page is mapped: U=0" in hv.vms[0].reason


def test_what_a_driver_breaks_is_told_but_not_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    def script(hart: FakeHart) -> Script:
        hart.state[SLOT["x5"]] = 4  # DRIVER_OK with nothing before it
        for _ in range(50):
            yield store(store_word("sw", 5), 0x1000_1070)
            yield store(store_word("sw", 0), 0x1000_1070)
        yield from power_off(hart)

    hv = host(script)
    with caplog.at_level(logging.WARNING):
        hv.run()
    assert 1 <= len(caplog.records) <= 5 and "virtio console" in caplog.records[0].getMessage()
    assert DEVICE
