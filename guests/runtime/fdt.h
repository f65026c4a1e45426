/* reading a flattened device tree in place */
#ifndef FDT_H
#define FDT_H

#include <stdbool.h>
#include <stdint.h>

#define FDT_MAX_DEPTH 8

/* a cursor over the nodes, in the order of the blob: start with fdt_begin, then fdt_next */
struct fdt_node {
    const uint8_t *blob, *props, *next; /* this node's first token, and where the search goes on */
    const char *name;
    int depth;                                                                /* 0 is the root */
    uint32_t address_cells[FDT_MAX_DEPTH + 2], size_cells[FDT_MAX_DEPTH + 2]; /* of the children, by depth + 1 */
};

bool fdt_begin(const void *fdt, struct fdt_node *node); /* false: not a device tree */
bool fdt_next(struct fdt_node *node);                   /* false: there are no more nodes */
uint32_t fdt_size(const void *fdt);

/* the value of a property (big-endian), or 0 */
const uint8_t *fdt_prop(const struct fdt_node *node, const char *name, uint32_t *length);
const char *fdt_string(const struct fdt_node *node, const char *name, const char *otherwise);
bool fdt_u32(const struct fdt_node *node, const char *name, uint32_t index, uint32_t *value);
/* does the list of strings hold this one? */
bool fdt_has(const struct fdt_node *node, const char *name, const char *text);
/* the first (address, size) of reg */
bool fdt_reg(const struct fdt_node *node, uint64_t *base, uint64_t *size);

/* all that most guests want to know */
bool fdt_memory(const void *fdt, uint64_t *base, uint64_t *size);

#endif
