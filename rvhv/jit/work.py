"""Doing a job: form the region, find its code in the cache, or translate and compile it."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

from rvhv.jit.cache import ObjectCache, key
from rvhv.jit.form import Region, form
from rvhv.jit.job import Job, Result, Spec

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
        return _nothing(job)
    name = key(region, job.page, job.tlb_bits)
    code = objects.get(name)
    return None if code is None else _result(job, region, code, name, cached=True)


def find_again(job: Job, spec: Spec, objects: ObjectCache) -> Result | None:
    """The same of a job that was done before on a page with these bytes, without forming the region."""
    code = objects.get(spec.name)
    if code is None:
        return None
    ranges = tuple((start, job.page[start : start + length]) for start, length in spec.ranges)
    made = (spec.entries, spec.cover, ranges, spec.instructions)
    return Result(job.number, job.frame, code, *made, job.starts, job.hints, cached=True, name=spec.name)


def work(job: Job, objects: ObjectCache | None = None) -> Result:
    """The region's object code, or a result without code when there is nothing to translate."""
    from rvhv.jit.compile import host_has_fma
    from rvhv.jit.translate import translate

    start = time.process_time()
    region = form(job.page, job.starts, job.hints, job.stops, job.most)
    if region is None:
        return _nothing(job)
    code = compiler().object_code(translate(region, job.tlb_bits, host_fma=host_has_fma()))
    name, warning = key(region, job.page, job.tlb_bits), ""
    if objects:
        objects.put(name, code)
        warning = objects.warning
    return _result(job, region, code, name, seconds=time.process_time() - start, warning=warning)


def _nothing(job: Job) -> Result:
    stopped = bool(job.stops) and form(job.page, job.starts, job.hints, (), job.most) is not None
    return Result(job.number, job.frame, b"", for_now=stopped)


def _result(
    job: Job, region: Region, code: bytes, name: str, *, seconds: float = 0.0, cached: bool = False, warning: str = ""
) -> Result:
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
        name=name,
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
