"""Doing a job: form the region, find its code in the cache, or translate and compile it."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

from rvhv.jit.cache import ObjectCache, key
from rvhv.jit.form import Region, form
from rvhv.jit.job import Job, Result

if TYPE_CHECKING:
    from rvhv.jit.compile import Compiler


@cache
def compiler() -> Compiler:
    from rvhv.jit.compile import Compiler

    return Compiler()


def find(job: Job, objects: ObjectCache) -> Result | None:
    """The result out of the cache, without LLVM; None when the work has to be done."""
    region = form(job.page, job.starts, job.hints, job.stops, job.most)
    if region is None:
        return Result(job.number, job.frame, b"")
    code = objects.get(key(region, job.page, job.tlb_bits))
    return None if code is None else _result(job, region, code, cached=True)


def work(job: Job, objects: ObjectCache | None = None) -> Result:
    """The region's object code, or a result without code when there is nothing to translate."""
    from rvhv.jit.compile import host_has_fma
    from rvhv.jit.translate import translate

    start = time.process_time()
    region = form(job.page, job.starts, job.hints, job.stops, job.most)
    if region is None:
        return Result(job.number, job.frame, b"")
    code = compiler().object_code(translate(region, job.tlb_bits, host_fma=host_has_fma()))
    warning = ""
    if objects:
        objects.put(key(region, job.page, job.tlb_bits), code)
        warning = objects.warning
    return _result(job, region, code, seconds=time.process_time() - start, warning=warning)


def _result(job: Job, region: Region, code: bytes, *, seconds: float = 0.0, cached: bool = False, warning: str = "") -> Result:
    ranges = ranges_of(region, job.page)
    return Result(
        job.number,
        job.frame,
        code,
        region.entries,
        region.cover,
        ranges,
        region.instructions,
        job.starts,
        job.hints,
        seconds=seconds,
        cached=cached,
        warning=warning,
    )


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
