#include "fdt.h"

#include "memory.h"

#define FDT_MAGIC 0xd00dfeed
#define FDT_BEGIN_NODE 1
#define FDT_END_NODE 2
#define FDT_PROP 3
#define FDT_NOP 4

/* offsets of header fields */
#define HEADER_TOTALSIZE 4
#define HEADER_OFF_STRUCT 8
#define HEADER_OFF_STRINGS 12

/* what the specification says to assume where a node is silent */
#define DEFAULT_ADDRESS_CELLS 2
#define DEFAULT_SIZE_CELLS 1

static uint32_t be32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint64_t be_cells(const uint8_t *at, uint32_t cells) {
    uint64_t value = 0;
    while (cells-- > 0) {
        value = value << 32 | be32(at);
        at += 4;
    }
    return value;
}

static const uint8_t *align4(const uint8_t *at) { return (const uint8_t *)(((uint64_t)at + 3) & ~3UL); }

/* a property is: token, length, offset of its name, value */
static const uint8_t *after_prop(const uint8_t *at) { return align4(at + 12 + be32(at + 4)); }

static bool enter(struct fdt_node *node, const uint8_t *at) {
    uint32_t cells;
    node->name = (const char *)at + 4;
    node->props = node->next = align4(at + 4 + strlen(node->name) + 1);
    if (node->depth > FDT_MAX_DEPTH)
        return false;
    node->address_cells[node->depth + 1] = fdt_u32(node, "#address-cells", 0, &cells) ? cells : DEFAULT_ADDRESS_CELLS;
    node->size_cells[node->depth + 1] = fdt_u32(node, "#size-cells", 0, &cells) ? cells : DEFAULT_SIZE_CELLS;
    return true;
}

bool fdt_begin(const void *fdt, struct fdt_node *node) {
    const uint8_t *blob = fdt;
    if (be32(blob) != FDT_MAGIC)
        return false;
    node->blob = blob;
    node->next = blob + be32(blob + HEADER_OFF_STRUCT);
    node->depth = -1;
    node->address_cells[0] = DEFAULT_ADDRESS_CELLS;
    node->size_cells[0] = DEFAULT_SIZE_CELLS;
    return fdt_next(node);
}

bool fdt_next(struct fdt_node *node) {
    const uint8_t *at = node->next;
    for (;;) {
        switch (be32(at)) {
        case FDT_BEGIN_NODE:
            node->depth++;
            return enter(node, at);
        case FDT_END_NODE:
            node->depth--;
            at += 4;
            break;
        case FDT_PROP:
            at = after_prop(at);
            break;
        case FDT_NOP:
            at += 4;
            break;
        default:
            return false;
        }
    }
}

uint32_t fdt_size(const void *fdt) { return be32((const uint8_t *)fdt + HEADER_TOTALSIZE); }

const uint8_t *fdt_prop(const struct fdt_node *node, const char *name, uint32_t *length) {
    const char *strings = (const char *)node->blob + be32(node->blob + HEADER_OFF_STRINGS);
    const uint8_t *at = node->props;
    for (;;) {
        uint32_t token = be32(at);
        if (token == FDT_PROP && strcmp(strings + be32(at + 8), name) == 0) {
            *length = be32(at + 4);
            return at + 12;
        }
        if (token == FDT_PROP)
            at = after_prop(at);
        else if (token == FDT_NOP)
            at += 4;
        else
            return 0; /* properties come before children */
    }
}

const char *fdt_string(const struct fdt_node *node, const char *name, const char *otherwise) {
    uint32_t length;
    const uint8_t *value = fdt_prop(node, name, &length);
    return value != 0 && length > 0 ? (const char *)value : otherwise;
}

bool fdt_u32(const struct fdt_node *node, const char *name, uint32_t index, uint32_t *value) {
    uint32_t length;
    const uint8_t *at = fdt_prop(node, name, &length);
    if (at == 0 || length < 4 * (index + 1))
        return false;
    *value = be32(at + 4 * index);
    return true;
}

bool fdt_has(const struct fdt_node *node, const char *name, const char *text) {
    uint32_t length;
    const char *at = (const char *)fdt_prop(node, name, &length);
    for (const char *end = at + (at != 0 ? length : 0); at < end; at += strlen(at) + 1)
        if (strcmp(at, text) == 0)
            return true;
    return false;
}

bool fdt_reg(const struct fdt_node *node, uint64_t *base, uint64_t *size) {
    uint32_t length, address_cells = node->address_cells[node->depth], size_cells = node->size_cells[node->depth];
    const uint8_t *at = fdt_prop(node, "reg", &length);
    if (at == 0 || length < 4 * (address_cells + size_cells))
        return false;
    *base = be_cells(at, address_cells);
    *size = be_cells(at + 4 * address_cells, size_cells);
    return true;
}

bool fdt_memory(const void *fdt, uint64_t *base, uint64_t *size) {
    struct fdt_node node;
    for (bool more = fdt_begin(fdt, &node); more; more = fdt_next(&node))
        if (fdt_has(&node, "device_type", "memory") && fdt_reg(&node, base, size))
            return true;
    return false;
}
