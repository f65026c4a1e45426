"""Doing a job: form the region, translate it, compile it."""

from __future__ import annotations

import time
from functools import cache

from rvhv.jit.compile import Compiler, host_has_fma
from rvhv.jit.form import Region, form
from rvhv.jit.job import Job, Result
from rvhv.jit.translate import translate


@cache
def compiler() -> Compiler:
    return Compiler()


def work(job: Job) -> Result:
    start = time.perf_counter()
    region = form(job.page, job.starts, job.stops, job.most)
    if region is None:
        return Result(job.number, job.frame, b"")
    code = compiler().object_code(translate(region, job.tlb_bits, host_fma=host_has_fma()))
    seconds = time.perf_counter() - start
    ranges = ranges_of(region, job.page)
    return Result(job.number, job.frame, code, region.entries, region.cover, ranges, region.instructions, seconds)


def ranges_of(region: Region, page: bytes) -> tuple[tuple[int, bytes], ...]:
    """The bytes of the region's instructions, neighbours joined."""
    found: list[list[int]] = []
    for at in sorted(region.blocks):
        block = region.blocks[at]
        if found and found[-1][1] == at:
            found[-1][1] = block.last.next
        else:
            found.append([at, block.last.next])
    return tuple((start, page[start:end]) for start, end in found)
