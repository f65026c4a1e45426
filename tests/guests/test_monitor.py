"""The monitor (guests/monitor): the same guests say and do the same under it as under the Python hypervisor, here and on QEMU."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable

import pytest
from fdt import parse_dtb

from rvhv.cli.main import main
from rvhv.cpu.state import SLOT
from rvhv.hart import Hart
from rvhv.images import image_path
from rvhv.machine.image import load_image
from tests.guests.monitor import BUILT_IN, POWER_OFF, Outcome, elf, read, shipped, under_monitor, under_python

pytestmark = pytest.mark.usefixtures("compiled")

TIMER = "supervisor timer interrupt"  # ends a slice of the monitor's; a slice of the Python hypervisor's is a budget
QEMU = "qemu-system-riscv64"
# -icount: an instruction takes 1 ns there too, so that the run is the same each time, however busy this computer is
QEMU_OPTIONS = "-M virt -cpu rv64,h=true -icount shift=0,sleep=off -m 128M -bios none -nographic -monitor none -serial stdio"
PC, V, HTINST = SLOT["pc"], SLOT["v"], SLOT["htinst"]

SET_TIMER = "li a7, 0x54494d45; li a6, 0; ecall"
FAIL = "fail: li a7, 0x53525354; li a6, 0; li a0, 0; li a1, 1; ecall"
UNKNOWN_CALLS = f"""
    li a7, 0x123456
    li a6, 0
    li a1, 77
    ecall
    li t0, -2
    bne a0, t0, fail
    bne a1, x0, fail
    li a7, 0x5
    li a1, 77
    ecall
    li t0, -2
    bne a0, t0, fail
    li t0, 77
    bne a1, t0, fail
    {POWER_OFF}
    {FAIL}
"""
NOTHING_THERE = f"""
    la t0, handler
    csrw stvec, t0
    li s0, 0x40000008
there:
    ld t1, 0(s0)
    j fail
    .balign 4
handler:
    csrr t0, scause
    li t1, 5
    bne t0, t1, fail
    csrr t0, stval
    bne t0, s0, fail
    csrr t0, sepc
    la t1, there
    bne t0, t1, fail
    {POWER_OFF}
    {FAIL}
"""
SLEEPS = f"""
    li s0, 20
    li t0, 32
    csrw sie, t0
again:
    csrr a0, time
    addi a0, a0, 100
    {SET_TIMER}
    wfi
    addi s0, s0, -1
    bne s0, x0, again
    {POWER_OFF}
"""
STORIES = {
    "powers-off": POWER_OFF,
    "fails": f"j fail\n{FAIL}",
    "faults": "li t0, 0x4000; csrw stvec, t0; ld t0, 0(x0)",
    "sleeps-forever": "wfi",
    "awaits-a-device": "li t0, 0x200; csrw sie, t0; wfi",
    "sleeps-for-ages": f"li t0, 32; csrw sie, t0; li a0, -2; {SET_TIMER}; wfi",
    "calls-nobody": UNKNOWN_CALLS,
    "reads-nothing": NOTHING_THERE,
    "sleeps": SLEEPS,
}
# the wording differs where Python knows which kind of never it is
NEVER = re.compile(r"asleep with .* and nothing")


@pytest.fixture(scope="module")
def built_in() -> Outcome:
    return under_monitor()


def same(monitor: Outcome, python: Outcome, name: str) -> None:
    failed, reason = monitor.reasons[name]
    assert (failed, NEVER.sub("asleep and nothing", reason)) == (
        python.reasons[name][0],
        NEVER.sub("asleep and nothing", python.reasons[name][1]),
    )
    assert monitor.story(name) == python.story(name)


def test_hello_and_tasks_say_the_same_under_both(built_in: Outcome) -> None:
    python = under_python(shipped(*BUILT_IN))
    for name in BUILT_IN:
        assert built_in.lines[name]
        same(built_in, python, name)
    counts = dict(built_in.exits["hello"])
    assert counts == python.exits["hello"]


def test_the_commands_show_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *BUILT_IN]) == 0
    run = read(capsys.readouterr().out)
    assert main(["boot", "monitor"]) == 0
    boot = read(capsys.readouterr().out)
    for name in BUILT_IN:
        assert run.lines[name] and run.story(name) == boot.story(name)


def test_rogue_gets_the_same_from_both_and_tasks_goes_on() -> None:
    """Each of rogue's attempts, each exit it makes and each instruction it retires; and its end in a trap loop."""
    guests = shipped("rogue", "tasks", "disk")  # disk finds no disk
    monitor, python = under_monitor(guests), under_python(guests)
    for name in guests:
        same(monitor, python, name)
    monitor.exits["rogue"].pop(TIMER)
    assert monitor.exits["rogue"] == python.exits["rogue"]
    assert monitor.instructions["rogue"] == python.instructions["rogue"]
    assert monitor.lines["tasks"][-1] == "tasks: all results correct"


