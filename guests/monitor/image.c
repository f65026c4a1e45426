#include "image.h"

#include "memory.h"

#define EM_RISCV 243
#define ET_EXEC 2
#define PT_LOAD 1

struct elf_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct program_header {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

const char *image_read(struct image *image, const uint8_t *elf, uint64_t size) {
    static const uint8_t ident[] = {0x7f, 'E', 'L', 'F', 2, 1}; /* 64 bits, little-endian */
    struct elf_header header;
    if (size < sizeof header || memcmp(elf, ident, sizeof ident) != 0)
        return "is no 64-bit little-endian ELF file";
    memcpy(&header, elf, sizeof header);
    if (header.machine != EM_RISCV || header.type != ET_EXEC)
        return "is no RISC-V executable";
    if (header.phentsize != sizeof(struct program_header) || header.phoff > size ||
        header.phnum * sizeof(struct program_header) > size - header.phoff)
        return "is truncated";
    image->entry = header.entry;
    image->segments = 0;
    for (uint64_t i = 0; i < header.phnum; i++) {
        struct program_header load;
        memcpy(&load, elf + header.phoff + i * sizeof load, sizeof load);
        if (load.type != PT_LOAD || load.memsz == 0)
            continue;
        if (load.offset > size || load.filesz > size - load.offset || load.filesz > load.memsz)
            return "has a segment that lies outside the file";
        if (image->segments == MOST_SEGMENTS)
            return "has too many segments";
        image->segment[image->segments++] = (struct segment){load.paddr, elf + load.offset, load.filesz, load.memsz};
    }
    return image->segments != 0 ? 0 : "has nothing to load";
}
