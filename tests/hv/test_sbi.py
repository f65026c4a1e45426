"""SBI v3.0 as guests see it: what each call returns, and what it does to registers and memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rvhv.cpu.state import SLOT, Fence
from rvhv.hv import VM, Hypervisor
from tests.hv.fake_hart import FakeHart, Script
from tests.hv.machines import MEMORY, RAM, SBI_BASE, SBI_SRST, host, power_off

TIME, IPI, RFENCE, DBCN = 0x54494D45, 0x735049, 0x52464E43, 0x4442434E
NOT_SUPPORTED, INVALID_PARAM = -2, -3
MASK64 = (1 << 64) - 1

Calls = Callable[[FakeHart, VM], Script]


def guest(*calls: tuple[int, ...]) -> tuple[Hypervisor, list[tuple[int, int]], bytearray]:
    """Make the calls (eid, fid, args...) one after the other; what they returned and what was printed."""
    got: list[tuple[int, int]] = []

    def script(hart: FakeHart) -> Script:
        for eid, fid, *args in calls:
            hart.state[SLOT["x11"]] = 77
            yield hart.ecall(eid, fid, *args)
            got.append(hart.ret)
        yield from power_off(hart)

    hv = host(script)
    printed = bytearray()
    hv.on_console = lambda vm, data: printed.extend(data)
    hv.run()
    assert hv.vms[0].reason == "powered off"
    return hv, got, printed


def test_base() -> None:
    probes = [SBI_BASE, TIME, IPI, RFENCE, DBCN, SBI_SRST, 0, 1, 2, 5, 6, 7, 3, 4, 8, 0x48534D, MASK64]
    _, got, _ = guest(*((SBI_BASE, fid, 3) for fid in range(7)), *((SBI_BASE, 3, eid) for eid in probes))
    assert got[:7] == [(0, 3 << 24), (0, 0x72766876), (0, 1), (0, 0), (0, 0), (0, 0), (0, 0)]
    assert [value for _, value in got[7:]] == [1] * 12 + [0] * 5


@pytest.mark.parametrize("eid", [0x48534D, IPI | 1 << 32, 0x10 | 1 << 32, MASK64, 0x09000000, 0x10F])
@pytest.mark.parametrize("fid", [0, 1, MASK64])
def test_unknown_extensions_are_not_supported(eid: int, fid: int) -> None:
    assert guest((eid, fid))[1] == [(NOT_SUPPORTED, 0)]


@pytest.mark.parametrize(
    ("eid", "fid"),
    [(SBI_BASE, 7), (TIME, 1), (IPI, 1), *((RFENCE, n) for n in range(3, 8)), (DBCN, 3), (SBI_SRST, 1), (SBI_BASE, 1 << 32)],
)
def test_unknown_functions_are_not_supported(eid: int, fid: int) -> None:
    assert guest((eid, fid))[1] == [(NOT_SUPPORTED, 0)]


def test_all_registers_but_a0_and_a1_are_preserved() -> None:
    seen: list[list[int]] = []

    def script(hart: FakeHart) -> Script:
        for n in range(1, 32):
            hart.state[SLOT[f"x{n}"]] = 1000 + n
        trap = hart.ecall(SBI_BASE, 0)
        seen.append(list(hart.state[SLOT["x0"] : SLOT["x0"] + 32]))
        yield trap
        seen.append(list(hart.state[SLOT["x0"] : SLOT["x0"] + 32]))
        yield from power_off(hart)

    host(script).run()
    before, after = seen
    before[10:12] = after[10:12] = [0, 0]
    assert before == after


def test_ecall_is_stepped_over() -> None:
    pcs: list[int] = []

    def script(hart: FakeHart) -> Script:
        pcs.append(hart.state[SLOT["pc"]])
        yield hart.ecall(SBI_BASE, 0)
        pcs.append(hart.state[SLOT["pc"]])
        yield from power_off(hart)

    host(script).run()
    assert pcs[1] == pcs[0] + 4


class TestDebugConsole:
    def test_write(self) -> None:
        # the image's bytes are 0..255
        _, got, printed = guest((DBCN, 0, 16, RAM + 0x200000 + 0x41, 0), (DBCN, 2, 0x1234_5621), (DBCN, 0, 0, RAM, 0))
        assert got == [(0, 16), (0, 0), (0, 0)]
        assert printed == b"ABCDEFGHIJKLMNOP!"

    def test_untouched_memory_reads_as_zeros(self) -> None:
        hv, got, printed = guest((DBCN, 0, 3, RAM + MEMORY - 3, 0))
        assert (got, printed) == ([(0, 3)], b"\0\0\0")

    def test_a_call_moves_a_page_at_most(self) -> None:
        _, got, printed = guest((DBCN, 0, MEMORY, RAM, 0))
        assert got == [(0, 4096)] and len(printed) == 4096

    @pytest.mark.parametrize("fid", [0, 1])
    @pytest.mark.parametrize(
        ("n", "lo", "hi"),
        [
            (1, RAM - 1, 0),
            (2, RAM - 1, 0),
            (1, RAM + MEMORY, 0),
            (2, RAM + MEMORY - 1, 0),
            (MASK64, RAM, 0),
            (MASK64, MASK64, 0),
            (1, MASK64, 0),
            (1, 0, 0),
            (1, 0x1000_1000, 0),
            (0, RAM, 1),
            (1, RAM, 1),
            (1, RAM, MASK64),
        ],
    )
    def test_ranges_that_are_not_ram(self, fid: int, n: int, lo: int, hi: int) -> None:
        _, got, printed = guest((DBCN, fid, n, lo, hi))
        assert got == [(INVALID_PARAM, 0)] and not printed

    def test_read(self) -> None:
        got: list[tuple[int, int]] = []

        def script(hart: FakeHart) -> Script:
            for n in (3, 0, 100, 100):
                yield hart.ecall(DBCN, 1, n, RAM + 0x300000 - 2, 0)
                got.append(hart.ret)
            got.append((0, int.from_bytes(hv.vms[0].ram.read(RAM + 0x300000 - 2, 5), "little")))
            yield from power_off(hart)

        hv = host(script)
        hv.vms[0].feed(b"abcdefg")
        hv.run()
        assert got[:4] == [(0, 3), (0, 0), (0, 4), (0, 0)]
        assert got[4][1].to_bytes(5, "little") == b"defg\0"


class TestLegacy:
    def test_putchar_returns_in_a0_alone_and_ignores_the_fid(self) -> None:
        _, got, printed = guest((1, 99, ord("x")), (1, 0, 0xFFFF_FF79))
        assert (got, printed) == ([(0, 77), (0, 77)], b"xy")

    def test_getchar(self) -> None:
        got: list[tuple[int, int]] = []

        def script(hart: FakeHart) -> Script:
            for _ in range(3):
                hart.state[SLOT["x11"]] = 77
                yield hart.ecall(2, 0)
                got.append(hart.ret)
            yield from power_off(hart)

        hv = host(script)
        hv.vms[0].feed(b"\xffz")
        hv.run()
        assert got == [(0xFF, 77), (ord("z"), 77), (-1, 77)]

    def test_timer_and_fences_return_in_a0_alone(self) -> None:
        hv, got, _ = guest((0, 99, 12345), *((eid, 99, 1) for eid in (5, 6, 7)))
        assert got == [(0, 77)] * 4
        assert fences(hv) == [Fence.FENCE_I, Fence.HFENCE_VVMA, Fence.HFENCE_VVMA]

    @pytest.mark.parametrize("eid", [3, 4, 8, 9, 15])
    def test_others_are_not_supported(self, eid: int) -> None:
        assert guest((eid, 0))[1] == [(NOT_SUPPORTED, 77)]


def test_set_timer_writes_vstimecmp_through_its_row() -> None:
    hv, got, _ = guest((TIME, 0, 12345), (TIME, 0, MASK64))
    assert got == [(0, 0), (0, 0)]
    hart = hv.hart
    assert isinstance(hart, FakeHart)
    assert [value for name, value in hart.writes if name == "vstimecmp"][-2:] == [12345, MASK64]


def fences(hv: Hypervisor) -> list[Fence]:
    """What the guest's calls fenced."""
    assert isinstance(hv.hart, FakeHart)
    return [kind for kind, *_ in hv.hart.fences[1:-1]]  # less those that began and ended the VM