PRINT_TREE = f"""
    mv s0, a1
    lbu s1, 6(s0)           # totalsize, as far as trees are long
    lbu t0, 7(s0)
    slli s1, s1, 8
    or s1, s1, t0
    add s1, s1, s0
    li a7, 0x4442434e
    li a6, 2
byte:
    lbu a0, 0(s0)
    srli a0, a0, 4
    jal ra, digit
    lbu a0, 0(s0)
    andi a0, a0, 15
    jal ra, digit
    addi s0, s0, 1
    bne s0, s1, byte
    {POWER_OFF}
digit:
    addi a0, a0, 48
    li t0, 58
    blt a0, t0, small
    addi a0, a0, 39
small:
    ecall
    ret
"""
OF_THE_HART = re.compile(r".*(riscv,isa|mmu-type|block-size|rng-seed).*")


def test_the_device_trees_are_the_same() -> None:
    """But for what the monitor copies from its machine's own tree."""

    def tree(outcome: Outcome) -> list[str]:
        text: str = parse_dtb(bytes.fromhex("".join(outcome.lines["reader"]))).to_dts()
        return [line for line in text.splitlines() if not OF_THE_HART.fullmatch(line)]

    guests = {"reader": elf(PRINT_TREE)}
    seen = tree(under_monitor(guests))
    assert seen == tree(under_python(guests)) and "virtio_mmio@10001000" in "".join(seen)


@pytest.mark.parametrize("story", STORIES)
def test_a_guest_ends_as_under_python_and_its_neighbour_goes_on(story: str) -> None:
    guests = {story: elf(STORIES[story]), **shipped("hello")}
    monitor = under_monitor(guests)
    same(monitor, under_python(guests), story)
    assert monitor.lines["hello"][-1] == "goodbye"


def test_what_is_no_image_is_one_sentence() -> None:
    broken = shipped("hello")["hello"][:5000]
    outcome = under_monitor({"text": b"no ELF file", "broken": broken, "dir/good.elf": elf(POWER_OFF)})
    assert outcome.reasons["text"] == (True, "its image is no 64-bit little-endian ELF file")
    assert outcome.reasons["broken"] == (True, "its image has a segment that lies outside the file")
    assert outcome.reasons["good"] == (False, "powered off")


def test_out_of_frames() -> None:
    greedy = "li t0, 0x80400000; li t1, 4096; again: sd t1, 0(t0); add t0, t0, t1; j again"
    outcome = under_monitor({"greedy": elf(greedy), **shipped("hello")}, memory=8 << 20)
    assert outcome.reasons["greedy"] == (True, "out of host frames: all of the machine's memory is in use")
    assert outcome.lines["hello"][-1] == "goodbye", "it got frames when greedy gave its own back"


