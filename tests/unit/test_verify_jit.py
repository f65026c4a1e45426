"""`--verify-jit`: two tiers in lockstep agree on everything, and a translator that is wrong is found and named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rvhv.cli.main import main
from rvhv.core.memory import Memory
from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.hart import Hart
from rvhv.isa.render.asm import Assembler
from rvhv.jit import translate as translator
from rvhv.jit.verify import Lockstep, Mismatch, Side

BASE = 0x8000_0000
LOOP = """
    li x10, 0x80002000
    li x6, 0x7fffffff
loop:
    addi x5, x5, 1
    addw x7, x6, x5
    sd x7, 0(x10)
    slli x8, x5, 3
    andi x8, x8, 1016
    add x8, x8, x10
    lbu x9, 1(x8)
    sb x5, 2(x8)
    j loop
"""


def side(tier: str, data: bytes = b"") -> Side:
    memory = Memory(0x4000, BASE)
    memory.write(BASE, Assembler(ISA).program(LOOP, BASE))
    memory.write(BASE + 0x3000, data)
    hart = Hart(memory, tier=tier)
    hart.open_pmp()

    def run(steps: int) -> bool:
        hart.run(steps)
        return True

    return Side(run, [hart], memory)


def lockstep(seed: int = 1, data: bytes = b"") -> Lockstep:
    return Lockstep(side("jit"), side("interp", data), seed, lambda hart, pc: f"loop+{pc - BASE:#x}", lambda n: f"again {n}")


def test_tiers_that_agree() -> None:
    both = lockstep()
    assert both.run(3_000_000) is True
    both.finish()
    assert both.strides > 10
    assert both.fast.harts[0].state[SLOT["region_steps"]] > 1_000_000
    assert both.plain.harts[0].state[SLOT["region_steps"]] == 0


def wrong_store(self: Any, addr: Any, value: Any, size: int, via: str, *, store: Callable[..., None]) -> None:
    """Bytes go astray by one."""
    store(self, self.builder.add(translator.lift(addr), self.const(1)) if size == 1 else addr, value, size, via)


def without_extension(text: str) -> str:
    """Region code whose 32-bit results have lost their sign."""
    return re.sub(r"= sext i32", "= zext i32", text)


@pytest.fixture
def wrong_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    right = translator.translate

    def wrong(*args: Any, **options: Any) -> str:
        text = right(*args, **options)
        return without_extension(text)

    monkeypatch.setattr(translator, "translate", wrong)


@pytest.mark.usefixtures("wrong_extension")
def test_a_sign_extension_that_is_missing() -> None:
    both = lockstep()
    with pytest.raises(Mismatch) as caught:
        both.run(3_000_000)
    text = str(caught.value)
    assert re.search(r"x7: 0xffffffff\w{8} interpreted, 0x\w{8} translated", text)
    agreed, stride = (int(n.replace(",", "")) for n in re.findall(r"step ([\d,]+), and ([\d,]+) steps", text)[0])
    assert f"again {agreed + stride}" in text
    assert "at loop+0x" in text
    assert both.plain.steps == agreed + stride


@pytest.mark.usefixtures("wrong_extension")
def test_the_same_seed_finds_the_same() -> None:
    texts = []
    for _ in range(2):
        with pytest.raises(Mismatch) as caught:
            lockstep(7).run(3_000_000)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


def test_ram_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    right = translator.Translator.store
    monkeypatch.setattr(
        translator.Translator,
        "store",
        lambda self, addr, value, size, via: wrong_store(self, addr, value, size, via, store=right),
    )
    both = lockstep()
    with pytest.raises(Mismatch, match="RAM at 0x8000"):
        both.run(10_000_000)
        both.finish()


def test_ram_that_differs_at_the_end() -> None:
    both = lockstep(data=b"x")
    with pytest.raises(Mismatch, match=r"RAM at 0x80003000: 0x78 interpreted, 0x0 translated"):
        both.finish()


def test_output_is_compared() -> None:
    both = lockstep()
    both.fast.output += b"a"
    assert any("output" in line for line in both.differences())
    assert not both.differences()


# -- the commands


def rvhv(*args: str) -> Any:
    return CliRunner().invoke(main, list(args))
