"""`rvhv bench`: what is computed from the runs, and how it is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rvhv.bench import PARTS, costs, emulators, report, side_by_side
from rvhv.bench.costs import Cost
from rvhv.bench.emulators import RVHV, Emulator, Run
from rvhv.bench.figure import Spread, figure, spread
from rvhv.bench.images import OPERATIONS, Mode, Single, program
from rvhv.bench.report import Report
from rvhv.bench.side_by_side import Comparison
from rvhv.cli import bench
from rvhv.cli.main import main
from rvhv.errors import ConfigError, InternalError

pytestmark = pytest.mark.usefixtures("compiled")


def fake(name: str) -> Emulator:
    return Emulator(name, f"{name} 1.0", lambda elf: [])


class Runs:
    """Stands for `run`: seconds in the order of the calls, and who was asked."""

    def __init__(self, *seconds: float | None) -> None:
        self.seconds = list(seconds)
        self.asked: list[str] = []

    def __call__(self, emulator: Emulator, elf: bytes, folder: Path) -> Run | None:
        self.asked.append(emulator.name)
        seconds = self.seconds.pop(0)
        return None if seconds is None else Run(seconds, 400_000_000 if emulator.name == RVHV else None)


def ignore(text: str, fraction: float) -> None:
    assert 0 <= fraction <= 1


TWO = (fake(RVHV), fake("QEMU"))


def test_programs_run_in_turn_and_are_compared_round_by_round(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(1.0, 2.0, 2.0, 2.0, 4.0, 1.0)
    monkeypatch.setattr(side_by_side, "run", runs)
    (c,) = side_by_side.compare(TWO, rounds=3, scale=1, progress=ignore, names=["nbody"], modes=[Mode.VS])
    assert runs.asked == [RVHV, "QEMU"] * 3
    assert (c.program, c.mode, c.instructions) == ("nbody", "VS", 400_000_000)
    assert c.rates == {RVHV: Spread(200, 100, 400), "QEMU": Spread(200, 200, 400)}
    assert c.ratios == {"QEMU": Spread(1, 0.25, 2)}
    assert c.seconds == {RVHV: 2, "QEMU": 2}


def test_an_emulator_that_cannot_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "run", Runs(1.0, None))
    (c,) = side_by_side.compare(TWO, rounds=1, scale=1, progress=ignore, names=["nbody"], modes=[Mode.VS])
    assert set(c.rates) == {RVHV} and c.ratios == {}


def test_a_cost_is_what_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = costs.KINDS[0]
    monkeypatch.setattr(costs, "KINDS", (costs.Kind(kind.name, kind.test, kind.base, (Mode.S,), 5),))
    monkeypatch.setattr(costs, "run", Runs(1.5, 0.5, 0.5, 0.25))
    (cost,) = costs.measure(TWO, rounds=1, scale=100, progress=ignore)
    assert cost.ns == {
        RVHV: spread([1.0 / (costs.OURS * OPERATIONS) * 1e9]),
        "QEMU": spread([0.25 / (5 * OPERATIONS) * 1e9]),
    }


def test_remapping_is_also_said_as_a_part_of_the_time() -> None:
    (f,) = costs.pte_writes([Cost(costs.REMAPPED.name, "S", {RVHV: Spread(1000, 900, 1200)})])
    assert (f.value.median, f.unit) == (pytest.approx(1.0), "% of the time")


def test_our_own_run(tmp_path: Path) -> None:
    result = emulators.run(emulators.rvhv(), program("bytecode", Mode.VS, 1), tmp_path)
    assert result is not None and result.seconds > 0
    assert result.instructions is not None and 5_000_000 < result.instructions < 8_000_000


def test_our_own_failure_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="a trap that nobody expected"):
        emulators.run(emulators.rvhv(), program("micro", Mode.VS, 1, Single.HFENCES), tmp_path)


def test_a_suite_that_fails_is_not_timed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not all of it passes"):
        report.commands.suite(tmp_path, rounds=1)


def a_report(seconds: float) -> Report:
    rates = {"rvhv": Spread(300, 290, 310), "QEMU": Spread(2000, 2000, 2000)}
    times = dict.fromkeys(rates, seconds)
    comparison = Comparison("integer", "VS", 612_000_000, rates, times, {"QEMU": Spread(0.15, 0.14, 0.16)})
    alone = Comparison("nbody", "VS", 222_000_000, {"rvhv": Spread(80, 80, 80)}, {"rvhv": 2.5})
    cost = Cost("trap", "VS", {"rvhv": Spread(100.4, 90, 111), "QEMU": Spread(5000, 4000, 6000)})
    little = Cost("fence", "S", {"rvhv": Spread(-0.5, -2, 1.25)})
    versions = {"rvhv": "rvhv 0", "QEMU": "QEMU 7.2"}
    calls = figure("calls", "µs", [2.0], "at most 3")
    return Report("a computer", versions, 3, 100, [comparison, alone], [cost, little], [calls])


def shown(monkeypatch: pytest.MonkeyPatch, seconds: float, *arguments: str) -> tuple[str, dict[str, object]]:
    asked: dict[str, object] = {}

    def measure(**options: object) -> Report:
        asked.update(options)
        return a_report(seconds)

    monkeypatch.setattr(report, "measure", measure)
    done = CliRunner(env={"COLUMNS": "160"}).invoke(bench.command, arguments)
    assert done.exit_code == 0, done.output
    return done.output, asked


def test_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    text, asked = shown(monkeypatch, 2.0, "programs", "--rounds", "5", "--scale", "400")
    assert (asked["parts"], asked["rounds"], asked["scale"], asked["suite"]) == (("programs",), 5, 400, None)
    assert "a computer; rvhv 0; QEMU 7.2" in text
    assert "300 ±10" in text and "0.150 ±0.0100" in text and "612" in text
    (nbody,) = [line for line in text.splitlines() if "nbody" in line]
    assert nbody.split() == ["nbody", "VS", "222", "80.0", "-", "-"]
    (fence,) = [line for line in text.splitlines() if "fence" in line]
    assert " ".join(fence.split()) == "fence S below noise (< 2.00) -"
    assert "5,000 ±1,000" in text and "at most 3" in text and "under a second" not in text


def test_part_of_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = report.measure
    _, asked = shown(monkeypatch, 2.0, "--program", "nbody", "--mode", "vs", "--without", "spike")
    assert asked["parts"] == ("programs",) and asked["programs"] == ("nbody",)
    assert asked["modes"] == ("VS",) and asked["without"] == ("Spike",)
    monkeypatch.setattr(report, "others", lambda: [fake("QEMU"), fake("Spike")])
    seen: list[object] = []

    def compare(them: list[Emulator], *, names: object, modes: object, **_: object) -> list[Comparison]:
        seen.extend(([e.name for e in them], names, modes))
        return []

    monkeypatch.setattr(report, "compare", compare)
    measure(**asked | {"progress": ignore})  # type: ignore[arg-type]
    assert seen == [[RVHV, "QEMU"], ("nbody",), [Mode.VS]]


def test_programs_and_modes_are_of_the_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "costs", "--program", "nbody"]) == 2
    assert "--program and --mode are of the part programs" in capsys.readouterr().err


def test_short_runs_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    text, asked = shown(monkeypatch, 0.5)
    assert asked["parts"] == PARTS == tuple(report.SHARES)
    assert "1 of 2 have runs of under a second" in text


def test_json(monkeypatch: pytest.MonkeyPatch) -> None:
    text, _ = shown(monkeypatch, 2.0, "--json")
    document = json.loads(text)
    assert document["computer"] == "a computer" and document["rounds"] == 3
    assert document["programs"][0]["ratios"]["QEMU"] == {"median": 0.15, "least": 0.14, "greatest": 0.16}
    assert document["costs"][0]["ns"]["rvhv"]["median"] == 100.4
    assert document["figures"][0]["target"] == "at most 3"


def test_vms_and_commands_are_measured() -> None:
    """The real thing, at a hundredth of its length: every figure is a number above zero."""
    measured = report.measure(
        parts=["vms", "commands"], rounds=1, scale=1, suite=None, first_compile=False, progress=ignore
    )
    names = " ".join(f.name for f in measured.figures)
    for part in ("integer loop", "64 VMs", "first guest output", "resident"):
        assert part in names
    assert all(f.value.greatest > 0 for f in measured.figures)


def test_sbi_calls_are_measured() -> None:
    figures = {f.name: f for f in report.vms.sbi_calls(rounds=1, scale=5)}
    assert [f.unit for f in figures.values()] == ["ns", "thousand", "ns", "ns", "ns"]
    assert {"null SBI call, answered in Python", "set_timer SBI call"} <= figures.keys()
    assert all(figure.value.median > 0 for figure in figures.values())
