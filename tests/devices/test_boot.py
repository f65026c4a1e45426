"""What a bare machine starts with: where things go, in which mode, what is refused; the built-in firmware."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from rvhv.boot.loader import DYNAMIC_INFO, Software, prepare
from rvhv.cpu.state import SLOT, Prv
from rvhv.errors import ConfigError, ImageError
from rvhv.images import image_path
from rvhv.machine.isa_string import isa_string
from rvhv.machine.memory import Memory
from rvhv.machine.virt import Machine
from rvhv.virtio.slots import fill_slots
from tests.devices.bare import POWER_OFF, RAM, assembled
from tests.elf_file import elf

MIB = 1 << 20
KERNEL = RAM + 2 * MIB


def linux_image(code: bytes, *, text_offset: int = 2 * MIB, image_size: int = 0) -> bytes:
    """A Linux Image: its header begins with two instructions that jump behind it."""
    header = struct.pack("<IIQQQIIQQII", 0x0400006F, 0, text_offset, image_size, 0, 2, 0, 0, 0, 0x05435352, 0)
    assert len(header) == 64
    return header + code


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def start(software: Software, *, memory: int = 16 * MIB, harts: int = 1, seed: int = 0) -> tuple[Machine, bytearray]:
    printed = bytearray()
    machine = Machine(Memory(memory), harts=harts, on_output=printed.extend)
    fill_slots(machine, [], seed)
    prepare(software, memory=memory, harts=harts).start(machine)
    return machine, printed


def slots(machine: Machine, *names: str, hart: int = 0) -> list[int]:
    return [machine.harts[hart].state[SLOT[name]] for name in names]


def tree(machine: Machine) -> bytes:
    at = slots(machine, "x11")[0]
    size = int.from_bytes(machine.memory.read(at + 4, 4), "big")
    return machine.memory.read(at, size)


def test_an_elf_starts_in_m_mode_at_its_entry() -> None:
    machine, _ = start(Software(image=image_path("hello")), harts=2)
    assert slots(machine, "pc", "prv", "x10") == [KERNEL, Prv.M, 0]
    assert slots(machine, "pc", "prv", "x10", hart=1) == [KERNEL, Prv.M, 1]
    assert tree(machine)[:4] == b"\xd0\x0d\xfe\xed"


def test_an_image_starts_in_s_mode_under_the_builtin_firmware(tmp_path: Path) -> None:
    image = write(tmp_path, "Image", linux_image(assembled("addi a7, x0, 8\n ecall\n", KERNEL + 64)))
    machine, _ = start(Software(image=image), harts=2)
    assert slots(machine, "pc", "prv", "x10", "satp", "m_hook") == [KERNEL, Prv.S, 0, 0, 1]
    assert machine.run(1000) is False
    assert machine.harts[0].read_csr("menvcfg") >> 61 == 7  # STCE, PBMTE and ADUE, as the tree says
    assert machine.end is not None and machine.end.reason == "powered off"


def test_a_flat_binary(tmp_path: Path) -> None:
    flat = write(tmp_path, "flat.bin", assembled(POWER_OFF))
    machine, _ = start(Software(image=flat))
    assert slots(machine, "pc", "prv") == [KERNEL, Prv.S]
    machine, _ = start(Software(image=flat, firmware="none"))
    assert slots(machine, "pc", "prv") == [RAM, Prv.M]
    machine.run(1000)
    assert machine.end is not None and machine.end.reason == "powered off"


@pytest.mark.parametrize("how", ["firmware and image", "firmware and kernel", "image and kernel"])
def test_firmware_and_what_it_starts(tmp_path: Path, how: str) -> None:
    """Firmware finds the kernel by fw_dynamic_info in a2."""
    firmware = write(tmp_path, "fw.bin", assembled(POWER_OFF))
    kernel = write(tmp_path, "Image", linux_image(bytes(64), text_offset=4 * MIB))
    if how == "image and kernel":
        elf = Path(image_path("smp"))
        software = Software(image=elf, kernel=kernel)
    elif how == "firmware and kernel":
        software = Software(firmware=str(firmware), kernel=kernel)
    else:
        software = Software(firmware=str(firmware), image=kernel)
    machine, _ = start(software)
    pc, prv, info = slots(machine, "pc", "prv", "x12")
    assert (pc, prv) == (RAM, Prv.M)
    assert DYNAMIC_INFO.unpack(machine.memory.read(info, DYNAMIC_INFO.size)) == (0x4942534F, 2, RAM + 4 * MIB, 1, 0, 0)
    assert machine.memory.read(RAM + 4 * MIB + 56, 4) == b"RSC\x05"


def test_initrd_and_command_line(tmp_path: Path) -> None:
    from fdt import parse_dtb

    image = write(tmp_path, "Image", linux_image(bytes(64)))
    initrd = write(tmp_path, "initrd", b"initrd" * 1000)
    machine, _ = start(Software(image=image, initrd=initrd, append="console=ttyS0 root=/dev/vda"))
    chosen = parse_dtb(tree(machine)).get_node("/chosen")
    words = [chosen.get_property(f"linux,initrd-{end}").data for end in ("start", "end")]
    first, end = (high << 32 | low for high, low in words)
    assert machine.memory.read(first, end - first) == b"initrd" * 1000
    assert KERNEL < first < end <= slots(machine, "x11")[0]
    assert chosen.get_property("bootargs").value == "console=ttyS0 root=/dev/vda"


def test_the_device_tree_describes_the_board() -> None:
    from fdt import parse_dtb

    machine, _ = start(Software(image=image_path("smp")), harts=3)
    dt = parse_dtb(tree(machine))
    for device in machine.bus.devices:
        if not device.name.startswith("virtio"):
            node = next(n for n in dt.get_node("/soc").nodes if n.name.endswith(f"@{device.base:x}"))
            assert node.get_property("reg").data == [0, device.base, 0, device.size]
    assert [n.name for n in dt.get_node("/cpus").nodes] == ["cpu@0", "cpu@1", "cpu@2"]
    assert dt.get_property("riscv,isa", "/cpus/cpu@2").value == isa_string()
    assert len(dt.get_property("interrupts-extended", "/soc/clint@2000000").data) == 12
    slots_listed = [n for n in dt.get_node("/soc").nodes if n.name.startswith("virtio_mmio")]
    assert [n.get_property("interrupts").value for n in slots_listed] == list(range(1, 9))
    assert prepare(Software(image=image_path("smp")), memory=16 * MIB, harts=3).dtb == tree(machine)


def test_isa_string_names_what_has_rows() -> None:
    isa = isa_string()
    assert isa.startswith("rv64ima") and "h_" in isa and "_zicsr" in isa and "_sstc" in isa


def test_a_given_tree_is_used(tmp_path: Path) -> None:
    from fdt import parse_dtb

    own = prepare(Software(image=image_path("smp")), memory=32 * MIB, harts=1).dtb
    given = write(tmp_path, "board.dtb", own)
    machine, _ = start(Software(image=image_path("smp"), dtb=given))
    assert tree(machine) == own
    machine, _ = start(Software(image=image_path("smp"), dtb=given, append="quiet"))
    assert parse_dtb(tree(machine)).get_property("bootargs", "/chosen").value == "quiet"


def bad(folder: Path) -> dict[str, tuple[Software, str]]:
    image = write(folder, "Image", linux_image(bytes(64)))
    tree_ = prepare(Software(image=image), memory=16 * MIB, harts=1).dtb
    damaged = bytearray(tree_)
    damaged[56:120] = bytes(64)
    return {
        "nothing": (Software(), "nothing to boot"),
        "three": (Software(image=image, kernel=image, firmware="builtin"), "one too many"),
        "no file": (Software(image=folder / "none"), "no such file"),
        "a folder": (Software(image=folder), "directory"),
        "empty": (Software(image=write(folder, "empty", b"")), "is empty"),
        "gzip": (Software(kernel=write(folder, "Image.gz", b"\x1f\x8b" + bytes(99))), "gunzip"),
        "no tree": (Software(image=image, dtb=write(folder, "x.dts", b"/dts-v1/;" * 9)), "not a flattened device tree"),
        "cut tree": (Software(image=image, dtb=write(folder, "cut.dtb", tree_[:-9])), "cut off"),
        "damaged tree": (
            Software(image=image, dtb=write(folder, "bad.dtb", bytes(damaged)), append="x"),
            "damaged device tree: ",
        ),
        "initrd": (Software(image=image, initrd=write(folder, "rd", bytes(15 * MIB))), "do not fit between"),
        "initrd is missing": (Software(image=image, initrd=folder / "rd2"), "no such file"),
        "far": (Software(image=write(folder, "far", linux_image(b"", text_offset=64 * MIB))), "outside the machine's memory"),
        "huge": (Software(image=write(folder, "huge", linux_image(b"", image_size=1 << 62))), "damaged Image"),
        "full": (Software(image=write(folder, "full", bytes(14 * MIB))), "no room for the device tree"),
        "overlap": (Software(firmware=str(image), kernel=write(folder, "k", bytes(99))), "overlaps"),
        "command line": (Software(image=image, append="a\nb"), "printable"),
    }


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    for software, message in bad(tmp_path).values():
        with pytest.raises((ConfigError, ImageError), match=message) as error:
            prepare(software, memory=16 * MIB, harts=1)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("seed", range(30))
def test_a_mutated_tree_is_taken_or_refused(tmp_path: Path, seed: int) -> None:
    import random

    own = bytearray(prepare(Software(image=image_path("smp")), memory=16 * MIB, harts=1).dtb)
    random_ = random.Random(seed)
    for _ in range(random_.randrange(1, 8)):
        own[random_.randrange(4, len(own))] = random_.randrange(256)
    given = write(tmp_path, "mutated.dtb", bytes(own))
    try:
        prepare(Software(image=image_path("smp"), dtb=given, append="x"), memory=16 * MIB, harts=1)
    except (ConfigError, ImageError) as error:
        assert "\n" not in str(error)


# the built-in firmware


def payload(folder: Path, source: str) -> Path:
    return write(folder, "kernel.bin", assembled(source, KERNEL))


def call(eid: int, fid: int, *args: int) -> str:
    """An SBI call; a0 and a1 are appended to the results at s0."""
    sets = "".join(f"li a{i}, {arg}\n" for i, arg in enumerate(args))
    return f"{sets} li a6, {fid}\n li a7, {eid}\n ecall\n sd a0, 0(s0)\n sd a1, 8(s0)\n addi s0, s0, 16\n"


SHUTDOWN = "li a7, 8\n ecall\n"
RESULTS = RAM + 8 * MIB
BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN = 0x10, 0x54494D45, 0x735049, 0x52464E43, 0x48534D, 0x53525354, 0x4442434E
INVALID_PARAM, NOT_SUPPORTED, INVALID_ADDRESS, ALREADY = ((1 << 64) - n for n in (3, 2, 5, 6))


def results(folder: Path, calls: list[str], *, harts: int = 1) -> tuple[list[tuple[int, int]], bytes, Machine]:
    source = f"li s0, {RESULTS}\n" + "".join(calls) + SHUTDOWN
    machine, printed = start(Software(image=payload(folder, source)), harts=harts)
    machine.run(100_000)
    assert machine.end is not None and machine.end.reason == "powered off"
    words = [machine.memory.read_u64(RESULTS + 8 * i) for i in range(2 * len(calls))]
    return list(zip(words[::2], words[1::2], strict=True)), bytes(printed), machine


def test_sbi_of_the_bare_machine(tmp_path: Path) -> None:
    probes = [TIME, IPI, RFENCE, HSM, SRST, DBCN, 0, 1, 2, 8, 3, 0x504D55]
    calls = [call(BASE, 0), *(call(BASE, 3, eid) for eid in probes), call(0x504D55, 0), call(DBCN, 2, ord("x"))]
    got, printed, _ = results(tmp_path, calls)
    assert got[0] == (0, 3 << 24)
    assert [value for _, value in got[1:13]] == [1] * 10 + [0, 0]
    assert got[13][0] == NOT_SUPPORTED
    assert printed == b"x"


def test_sbi_for_several_harts(tmp_path: Path) -> None:
    calls = [
        call(HSM, 2, 0), call(HSM, 2, 1), call(HSM, 2, 2), call(HSM, 0, 0, KERNEL), call(HSM, 0, 2, KERNEL),
        call(HSM, 0, 1, 0x1000), call(HSM, 0, 1, KERNEL + 1), call(HSM, 3, 0x8000_0000), call(IPI, 0, 4, 0),
        call(IPI, 0, 2, 1), call(IPI, 0, 3, 0), call(IPI, 0, 0, (1 << 64) - 1), call(RFENCE, 1, 3, 0), call(RFENCE, 1, 4, 0),
    ]  # fmt: skip
    got, _, _ = results(tmp_path, calls, harts=2)
    assert [error for error, _ in got] == [
        0, 0, INVALID_PARAM, ALREADY, INVALID_PARAM, INVALID_ADDRESS, INVALID_ADDRESS, NOT_SUPPORTED, INVALID_PARAM,
        INVALID_PARAM, 0, 0, 0, INVALID_PARAM,
    ]  # fmt: skip
    assert [value for _, value in got[:2]] == [0, 1]


def test_harts_start_stop_and_wake_each_other(tmp_path: Path) -> None:
    """Hart 1 is started, sleeps until an IPI comes, says so and stops."""
    source = f"""
        li s0, {RESULTS}
        la a1, second
        li a0, 1
        li a2, 77
        li a6, 0
        li a7, {HSM}
        ecall
        li a0, 2
        li a1, 0
        li a6, 0
        li a7, {IPI}
        ecall
    wait:
        li a0, 1
        li a6, 2
        li a7, {HSM}
        ecall
        beq a1, x0, wait
        {SHUTDOWN}
    second:
        li s0, {RESULTS}
        sd a0, 0(s0)
        sd a1, 8(s0)
        li t0, 2
        csrrs x0, sie, t0
        wfi
        csrrs t1, sip, x0
        sd t1, 16(s0)
        li a6, 1
        li a7, {HSM}
        ecall
    """
    machine, _ = start(Software(image=payload(tmp_path, source)), harts=2)
    machine.run(1_000_000)
    assert machine.end is not None and machine.end.reason == "powered off"
    assert [machine.memory.read_u64(RESULTS + 8 * i) for i in range(3)] == [1, 77, 2]


def test_the_timer_of_the_builtin_firmware(tmp_path: Path) -> None:
    source = f"""
        la t0, trap
        csrrw x0, stvec, t0
        li t0, 0x20
        csrrs x0, sie, t0
        li a0, 5000
        li a6, 0
        li a7, {TIME}
        ecall
        li t0, 2
        csrrs x0, sstatus, t0
        wfi
    again:
        j again
    trap:
        csrrs s1, scause, x0
        csrrs s2, time, x0
        li a0, 0
        li a1, 1
        li a6, 0
        li a7, {SRST}
        ecall
    """
    machine, _ = start(Software(image=payload(tmp_path, source)))
    machine.run(1_000_000)
    assert machine.end is not None and machine.end.failed and "system failure" in machine.end.reason
    assert slots(machine, "x9", "x18") == [1 << 63 | 5, 5000]


def test_what_is_typed_is_read_by_the_debug_console(tmp_path: Path) -> None:
    source = f"li s0, {RESULTS}\n" + call(2, 0) + call(DBCN, 1, 8, RESULTS + 0x1000, 0) + call(2, 0) + SHUTDOWN
    machine, _ = start(Software(image=payload(tmp_path, source)))
    machine.feed(b"abcd")
    machine.run(1000)
    assert machine.memory.read_u64(RESULTS) == ord("a")
    assert machine.memory.read_u64(RESULTS + 24) == 3 and machine.memory.read(RESULTS + 0x1000, 4) == b"bcd\0"
    assert machine.memory.read_u64(RESULTS + 32) == (1 << 64) - 1


def test_guests_run_bare_under_the_builtin_firmware() -> None:
    for name, text in (("hello", "goodbye"), ("tasks", "all results correct")):
        machine, printed = start(Software(image=image_path(name), firmware="builtin"))
        machine.run(50_000_000)
        assert machine.end is not None and machine.end.reason == "powered off"
        assert text in printed.decode()


# HTIF


def htif_elf(folder: Path, source: str) -> Path:
    """An ELF with symbols tohost and fromhost, at fixed places in RAM."""
    return write(folder, "htif.elf", elf({RAM: assembled(source)}, RAM, {"tohost": TOHOST, "fromhost": TOHOST + 64}))


TOHOST = RAM + 0x3000
TELL = f"""
    li s0, {TOHOST}
