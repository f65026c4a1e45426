"""Lab 2, without notes in Python: everything is found in the tables, and every fence is for all addresses."""

from rvhv.cpu import pte

PAGE = 4096
BITS = {"r": pte.R, "w": pte.W, "x": pte.X}
COMMON = pte.V | pte.U | pte.A | pte.D


class GStage:
    def __init__(self, memory, frames, hfence_gvma):
        self.memory, self.frames, self.hfence_gvma = memory, frames, hfence_gvma
        self.root = frames.alloc(4, 4)

    def path(self, gpa, down_to, make):
        """(slot, entry, level) where the walk ends: at a leaf, at an entry that is not valid, or at `down_to`."""
        table, level = self.root, 2
        while True:
            slot = table + 8 * ((gpa >> 12 + 9 * level) % (2048 if level == 2 else 512))
            entry = self.memory.read_u64(slot)
            if level == down_to or entry & (pte.R | pte.X):
                return slot, entry, level
            if not entry & pte.V:
                if not make:
                    return slot, entry, level
                entry = self.frames.alloc() >> 12 << 10 | pte.V
                self.memory.write_u64(slot, entry)
            table, level = entry >> 10 << 12, level - 1

    def map(self, gpa):
        if self.frame(gpa) is None:
            slot, _, _ = self.path(gpa, 0, True)
            self.memory.write_u64(slot, self.frames.alloc() >> 12 << 10 | COMMON | pte.R | pte.W | pte.X)
        return self.frame(gpa)

    def frame(self, gpa):
        _, entry, level = self.path(gpa, 0, False)
        if not entry & pte.V:
            return None
        return (entry >> 10 << 12) + gpa % (PAGE << 9 * level) // PAGE * PAGE

    def map_range(self, gpa, spa, size, rights):
        flags = COMMON | sum(BITS[letter] for letter in rights)
        while size > 0:
            for level in (2, 1, 0):
                length = PAGE << 9 * level
                if gpa % length == 0 and spa % length == 0 and size >= length:
                    break
            slot, entry, _ = self.path(gpa, level, True)
            while entry & pte.V:
                level, length = level - 1, length >> 9
                slot, entry, _ = self.path(gpa, level, True)
            self.memory.write_u64(slot, spa >> 12 << 10 | flags)
            gpa, spa, size = gpa + length, spa + length, size - length

    def leaves(self, gpa, size):
        """(slot, entry, level) of the leaves in a range, split where they reach out of it."""
        end = gpa + size
        while gpa < end:
            slot, entry, level = self.path(gpa, 0, False)
            length = PAGE << 9 * level
            if not entry & pte.V:
                gpa = (gpa // length + 1) * length
            elif gpa % length or gpa + length > end:
                table, part = self.frames.alloc(), length >> 9
                for n in range(512):
                    self.memory.write_u64(table + 8 * n, entry + (n * part >> 12 << 10))
                self.memory.write_u64(slot, table >> 12 << 10 | pte.V)
                self.hfence_gvma()
            else:
                yield slot, entry, level
                gpa += length

    def protect(self, gpa, size, rights):
        for slot, entry, _ in self.leaves(gpa, size):
            self.memory.write_u64(slot, entry & ~(pte.R | pte.W | pte.X) | sum(BITS[letter] for letter in rights))
        self.hfence_gvma()

    def unmap(self, gpa, size):
        gone = []
        for slot, entry, level in self.leaves(gpa, size):
            self.memory.write_u64(slot, 0)
            gone.append((entry >> 10 << 12, 1 << 9 * level))
        self.hfence_gvma()
        for spa, count in gone:
            self.frames.free(spa, count)

    def release(self, table=None, level=2):
        table = self.root if table is None else table
        data = b"".join(self.memory.read(table + at, PAGE) for at in range(0, 4 * PAGE if level == 2 else PAGE, PAGE))
        for at in range(0, len(data), 8):
            entry = int.from_bytes(data[at : at + 8], "little")
            if entry & (pte.R | pte.X):
                self.frames.free(entry >> 10 << 12, 1 << 9 * level)
            elif entry & pte.V:
                self.release(entry >> 10 << 12, level - 1)
        self.frames.free(table, 4 if level == 2 else 1)
