"""Lab 2."""

from __future__ import annotations

from tests.labs.mutants import mutant

LEAVES = "map-pages wide-root superpages rights unmap"
FENCE = "self.hfence_gvma(at)  # and only then may its frames become another's\n"

MUTANTS = [
    mutant(
        "no U bit",
        ("FLAGS = p.V | p.U |", "FLAGS = p.V |"),
        loses=f"{LEAVES} fresh-pages hosts-a-guest",
        says=("U=0", "as if from U-mode"),
    ),
    mutant("no A bit", ("p.U | p.A | p.D", "p.U | p.D"), loses=f"{LEAVES} fresh-pages", says="A=0"),
    mutant("no D bit", ("p.U | p.A | p.D", "p.U | p.A"), loses=LEAVES, says="D=0"),
    mutant(
        "the next frame",
        ("return spa >> PAGE_SHIFT <<", "return (spa >> PAGE_SHIFT) + (flags != p.V) <<"),
        loses=f"{LEAVES} fresh-pages hosts-a-guest",
        says="arrives at",
    ),
    mutant(
        "512 entries in the root",
        ("(0x7FF if level == LEVELS - 1 else 0x1FF)", "0x1FF"),
        loses="wide-root",
        says=("of 2048", "V=0"),
    ),
    mutant(
        "root of 4 KiB",
        ("frames.alloc(ROOT_FRAMES, align=ROOT_FRAMES)", "frames.alloc()"),
        ("free(self.root, ROOT_FRAMES)", "free(self.root)"),
        loses="root",
        says="16 KiB",
    ),
    mutant(
        "root not aligned",
        ("frames.alloc(ROOT_FRAMES, align=ROOT_FRAMES)", "frames.alloc(ROOT_FRAMES)"),
        loses="root",
        says="16 KiB",
    ),
    mutant(
        "superpages where the spa is not aligned",
        ("if (gpa | spa) % block(n) == 0", "if gpa % block(n) == 0"),
        loses="superpages",
        says="misaligned",
    ),
    mutant(
        "superpages that reach too far",
        (" and gpa + block(n) <= end)", ")"),
        loses="superpages",
        says="a leaf of 4 KiB",
    ),
    mutant(
        "small pages only",
        ("for n in range(LEVELS) if (gpa | spa)", "for n in range(1) if (gpa | spa)"),
        loses="superpages",
        says="a leaf of 2 MiB",
    ),
    mutant(
        "no gigabyte pages",
        ("for n in range(LEVELS) if (gpa | spa)", "for n in range(2) if (gpa | spa)"),
        loses="superpages",
        says="a leaf of 1 GiB",
    ),
    mutant("unmap without a fence", (FENCE, "pass\n"), loses="unmap-fences", says=("a fence for gpa", "none")),
    mutant(
        "the fence before the change",
        ("            self.memory.write_u64(self._slot(at, level), 0)\n", ""),
        (FENCE, FENCE + "            self.memory.write_u64(self._slot(at, level), 0)\n"),
        loses="unmap-fences",
        says="a fence for gpa",
    ),
    mutant(
        "the fence for gpa >> 2",
        (FENCE, "self.hfence_gvma(at >> 2)\n"),
        loses="unmap-fences",
        says="hfence_gvma(0x",
    ),
    mutant(
        "protect without a fence",
        (
            "flags | RIGHTS[rights]))\n            self.hfence_gvma(at)".replace("flags",
            "FLAGS"), "FLAGS | RIGHTS[rights]))",
        ),
        loses="rights",
        says="a fence for gpa",
    ),
    mutant(
        "unmap forgets the last page",
        (
            "at, end = gpa, gpa + size\n        while at < end:\n            level = next(",
            "at, end = gpa, gpa + size - PAGE\n        while at < end:\n            level = next(",
        ),
        loses="rights unmap fresh-pages",
        says="'r'",
    ),
    mutant(
        "unmap takes the whole superpage",
        ("if start < gpa or start + block(level) > end:", "if False:"),
        loses="rights unmap",
        says="superpage",
    ),
    mutant(
        "rights are ignored",
        ("FLAGS | RIGHTS[rights]))\n            self.leaves", "LEAF))\n            self.leaves"),
        loses="rights unmap",
        says="to be refused",
    ),
    mutant(
        "pages are never freed",
        (
            "self.frames.free(self.leaves[level].pop(at // block(level)), block(level) // PAGE)",
            "self.leaves[level].pop(at // block(level))",
        ),
        loses="release",
        says="still in use",
    ),
    mutant(
        "tables leak",
        ("for spa in self.tables:\n            self.frames.free(spa)\n", "pass\n"),
        loses="release",
        says="still in use",
    ),
    mutant(
        "frames are kept and not zeroed",
        (
            "self.frames.free(self.leaves[level].pop(at // block(level)), block(level) // PAGE)",
            "self.kept = [self.leaves[level].pop(at // block(level))]",
        ),
        (
            "spa = self.frames.alloc()\n            self.memory.write_u64(slot",
            "spa = self.kept.pop() if getattr(self, 'kept', []) else self.frames.alloc()\n            self.memory.write_u64(slot",
        ),
        loses="fresh-pages release",
        says="all zeros",
    ),
    mutant(
        "frame gives the superpage's first",
        ("return spa + gpa % block(level) // PAGE * PAGE", "return spa"),
        loses="frame",
        says="in the superpage at",
    ),
    mutant(
        "frame allocates",
        (
            "def frame(self, gpa: int) -> int | None:\n        for",
            "def frame(self, gpa: int) -> int | None:\n        self._slot(gpa, 0)\n        for",
        ),
        loses="frame",
        says="to look only",
    ),
    mutant(
        "every page twice",
        ("        spa = self.frame(gpa)\n        if spa is None:", "        spa = None\n        if spa is None:"),
        loses="map-pages",
        says="again",
    ),
]
