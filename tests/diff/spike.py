"""Spike, where it is installed: runs an executable and gives the lines of its commit log."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from rvhv.cpu.state import TRIGGERS

SPIKE = "spike"
# what rvhv has and Spike's name for it
EXTENSIONS = (
    "rv64gcbh", "zba", "zbb", "zbc", "zbs", "zbkb", "zbkx", "zicond", "zacas", "zfh", "zawrs", "zicbom", "zicboz", "zicbop",
    "svinval", "svnapot", "svpbmt", "svadu", "sstc", "zicntr", "zicclsm", "smstateen",
)  # fmt: skip
BOOT_ROM = 5  # instructions before the executable's first
MEMORY_MIB = 32
INSTRUCTIONS = 5_000_000  # as Spike counts them: what is left of 5000 is lost with each trap


def installed() -> bool:
    return shutil.which(SPIKE) is not None


def commit_log(executable: Path, log: Path) -> list[str]:
    """Its lines from the first instruction of the executable on."""
    command = [
        SPIKE, f"-m{MEMORY_MIB}", f"--isa={'_'.join(EXTENSIONS)}", f"--triggers={TRIGGERS}", f"--instructions={INSTRUCTIONS}",
        "--log-commits", f"--log={log}", str(executable),
    ]  # fmt: skip
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    return log.read_text(encoding="ascii").splitlines()[BOOT_ROM:]
