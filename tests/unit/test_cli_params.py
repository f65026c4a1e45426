"""The values of the command line."""

from __future__ import annotations

import pytest

from rvhv.cli.params import SEED, STEPS, for_each_vm, parse_count, vm_names
from rvhv.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("1_000", 1000), ("20K", 20_000), ("50m", 50_000_000), ("2G", 2 * 10**9), ("0x10", 16)]
)
def test_count(text: str, value: int) -> None:
    assert parse_count(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1.5", "ten", "1MB", "0", "0x", "9" * 30, "9" * 5000, "1e6", "١", "0_", "1__0", "_1"])
def test_no_count(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_count(text)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("0xff", 255), (str(2**64 - 1), 2**64 - 1)])
def test_seed(text: str, value: int) -> None:
    assert SEED.convert(text, None, None) == value


@pytest.mark.parametrize("text", ["-1", str(2**64), "seed", "", "9" * 5000])
def test_no_seed(text: str) -> None:
    import click

    with pytest.raises(click.BadParameter):
        SEED.convert(text, None, None)
    assert STEPS.convert(7, None, None) == 7


@pytest.mark.parametrize(
    ("guests", "names"),
    [
        (["hello"], ["hello"]),
        (["tasks", "tasks", "tasks"], ["tasks", "tasks-2", "tasks-3"]),
        (["build/kernel.elf", "other/kernel.elf"], ["kernel", "kernel-2"]),
        (["tasks", "tasks", "tasks-2"], ["tasks", "tasks-3", "tasks-2"]),
        ([".elf"], [".elf"]),
        (["\udcff.elf"], ["?"]),  # a file name that is no UTF-8
    ],
)
def test_vm_names(guests: list[str], names: list[str]) -> None:
    assert vm_names(guests) == names


NAMES = ["tasks", "disk"]


@pytest.mark.parametrize(
    ("values", "result"),
    [
        ([], {"tasks": "-", "disk": "-"}),
        (["a"], {"tasks": "a", "disk": "a"}),
        (["disk=b"], {"tasks": "-", "disk": "b"}),
        (["a", "disk=b"], {"tasks": "a", "disk": "b"}),
        (["./x=y"], {"tasks": "./x=y", "disk": "./x=y"}),
        (["disk=x=y"], {"tasks": "-", "disk": "x=y"}),
    ],
)
def test_for_each_vm(values: list[str], result: dict[str, str]) -> None:
    assert for_each_vm("--disk", values, NAMES, str, "-") == result


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (["disc=a"], "no VM is called 'disc'; did you mean 'disk'?"),
        (["zzz=a"], "there is tasks, disk"),
        (["disk=a", "disk=b"], "twice for 'disk'"),
        (["a", "b"], "write --disk NAME=VALUE"),
    ],
)
def test_for_each_vm_refuses(values: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint.replace("?", r"\?")):
        for_each_vm("--disk", values, NAMES, str, "-")
