"""Doing a job: form the region, translate it, compile it; or find it in the cache."""

from __future__ import annotations

import time
from functools import cache

from rvhv.jit.cache import ObjectCache, key
from rvhv.jit.compile import Compiler, host_has_fma
from rvhv.jit.form import Region, form
from rvhv.jit.job import Job, Result
from rvhv.jit.translate import translate


@cache
def compiler() -> Compiler:
    return Compiler()


def work(job: Job, objects: ObjectCache | None = None) -> Result:
    """The region's object code, or a result without code when there is nothing to translate."""
    start = time.process_time()
    region = form(job.page, job.starts, job.hints, job.stops, job.most)
    if region is None:
        return Result(job.number, job.frame, b"")
    name = key(region, job.page, job.tlb_bits) if objects else ""
    code = objects.get(name) if objects else None
    cached = code is not None
    if code is None:
        code = compiler().object_code(translate(region, job.tlb_bits, host_fma=host_has_fma()))
        if objects:
            objects.put(name, code)
    return Result(
        job.number,
        job.frame,
        code,
        region.entries,
        region.cover,
        ranges_of(region, job.page),
        region.instructions,
        time.process_time() - start,
        cached,
        objects.warning if objects else "",
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