def floats(value: int) -> str:
    """Keeps a value in a floating-point register for some slices, and looks whether it is still there."""
    return f"""
        li t0, 0x2000
        csrs sstatus, t0
        li s0, {value}
        fmv.d.x fa0, s0
        li s1, 2000000
    again:
        addi s1, s1, -1
        bne s1, x0, again
        fmv.x.d t0, fa0
        bne t0, s0, fail
        {POWER_OFF}
        {FAIL}
    """


def test_floating_point_registers_are_a_guests_own() -> None:
    outcome = under_monitor({"one": elf(floats(0x1111)), "two": elf(floats(0x2222))})
    assert set(outcome.reasons.values()) == {(False, "powered off")}
    assert outcome.exits["one"][TIMER] >= 2, "they took turns"


class Watcher:
    """Looks at the hart before each step."""

    def __init__(self, look: Callable[[Hart], None]) -> None:
        self._look = look

    def before(self, number: int, hart: Hart) -> None:
        self._look(hart)

    def after(self, number: int, hart: Hart) -> None:
        pass


DEVICES = """
    li s0, 0x0c000004       # the PLIC's priorities
    li a0, 5
    sw a0, 0(s0)
    lw a1, 0(s0)
    bne a0, a1, fail
    mv s2, sp
    c.sw a0, 4(s0)
    c.lw a1, 4(s0)
    bne a0, a1, fail
    mv sp, s0
    c.swsp a0, 8(sp)
    c.lwsp a2, 8(sp)
    bne a0, a2, fail
    li s0, 0x10001000       # virtio: zeros behind the registers
    lbu a1, 256(s0)
    bne a1, x0, fail
    c.ld a1, 0(s0)          # and the registers take words only: an access fault, to where stvec leads
    j fail
"""
HANDLED = f"la t0, handler; csrw stvec, t0; {DEVICES}\n.balign 4\nhandler: {POWER_OFF}\n{FAIL}"


@pytest.mark.parametrize("tells", [True, False])
def test_devices_whether_or_not_htinst_tells(tells: bool) -> None:
    """A hart may write 0 to htinst: then the instruction is read from the guest's code, compressed ones as they are."""
    vector = load_image(image_path("monitor")).symbols["vcpu_exit_first"]

    def forget(hart: Hart) -> None:
        if hart.state[PC] == vector:
            hart.state[HTINST] = 0

    outcome = under_monitor({"devices": elf(HANDLED)}, watcher=None if tells else Watcher(forget))
    assert outcome.reasons["devices"] == (False, "powered off")
    assert outcome.exits["devices"]["load guest-page fault"] == 5


def test_the_monitor_counts_itself_right() -> None:
    """The instructions that an exit takes it, against the hart's own steps."""
    source = f"li s0, 5; again: li a0, -1; {SET_TIMER}; addi s0, s0, -1; bne s0, x0, again; {POWER_OFF}"
    costs: list[int] = []
    inside = [0, False]  # steps since the last exit, and whether there was one

    def count(hart: Hart) -> None:
        if hart.state[V]:
            if inside[1] and inside[0]:
                costs.append(inside[0])
            inside[:] = [0, True]
        else:
            inside[0] += 1

    outcome = under_monitor({"caller": elf(source)}, watcher=Watcher(count))
    cause = "environment call from VS-mode"
    measured = costs[-5:]
    assert outcome.costs[cause] == (min(measured), max(measured), sum(measured) // 5)
    assert outcome.exits["caller"][cause] == 6
    assert outcome.instructions["caller"] > 0


@pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"{QEMU} is not installed: the monitor was not tried on it")
def test_on_qemu_too(built_in: Outcome) -> None:
    """The same lines, and where no guest's text is involved the same instructions for an exit."""
    command = [QEMU, *QEMU_OPTIONS.split(), "-kernel", str(image_path("monitor"))]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    qemu = read(done.stdout.decode())
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    for name in BUILT_IN:
        assert qemu.reasons[name] == (False, "powered off")
        assert qemu.story(name) == built_in.story(name)
    for cause in (TIMER, "store/AMO guest-page fault"):
        assert qemu.costs[cause] == built_in.costs[cause]
