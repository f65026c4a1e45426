"""A hosting session against a hypervisor of straw: Ctrl-C, limits, JSON, exit codes, what is passed on."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rvhv
from rvhv.cli import progress, session
from rvhv.cli.main import main
from rvhv.hv.sizes import MemoryShort


class StrawVm:
    def __init__(self, name: str, image: Any, memory: int, disk: Any) -> None:
        self.name, self.image, self.memory, self.disk = name, image, memory, disk
        self.state, self.reason, self.failed = "running", "", False
        self.instructions = self.steps = self.virtual_ns = 0
        self.cpu_share, self.exit_counts = 0.5, {"ecall": 2}


class StrawHypervisor:
    """Each VM says its name in two pieces and stops after `last_for` steps."""

    last_for = 30_000_000
    fails: tuple[str, ...] = ()
    on_run: Callable[[], None] = staticmethod(lambda: None)
    made: list[StrawHypervisor] = []

    def __init__(self, memory: int, **options: Any) -> None:
        self.memory, self.options = memory, options
        self.vms: list[StrawVm] = []
        self.on_console: Callable[[StrawVm, bytes], None] = lambda vm, data: None
        self.steps, self.virtual_ns, self.host_seconds, self.closed = 0, 0, 0.5, False
        self.interrupts = 0
        StrawHypervisor.made.append(self)

    def create(self, name: str, image: Any, *, memory: int, disk: Any, weight: int = 1) -> StrawVm:
        self.vms.append(StrawVm(name, image, memory, disk))
        return self.vms[-1]

    @property
    def finished(self) -> bool:
        return all(vm.state == "stopped" for vm in self.vms)

    def interrupt(self) -> None:
        self.interrupts += 1

    def run(self, max_steps: int) -> int:
        if self.steps == 0:
            for vm in self.vms:
                self.on_console(vm, f"I am {vm.name}\nand ".encode())
        self.steps += max_steps
        self.on_run()
        if self.steps >= self.last_for:
            for vm in self.vms:
                self.on_console(vm, b"done")
                vm.state, vm.reason, vm.failed = "stopped", "powered off", vm.name in self.fails
        return max_steps

    def stop_all(self, reason: str, *, failed: bool = True) -> None:
        for vm in self.vms:
            if vm.state != "stopped":
                vm.state, vm.reason, vm.failed = "stopped", reason, failed

    def trace_hash(self) -> str:
        return "5a" * 32

    def __enter__(self) -> StrawHypervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def straw(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StrawHypervisor]]:
    monkeypatch.setattr(rvhv, "Hypervisor", StrawHypervisor, raising=False)
    monkeypatch.setattr(progress, "ensure_compiled", lambda **_: False)
    monkeypatch.setattr(StrawHypervisor, "made", [])
    yield StrawHypervisor
    assert all(hv.closed for hv in StrawHypervisor.made)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def made() -> StrawHypervisor:
    (hv,) = StrawHypervisor.made
    return hv


def test_run_merges_consoles_and_shows_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "hello", "tasks", "tasks", "--trace-hash"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[:6] == [
        "hello   │ I am hello",
        "tasks   │ I am tasks",
        "tasks-2 │ I am tasks-2",
        "hello   │ and done",
        "tasks   │ and done",
        "tasks-2 │ and done",
    ]
    assert "stopped: powered off" in out and out.endswith(f"trace-hash {'5a' * 32}\n")
    assert err == ""


def test_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "hello", "tasks"]) == 0
    assert made().memory == (32 + 32 + 16) << 20
    assert made().options == {"clock": "machine", "seed": 0}
    assert [(vm.name, vm.memory, vm.disk) for vm in made().vms] == [("hello", 32 << 20, None), ("tasks", 32 << 20, None)]


def test_options_reach_the_hypervisor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "a.raw"
    image.write_bytes(bytes(1024))
    options = ["--memory", "64M", "--memory", "tasks=16M", "--disk", f"disk={image}", "--slice", "10K", "--clock", "vm"]
    assert main(["run", "disk", "tasks", *options, "--seed", "0x10", "--host-memory", "1G"]) == 0
    assert made().memory == 1 << 30
    assert made().options == {"clock": "vm", "seed": 16, "slice_steps": 10_000}
    assert [vm.memory for vm in made().vms] == [64 << 20, 16 << 20]
    assert made().vms[0].disk.path == str(image) and made().vms[0].disk.closed
    assert made().vms[1].disk is None


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "hello", "--json", "--trace-hash"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["vms"][0]["console"] == "I am hello\nand done"
    assert document["trace_hash"] == "5a" * 32 and document["interrupted"] is False


def test_a_failed_guest_is_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(StrawHypervisor, "fails", ("tasks",))
    assert main(["run", "hello", "tasks"]) == 1


def test_max_steps_is_exact(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(StrawHypervisor, "last_for", 10**12)
    steps = session.STRIDE + 1_234_567
    assert main(["run", "hello", "--max-steps", str(steps)]) == 1
    assert made().steps == steps
    assert "--max-steps" in capsys.readouterr().out


def test_ctrl_c_stops_and_still_reports(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(StrawHypervisor, "last_for", 10**12)
    monkeypatch.setattr(StrawHypervisor, "on_run", staticmethod(lambda: signal.raise_signal(signal.SIGINT)))
    assert main(["run", "hello"]) == 130
    out, err = capsys.readouterr()
    assert "hello │ and \n" in out and "stopped by Ctrl-C" in out and "virtual time" in out
    assert err == ""
    assert made().steps == session.STRIDE and made().interrupts == 1


def test_ctrl_c_twice_still_reports(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(StrawHypervisor, "on_run", staticmethod(twice))
    assert main(["run", "hello"]) == 130
    out, err = capsys.readouterr()
    assert "stopped by Ctrl-C" in out and "virtual time" in out and err == ""


def test_ctrl_c_leaves_what_is_stuck(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    monkeypatch.setattr(session, "STUCK", -1.0)
    monkeypatch.setattr(StrawHypervisor, "on_run", staticmethod(twice))
    assert main(["run", "hello"]) == 130
    assert capsys.readouterr().err.strip() == ""


def test_sizes_are_those_of_the_vms(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def short(memory: int, **_: Any) -> None:
        raise MemoryShort("the machine's memory: this computer has no ...")

    monkeypatch.setattr(rvhv, "Hypervisor", short)
    assert main(["run", "hello", "tasks", "--memory", "500G"]) == 2
    assert capsys.readouterr().err == "rvhv: error: memory of hello, tasks: this computer has no 1000G\n"
    assert main(["run", "hello", "tasks", "--memory", "tasks=5000001"]) == 2
    assert capsys.readouterr().err == "rvhv: error: memory of tasks: 5000001 is not a whole number of 4 KiB pages\n"


def test_ctrl_c_while_compiling(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(**_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(progress, "ensure_compiled", interrupted)
    assert main(["run", "hello"]) == 130
    assert capsys.readouterr().err.strip() == ""


def test_lost_reader_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(StrawHypervisor, "last_for", 10**12)
    monkeypatch.setattr("sys.stdout.write", lost)
    assert main(["run", "hello"]) == 141
    assert made().steps == session.STRIDE


def test_demo_hosts_four_and_keeps_no_disk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(StrawHypervisor, "fails", ("rogue",))
    assert main(["demo"]) == 0
    assert [vm.name for vm in made().vms] == ["hello", "tasks", "disk", "rogue"]
    disk = made().vms[2].disk
    assert disk.sectors == 2048 and not Path(disk.path).exists()
    assert capsys.readouterr().out.startswith("Four guest kernels")


@pytest.mark.parametrize("fails", [(), ("tasks", "rogue")])
def test_demo_fails_when_a_guest_does_not_end_as_it_should(
    fails: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(StrawHypervisor, "fails", fails)
    assert main(["demo"]) == 1


def test_demo_removes_its_disk_on_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def twice() -> None:
        assert Path(made().vms[2].disk.path).exists()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(StrawHypervisor, "on_run", staticmethod(twice))
    assert main(["demo"]) == 130
    assert not Path(made().vms[2].disk.path).parent.exists()


def test_the_demo_s_disk_is_the_same_everywhere() -> None:
    from hashlib import sha256

    from rvhv.cli.demo import disk_image

    assert sha256(disk_image()).hexdigest() == "ad8926ff24d7fa01feb72091ccc63eabb6b42b6c335f17a07d171917596cf9cd"
