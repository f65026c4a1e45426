/* lab 2 in C: what your gstage.c defines, and what it may use. gpas, spas and sizes are numbers of 64 bits */
#ifndef GSTAGE_H
#define GSTAGE_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)

/* bits of a PTE; the frame's number, spa >> 12, begins at bit PTE_PPN_SHIFT */
#define PTE_V (1UL << 0)
#define PTE_R (1UL << 1)
#define PTE_W (1UL << 2)
#define PTE_X (1UL << 3)
#define PTE_U (1UL << 4)
#define PTE_A (1UL << 6)
#define PTE_D (1UL << 7)
#define PTE_PPN_SHIFT 10

struct gstage {
    uint64_t root; /* spa of the root table: the hypervisor makes hgatp of it. it may have more fields, of 56 bytes together */
};

/* frames of 4 KiB: the spa of `count` zeroed ones in a row, aligned to `align` frames. spas can be used as pointers: the hypervisor
 * runs without translation of its own */
uint64_t frames_alloc(uint64_t count, uint64_t align);
void frames_free(uint64_t spa, uint64_t count);

/* HFENCE.GVMA for the page of a gpa, and for all of them; spelled as bits, because assemblers know the name only when told so */
static inline void hfence_gvma_page(uint64_t gpa) {
    __asm__ volatile(".insn r 0x73, 0, 0x31, x0, %0, x0" : : "r"(gpa >> 2) : "memory");
}
static inline void hfence_gvma_all(void) { __asm__ volatile(".insn r 0x73, 0, 0x31, x0, x0, x0" : : : "memory"); }

/* yours. false: no frames left */
bool gstage_init(struct gstage *gstage);
uint64_t gstage_map(struct gstage *gstage, uint64_t gpa);
uint64_t gstage_frame(const struct gstage *gstage, uint64_t gpa); /* 0: none */
bool gstage_map_range(struct gstage *gstage, uint64_t gpa, uint64_t spa, uint64_t size, uint64_t rights);
bool gstage_protect(struct gstage *gstage, uint64_t gpa, uint64_t size, uint64_t rights); /* PTE_R, PTE_W and PTE_X */
bool gstage_unmap(struct gstage *gstage, uint64_t gpa, uint64_t size);
void gstage_release(struct gstage *gstage);

#endif
