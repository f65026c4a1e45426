#include "guests.h"

#include "fdt.h"
#include "memory.h"

extern const uint8_t hello_elf[], hello_elf_end[], tasks_elf[], tasks_elf_end[]; /* images.S */

/* the header of a file in a cpio archive ("newc"): fields of 8 hexadecimal digits behind the magic */
#define CPIO_MAGIC "070701"
#define CPIO_HEADER 110
#define CPIO_FILESIZE (6 + 6 * 8)
#define CPIO_NAMESIZE (6 + 11 * 8)
#define CPIO_END "TRAILER!!!"

/* an address in /chosen: one cell or two */
static uint64_t chosen(const void *tree, const char *name) {
    struct fdt_node node;
    for (bool more = fdt_begin(tree, &node); more; more = fdt_next(&node)) {
        uint32_t high, low;
        if (node.depth != 1 || strcmp(node.name, "chosen") != 0 || !fdt_u32(&node, name, 0, &high))
            continue;
        return fdt_u32(&node, name, 1, &low) ? (uint64_t)high << 32 | low : high;
    }
    return 0;
}

uint64_t guests_initrd(const void *machine_tree) { return chosen(machine_tree, "linux,initrd-start"); }

static void add(struct guest *guest, const char *path, const uint8_t *elf, uint64_t size) {
    const char *name = path;
    for (const char *at = path; *at != '\0'; at++)
        if (*at == '/')
            name = at + 1;
    uint64_t length = strlen(name);
    if (length > 4 && strcmp(name + length - 4, ".elf") == 0)
        length -= 4;
    if (length >= NAME_SIZE)
        length = NAME_SIZE - 1;
    memset(guest->name, 0, NAME_SIZE);
    for (uint64_t i = 0; i < length; i++) /* what acts on a terminal is no part of a name */
        guest->name[i] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '?';
    guest->elf = elf;
    guest->size = size;
}

static uint64_t hex(const uint8_t *at) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 4 | (uint64_t)((at[i] & 15) + (at[i] >= 'A' ? 9 : 0));
    return value;
}

static uint64_t up(uint64_t offset) { return (offset + 3) & ~3UL; }

static uint64_t unpack(const uint8_t *archive, uint64_t size, struct guest *guests, uint64_t most) {
    uint64_t found = 0;
    for (uint64_t at = 0; found < most && at + CPIO_HEADER <= size;) {
        const uint8_t *header = archive + at;
        if (memcmp(header, CPIO_MAGIC, 6) != 0)
            break;
        uint64_t name_size = hex(header + CPIO_NAMESIZE), file_size = hex(header + CPIO_FILESIZE);
        uint64_t data = up(at + CPIO_HEADER + name_size);
        const char *name = (const char *)header + CPIO_HEADER;
        if (name_size == 0 || data > size || file_size > size - data || name[name_size - 1] != '\0' ||
            strcmp(name, CPIO_END) == 0)
            break;
        if (file_size > 0)
            add(&guests[found++], name, archive + data, file_size);
        at = up(data + file_size);
    }
    return found;
}

uint64_t guests_find(const void *machine_tree, struct guest *guests, uint64_t most) {
    uint64_t start = guests_initrd(machine_tree), end = chosen(machine_tree, "linux,initrd-end");
    if (start != 0 && end > start)
        return unpack((const uint8_t *)start, end - start, guests, most);
    add(&guests[0], "hello", hello_elf, (uint64_t)(hello_elf_end - hello_elf));
    add(&guests[1], "tasks", tasks_elf, (uint64_t)(tasks_elf_end - tasks_elf));
    return 2;
}
