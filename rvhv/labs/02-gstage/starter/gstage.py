"""Lab 2: the G-stage of a virtual machine.

Fill in what raises `NotImplementedError`, from top to bottom; `rvhv lab check` says how far you are. You may add
methods, functions and files of your own. What the arguments are:

  memory.read_u64(spa), memory.write_u64(spa, value)   eight bytes of the machine's memory, where your tables are
  frames.alloc(count=1, align=1)    the address (spa) of `count` zeroed 4 KiB frames in a row; `align` is in frames
  frames.free(spa, count=1)         gives frames back
  hfence_gvma(gpa), hfence_gvma()   the instruction HFENCE.GVMA, for the page of one gpa or for all of them

gpas and spas are plain numbers. `rights` is one of "r", "x", "rw", "rx", "rwx".
"""

from rvhv.cpu import pte  # pte.V, pte.R, pte.W, pte.X, pte.U, pte.A, pte.D and pte.PPN_SHIFT are what their names say

PAGE = 4096


class GStage:
    def __init__(self, memory, frames, hfence_gvma):
        self.memory = memory
        self.frames = frames
        self.hfence_gvma = hfence_gvma
        self.root = self.make_root()

    def make_root(self):
        """The spa of an empty root table. How large is it, and how aligned?"""
        raise NotImplementedError("make_root: allocate the root table of Sv39x4 (handout, step 1)")

    def map(self, gpa):
        """The guest touched the page of `gpa`: give it a frame, with all rights, if it has none. Return the frame's spa."""
        raise NotImplementedError("map: walk from the root, make the tables on the way, write a leaf (handout, step 2)")

    def frame(self, gpa):
        """The spa of the frame behind the page of `gpa`, or None if it has none."""
        raise NotImplementedError("frame: walk from the root and say where the page is (handout, step 3)")

    def map_range(self, gpa, spa, size, rights):
        """Map `size` bytes at `gpa` to the frames at `spa`, which are yours from now on, by leaves as large as fit."""
        raise NotImplementedError("map_range: leaves of 1 GiB, 2 MiB and 4 KiB (handout, step 4)")

    def protect(self, gpa, size, rights):
        """Change the rights of the range. A superpage that reaches out of it is split before."""
        raise NotImplementedError("protect: rewrite leaves, and fence (handout, step 5)")

    def unmap(self, gpa, size):
        """Take the pages of the range away from the guest, and give their frames back. Not every page needs to be mapped."""
        raise NotImplementedError("unmap: clear leaves, fence, free the frames (handout, step 6)")

    def release(self):
        """The virtual machine is gone: give every frame back, those of the tables too."""
        raise NotImplementedError("release: give everything back (handout, step 7)")
