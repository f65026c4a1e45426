"""No cache is state: guests whose fences are deleted behave the same to the step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rvhv import Hypervisor
from rvhv.images import image_path
from rvhv.machine.image import Image, load_image

NOP = (0x0000_0013).to_bytes(4, "little")
FENCE_I = 0x0000_100F
SFENCE_VMA, SFENCE_VMA_MASK = 0x1200_0073, 0xFE00_7FFF


def without_fences(image: Image) -> tuple[Image, int]:
    """The image with sfence.vma and fence.i replaced by nops, and how many there were."""
    segments, count = [], 0
    for segment in image.segments:
        data = bytearray(segment.data)
        for at in range(0, len(data) - 3, 2):
            word = int.from_bytes(data[at : at + 4], "little")
            if word == FENCE_I or word & SFENCE_VMA_MASK == SFENCE_VMA:
                data[at : at + 4] = NOP
                count += 1
        segments.append(replace(segment, data=bytes(data)))
    return replace(image, segments=tuple(segments)), count


def run(image: Image) -> tuple[str, bytes, str]:
    output: list[bytes] = []
    with Hypervisor(memory="64M") as hv:
        hv.on_console = lambda vm, data: output.append(data)
        vm = hv.create("guest", image, memory="16M")
        hv.run()
        return hv.trace_hash(), b"".join(output), vm.reason


@pytest.mark.parametrize("name", ["tasks", "rogue"])
def test_deleted_fences_change_nothing(name: str) -> None:
    image = load_image(image_path(name), name)
    bare, count = without_fences(image)
    assert count > 0
    assert run(bare) == run(image)
