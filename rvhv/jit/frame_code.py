"""What the engine knows of the code in one frame, and how much work that code may make."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rvhv.jit.job import Result, Spec

MOST_OF_A_FRAME = 64  # translations of a frame's code at a time: one that changes all the time is left to the interpreter
INSTALLS_A_TRANSLATION = 8  # of what is known already, because a store dropped it, cost a frame as much as a translation
STEPS_A_TRANSLATION = 1 << 26  # in which one of these is forgotten: interpreting them takes seven times as long as it


@dataclass
class Loaded:
    """A region in this process."""

    result: Result
    address: int
    tracker: Any  # keeps the code in memory


@dataclass
class FrameCode:
    """Offsets into the frame, and what was made of its code."""

    starts: set[int] = field(default_factory=set)  # wanted: regions were left for them
    hints: set[int] = field(default_factory=set)  # wanted: chunks ended there
    installed: dict[int, Loaded] = field(default_factory=dict)  # by address; stores may have dropped them since
    page: bytes = b""  # the frame's bytes when its jobs were last looked up
    specs: list[Spec] = field(default_factory=list)  # of the jobs done of these bytes, in earlier runs too
    translations: int = 0  # since step `since`, less those that are forgotten
    since: int = 0
    installs: int = 0  # again, since these last counted as a translation
    apart: int = 0  # regions that were installed since these were made one
    united: int = 0  # how often they were

    def is_spent(self, steps: int) -> bool:
        """Whether the frame has had as many translations as it may, of those that are not forgotten at this step."""
        forgotten = max(steps - self.since, 0) // STEPS_A_TRANSLATION  # another hart may be behind
        self.translations = max(self.translations - forgotten, 0)
        self.since += forgotten * STEPS_A_TRANSLATION
        return self.translations >= MOST_OF_A_FRAME

    def note_install(self) -> None:
        """What was known already was installed again."""
        again, self.installs = divmod(self.installs + 1, INSTALLS_A_TRANSLATION)
        self.translations += again

    @property
    def is_apart(self) -> bool:
        """Whether regions that should be one have come since the last union: two, and after some unions more."""
        return self.apart > max(self.united, 1) and self.translations < MOST_OF_A_FRAME