class TestHarts:
    """A VM has one hart, number 0."""

    @pytest.mark.parametrize("call", [(IPI, 0), *((RFENCE, fid) for fid in range(3))])
    @pytest.mark.parametrize(
        ("mask", "base", "error"),
        [
            (0, 0, 0), (1, 0, 0), (2, 0, INVALID_PARAM), (3, 0, INVALID_PARAM), (MASK64, 0, INVALID_PARAM),
            (0, 1, 0), (1, 1, INVALID_PARAM), (0, 2, INVALID_PARAM), (0, MASK64, 0), (MASK64, MASK64, 0),
            (1, MASK64 - 1, INVALID_PARAM),
        ],
    )  # fmt: skip
    def test_hart_masks(self, call: tuple[int, int], mask: int, base: int, error: int) -> None:
        hv, got, _ = guest((*call, mask, base))
        assert got == [(error, 0)]
        itself = error == 0 and (mask & 1 == 1 or base == MASK64)
        assert isinstance(hv.hart, FakeHart)
        if call[0] == IPI:
            started, *others = [value for name, value in hv.hart.writes if name == "hvip"]
            assert (started, others) == (0, [1 << 2] * itself)
        else:
            assert len(fences(hv)) == itself

    def test_fences_are_of_the_guests_own_tables(self) -> None:
        ranges = (RFENCE, 1, 1, 0, 0x1000, 8), (RFENCE, 1, 1, 0, 0, 0), (RFENCE, 2, 1, 0, 0x1000, 8, 5)
        hv, _, _ = guest((RFENCE, 0, 1, 0), *ranges)
        assert isinstance(hv.hart, FakeHart)
        assert hv.hart.fences[2:-1] == [
            (Fence.HFENCE_VVMA, 0x1000, 8, None), (Fence.HFENCE_VVMA, None, 0, None), (Fence.HFENCE_VVMA, 0x1000, 8, 5),
        ]  # fmt: skip


class TestReset:
    @pytest.mark.parametrize(
        ("kind", "why", "reason", "failed"),
        [
            (0, 0, "powered off", False),
            (0, 1, "powered off: system failure", True),
            (1, 0, "asked for a cold reboot", False),
            (2, 1, "asked for a warm reboot: system failure", True),
            (1 << 32, 1 << 32, "powered off", False),  # both parameters are 32 bits wide
        ],
    )
    def test_stops_the_vm(self, kind: int, why: int, reason: str, failed: bool) -> None:
        def script(hart: FakeHart) -> Script:
            yield hart.ecall(SBI_SRST, 0, kind, why)

        hv = host(script)
        hv.run()
        vm = hv.vms[0]
        assert (vm.state, vm.reason, vm.failed, hv.finished) == ("stopped", reason, failed, True)

    @pytest.mark.parametrize(
        ("kind", "why"), [(3, 0), (0, 2), (0xF000_0000, 0), (0, 0xE000_0000), (0xFFFF_FFFF_F000_0000, 0), (5, 9)]
    )
    def test_reserved_values_are_refused(self, kind: int, why: int) -> None:
        assert guest((SBI_SRST, 0, kind, why))[1] == [(INVALID_PARAM, 0)]