"""
WAIT = """
    sd t0, 0(s0)
WAIT_N:
    ld t1, 64(s0)
    beq t1, x0, WAIT_N
    sd x0, 64(s0)
"""


def test_htif_console_and_system_calls(tmp_path: Path) -> None:
    def wait(n: int) -> str:
        return WAIT.replace("WAIT_N", f"wait_{n}")

    text = "written by a system call\n"
    source = f"""
        {TELL}
        li t0, {1 << 56 | 1 << 48 | ord("c")}
        {wait(0)}
        mv s1, t1
        li s2, {RAM + 0x4000}
        li t0, 64
        sd t0, 0(s2)
        li t0, 1
        sd t0, 8(s2)
        la t0, text
        sd t0, 16(s2)
        li t0, {len(text)}
        sd t0, 24(s2)
        mv t0, s2
        {wait(1)}
        ld s3, 0(s2)
        li t0, {1 << 56}
        {wait(2)}
        mv s4, t1
        li t0, 7
        sd t0, 0(s0)
    halt:
        j halt
    text:
        {"".join(f".byte {b}{chr(10)}" for b in text.encode())}
    """
    machine, printed = start(Software(image=htif_elf(tmp_path, source)))
    machine.feed(b"k")
    machine.run(100_000)
    assert machine.end is not None and (machine.end.reason, machine.end.code) == ("exited with code 3", 3)
    assert printed == b"c" + text.encode()
    assert slots(machine, "x9", "x19") == [1 << 56 | 1 << 48, len(text)]
    assert slots(machine, "x20") == [1 << 56 | 0x100 | ord("k")]


@pytest.mark.parametrize("magic", [0x1000, RAM + 16 * MIB - 8, (1 << 48) - 8])
def test_htif_survives_hostile_requests(tmp_path: Path, magic: int) -> None:
    source = f"{TELL} li t0, {magic}\n sd t0, 0(s0)\n li t0, {200 << 56}\n sd t0, 0(s0)\n li t0, 1\n sd t0, 0(s0)\nhalt: j halt\n"
    machine, _ = start(Software(image=htif_elf(tmp_path, source)))
    machine.run(1000)
    assert machine.end is not None and machine.end.reason == "exited"
