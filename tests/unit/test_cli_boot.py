"""`rvhv boot`: exit codes, JSON, the keyboard on a terminal and on a pipe; `rvhv run` with --console and --config."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rvhv.cli.config import read_config
from rvhv.cli.keyboard import EscapeKeys
from rvhv.cli.main import main
from rvhv.errors import ConfigError
from tests.devices.bare import assembled

RAM = 0x8000_0000
ROOT = Path(__file__).resolve().parents[2]
# prints what is typed until an x comes, then powers off with the number of keys as the code
ECHO = """
    li s0, 0x10000000
    li s1, 0x100000
    li s2, 0
    li t3, 120
    li t0, 62
    sb t0, 0(s0)
again:
    lbu t0, 5(s0)
    andi t0, t0, 1
    beq t0, x0, again
    lbu t1, 0(s0)
    beq t1, t3, end
    sb t1, 0(s0)
    addi s2, s2, 1
    j again
end:
    slli s2, s2, 16
    li t0, 0x3333
    or t0, t0, s2
    sw t0, 0(s1)
    j .
"""
# sleeps until a key's interrupt comes, and powers off
SLEEPER = """
    la t0, trap
    csrrw x0, mtvec, t0
    li s0, 0x10000000
    li t0, 1
    sb t0, 1(s0)
    li t1, 0xc000000
    sw t0, 40(t1)
    li t1, 0xc002000
    li t0, 1024
    sw t0, 0(t1)
    li t0, 62
    sb t0, 0(s0)
    li t0, 0x800
    csrrs x0, mie, t0
    li t0, 8
    csrrs x0, mstatus, t0
sleep:
    wfi
    j sleep
trap:
    lbu t0, 0(s0)
    sb t0, 0(s0)
    li t0, 0x100000
    li t1, 0x5555
    sw t1, 0(t0)
    j .
