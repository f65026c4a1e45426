/* guest images: statically linked 64-bit RISC-V ELF files (twin: machine/image.py) */
#ifndef IMAGE_H
#define IMAGE_H

#include <stdint.h>

#define MOST_SEGMENTS 8

struct segment {
    uint64_t addr; /* gpa */
    const uint8_t *data;
    uint64_t filesz, memsz;
};

struct image {
    uint64_t entry, segments;
    struct segment segment[MOST_SEGMENTS];
};

/* 0, or what is wrong with the file */
const char *image_read(struct image *image, const uint8_t *elf, uint64_t size);

#endif
