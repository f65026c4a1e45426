/* the guests: those in the initrd (a cpio archive of ELF files, `cpio -o -H newc`), or else the two built in
   (twin: hv/guests.py) */
#ifndef GUESTS_H
#define GUESTS_H

#include <stdint.h>

#include "vm.h"

struct guest {
    char name[NAME_SIZE]; /* a file's, without its folder and its .elf */
    const uint8_t *elf;
    uint64_t size;
};

/* where the machine's initrd begins, or 0 when it has none */
uint64_t guests_initrd(const void *machine_tree);

/* at most `most` guests; how many */
uint64_t guests_find(const void *machine_tree, struct guest *guests, uint64_t most);

#endif
