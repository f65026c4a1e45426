"""A translation as work that any process can do: a page and where it is hot goes in, object code comes out."""

from __future__ import annotations

from dataclasses import dataclass

MOST_INSTRUCTIONS = 128  # of a region, at first: a page's regions are united later


@dataclass(frozen=True)
class Job:
    """Translate code of a page (4096 bytes): see `rvhv.jit.form.form`."""

    number: int
    frame: int
    page: bytes
    starts: tuple[int, ...]
    tlb_bits: int
    hints: tuple[int, ...] = ()
    stops: tuple[int, ...] = ()
    most: int = MOST_INSTRUCTIONS


@dataclass(frozen=True)
class Result:
    """A region's object code, with a function `region`. `ranges`: the bytes it was made from, by their offset in the page."""

    number: int
    frame: int
    code: bytes  # empty: there is nothing to translate
    entries: tuple[int, ...] = ()
    cover: int = 0
    ranges: tuple[tuple[int, bytes], ...] = ()
    instructions: int = 0
    starts: tuple[int, ...] = ()  # of the job
    hints: tuple[int, ...] = ()
    seconds: float = 0.0  # of CPU time
    cached: bool = False
    recalled: bool = False  # from an earlier run's list
    warning: str = ""  # why nothing is kept on disk
