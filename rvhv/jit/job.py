"""A translation as work that any process can do: a page and where it is hot goes in, object code comes out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

LEAST_LENGTH = 2  # bytes of an instruction
LINE = 64  # bytes that a bit of a region's cover stands for
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


Offsets = tuple[int, ...]


class Spec(NamedTuple):
    """Of a job that was done, and what came of it: all that a later run needs to have the region without forming it again."""

    starts: Offsets
    hints: Offsets
    stops: Offsets
    most: int
    name: str  # of the object code in the cache
    entries: Offsets
    cover: int
    ranges: tuple[tuple[int, int], ...]  # (offset, bytes)
    instructions: int


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
    name: str = ""  # of the object code in the cache
    warning: str = ""  # why nothing is kept on disk
    error: str = ""  # the translator failed
    for_now: bool = False  # there is nothing to translate because of the job's stops, which may go away

    def firsts(self) -> Iterator[bytes]:
        """The first bytes at each entry: so many as every instruction has."""
        ranges = iter(self.ranges)  # both are in order
        at, data = next(ranges)
        for entry in self.entries:
            while entry >= at + len(data):
                at, data = next(ranges)
            yield data[entry - at : entry - at + LEAST_LENGTH]

    def same(self, other: Result) -> bool:
        """Whether it is the same region."""
        return (self.entries, self.ranges, self.code) == (other.entries, other.ranges, other.code)


def spec_of(job: Job, result: Result) -> Spec:
    """For later runs, what became of a job."""
    ranges = tuple((start, len(data)) for start, data in result.ranges)
    made = (result.name, result.entries, result.cover, ranges, result.instructions)
    return Spec(job.starts, job.hints, job.stops, job.most, *made)


def failed(job: Job, error: Exception) -> Result:
    """What became of a job on which the translator failed."""
    return Result(job.number, job.frame, b"", error=f"{type(error).__name__}: {error}")