"""
SPIN = "j .\n"
REBOOT = "li t0, 0x100000\n li t1, 0x7777\n sw t1, 0(t0)\n j .\n"

pytestmark = pytest.mark.usefixtures("compiled")


def flat(folder: Path, source: str) -> list[str]:
    path = folder / "program.bin"
    path.write_bytes(assembled(source))
    return ["boot", str(path), "--firmware", "none"]


def run(arguments: list[str], typed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "rvhv", *arguments]
    return subprocess.run(command, cwd=ROOT, input=typed, capture_output=True, timeout=60)


def test_smp(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "smp", "--smp", "2", "--trace-hash"]) == 0
    out, err = capfd.readouterr()
    assert "smp: done\n" in out and "trace-hash " in out
    assert err.startswith("rvhv: powered off after ")


def test_firmware_that_is_told_what_to_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    firmware = tmp_path / "fw_dynamic.bin"
    firmware.write_bytes(assembled(SLEEPER))
    main(["boot", "--firmware", str(firmware), "--max-steps", "1000"])
    hint = "rvhv: fw_dynamic.bin starts what --kernel names, and there is none\n"
    assert capfd.readouterr().err.startswith(hint)
    main(["boot", "--firmware", str(firmware), "--kernel", str(firmware), "--max-steps", "1000"])
    assert hint not in capfd.readouterr().err


def test_a_program_that_fails(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "smp", "--json", "--max-steps", "500M"]) == 1
    document = json.loads(capfd.readouterr().out)
    assert document["failed"] and document["code"] == 1 and "two harts are needed" in document["console"]


def test_a_pipe_is_typed(tmp_path: Path) -> None:
    done = run(flat(tmp_path, ECHO), b"ab\x01\x03cx rest")
    assert done.stdout == b">ab\x01\x03c\n", "no key of a pipe is special"
    assert (done.returncode, done.stderr.decode().split(" after")[0]) == (1, "rvhv: powered off as failed, code 5")


def test_a_sleeper_is_woken_by_a_key(tmp_path: Path) -> None:
    done = run(flat(tmp_path, SLEEPER), b"k")
    assert (done.returncode, done.stdout) == (0, b">k\n")


def test_a_sleeper_that_nobody_can_wake(tmp_path: Path) -> None:
    done = run(flat(tmp_path, SLEEPER))
    assert done.returncode == 1 and b"every hart waits for an interrupt that nothing will raise" in done.stderr


def test_the_step_limit(tmp_path: Path) -> None:
    done = run([*flat(tmp_path, SPIN), "--max-steps", "3M"])
    assert done.returncode == 1 and b"the 3,000,000 steps of --max-steps are used up" in done.stderr
    done = run([*flat(tmp_path, REBOOT), "--max-steps", "1000", "--json"])
    assert json.loads(done.stdout)["steps"] == 1000, "it boots again and again"


def test_a_log_and_a_dumped_tree(tmp_path: Path) -> None:
    log, dtb = tmp_path / "log", tmp_path / "x.dtb"
    assert run([*flat(tmp_path, SPIN), "--max-steps", "3", "--log", str(log)]).returncode == 1
    assert log.read_text() == "core   0: 3 0x0000000080000000 (0x0000006f)\n" * 3
    assert run([*flat(tmp_path, SPIN), "--dump-dtb", str(dtb), "--append", "quiet"]).returncode == 0
    assert dtb.read_bytes()[:4] == b"\xd0\x0d\xfe\xed" and b"quiet\0" in dtb.read_bytes()


def test_real_time_passes(tmp_path: Path) -> None:
    source = f"""
        li s0, 0x2004000
        li t0, 2000000
        sd t0, 0(s0)
        li t0, 0x80
        csrrs x0, mie, t0
        wfi
        li t0, 0x100000
        li t1, 0x5555
        sw t1, 0(t0)
        {SPIN}
    """
    fast = json.loads(run([*flat(tmp_path, source), "--json"]).stdout)
    slow = json.loads(run([*flat(tmp_path, source), "--json", "--realtime"]).stdout)
    assert fast["host_seconds"] < 0.15 < 0.19 < slow["host_seconds"] < 2
    assert min(fast["virtual_ns"], slow["virtual_ns"]) >= 200_000_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to boot"),
        (["smp", "--smp", "9"], "--smp: a machine has 1 to 8 harts, not 9"),
        (["smp", "--smp", "two"], "--smp"),
        (["nowhere.elf"], "no such file"),
        (["smp", "--memory", "12345"], "4096-byte pages"),
        (["smp", "--memory", "4K"], "more memory"),
        (["smp", "--initrd", "nowhere"], "no such file"),
        (["smp", "--dtb", str(ROOT / "README.md")], "not a flattened device tree"),
        (["smp", "--disk", "nowhere"], "no such file"),
        (["smp", "--log", "/nowhere/log"], "/nowhere/log"),
        (["hello", "--firmware", "nowhere"], "nowhere: there is no such file"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("rvhv: error: ") and err.count("\n") == 1 and message in err


def test_escape_keys() -> None:
    keys = EscapeKeys()
    assert keys.filter(b"ab\x01") == b"ab" and keys.filter(b"\x01c\x01zd") == b"\x01cd"
    assert not keys.quit and not keys.help
    assert keys.filter(b"\x01h\x01x!") == b"!" and keys.quit and keys.help


# a terminal

if sys.platform != "win32":
    import termios

    from tests.unit.test_cli_terminal import Session

    def settings(session: Session) -> list[object]:
        return [list(part) if isinstance(part, list) else part for part in session.before]

    def test_a_terminal_gives_every_key_and_is_restored(tmp_path: Path) -> None:
        session = Session(*flat(tmp_path, ECHO))
        session.wait_for(b">")
        session.send(b"a\x03\x1a\x01\x01\x01h")
        session.wait_for(b"this help")
        session.send(b"x")
        code, printed = session.ended()
        assert code == 1 and "a\x03\x1a\x01" in printed and "code 4" in printed
        assert session.after == session.before

    @pytest.mark.parametrize("program", [SPIN, SLEEPER])
    def test_the_escape_key_quits(tmp_path: Path, program: str) -> None:
        session = Session(*flat(tmp_path, "li s0, 0x10000000\n li t0, 62\n sb t0, 0(s0)\n" + program))
        session.wait_for(b">")
        session.send(b"\x01x")
        code, printed = session.ended()
        assert code == 130 and "stopped by Ctrl-A x" in printed
        assert session.after == session.before

    def test_terminated(tmp_path: Path) -> None:
        import os
        import signal

        session = Session(*flat(tmp_path, "li s0, 0x10000000\n li t0, 62\n sb t0, 0(s0)\n" + SPIN))
        session.wait_for(b">")
        assert termios.tcgetattr(session.master) is not None
        os.kill(session._pid, signal.SIGTERM)
        code, _ = session.ended()
        assert code == -signal.SIGTERM
        assert session.after == session.before

    def test_run_gives_one_vm_the_keyboard() -> None:
        session = Session("run", "tasks", "hello", "--console", "tasks")
        session.wait_for(b"counting primes")
        code, printed = session.ended()
        assert code == 0 and "hello" in printed and "all results correct" in printed
        assert session.after == session.before


# several VMs from a file

CONFIG = """\
seed = 7
host-memory = "64M"
[vm.hello]
memory = "8M"
[vm.second]
image = "hello"
"""


def test_config(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "vms.toml"
    path.write_text(CONFIG)
    config = read_config(path)
    assert [(vm.name, vm.image, vm.memory) for vm in config.vms] == [("hello", "hello", 8 << 20), ("second", "hello", None)]
    assert config.options == {"seed": 7, "host_memory": 64 << 20}
    assert main(["run", "--config", str(path), "hello", "--json", "--memory", "second=4M"]) == 0
    vms = json.loads(capfd.readouterr().out)["vms"]
    assert [vm["name"] for vm in vms] == ["hello", "second", "hello-2"]
    sizes = [line for vm in vms for line in vm["console"].splitlines() if "my memory" in line]
    assert [line.split(", ")[1] for line in sizes] == ["8192 KiB", "4096 KiB", "32768 KiB"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[vm.a]\nimage = 'hello'\nmemroy = 3\n", "line 3: there is no key 'memroy' of a VM; did you mean 'memory'?"),
        ("\n\nsede = 3\n", "line 3: there is no key 'sede'; did you mean 'seed'?"),
        ("clock = 'mine'\n", "line 1: clock: 'mine' is no clock: choose machine or vm"),
        ("[vm.a]\nmemory = 'lots'\n", "line 2: memory: 'lots' is not a size"),
        ("[vm.a]\nmemory = 3.5\n", "line 2: memory: 3.5 is not a whole number"),
        ("vm = 3\n", "line 1: VMs are tables"),
        ("[vm]\na = 3\n", "VMs are tables"),
        ("[vms.a]\n", "line 1: there is no key 'vms'; did you mean 'vm'?"),
        ("seed = -1\n", "line 1: seed: -1 is outside"),
        ("a = = 3\n", "at line 1"),
        ("# nothing\n", "has no [vm.NAME]"),
    ],
)
def test_bad_config_is_one_line(text: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "vms.toml"
    path.write_text(text)
    assert main(["run", "--config", str(path)]) == 2
    err = capfd.readouterr().err
    assert err.startswith("rvhv: error: ") and err.count("\n") == 1 and message in err


def test_config_paths_are_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "vms.toml"
    (tmp_path / "k.elf").write_bytes(b"")
    path.write_text("[vm.a]\nimage = 'k.elf'\ndisk = 'd.raw'\n")
    (vm,) = read_config(path).vms
    assert (vm.image, vm.disk) == (str(tmp_path / "k.elf"), tmp_path / "d.raw")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_config(path)
