/* Sv39 page tables, from a pool of pages inside the image */
#ifndef PAGING_H
#define PAGING_H

#include <stdint.h>

typedef uint64_t pte_t;

/* a zeroed page; when the pool is empty the guest says so and powers off */
void *page_alloc(void);

/* maps size bytes at gva to gpa in 4 KiB pages; flags are PTE_R and the like. V, A and D are added: hardware
 * need not set A and D itself */
void page_map(pte_t *root, uint64_t gva, uint64_t gpa, uint64_t size, uint64_t flags);

/* the leaf entry of gva, or 0 */
pte_t page_walk(const pte_t *root, uint64_t gva);

uint64_t satp_of(const pte_t *root);
pte_t pte_of(uint64_t gpa, uint64_t flags);

#endif
