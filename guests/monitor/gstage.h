/* the G-stage of one VM: Sv39x4 tables, filled one 4 KiB frame per guest page fault (twin: hv/gstage.py) */
#ifndef GSTAGE_H
#define GSTAGE_H

#include <stdbool.h>
#include <stdint.h>

struct gstage {
    uint64_t root; /* spa of the root table */
};

enum access { READ, WRITE, EXECUTE };

bool gstage_init(struct gstage *gstage); /* false: no frames left */

/* gives the guest page of `gpa` a frame if it has none; the frame's spa, or 0 when there are no frames left */
uint64_t gstage_map(struct gstage *gstage, uint64_t gpa);

/* the spa of the frame behind the guest page of `gpa`, or 0 */
uint64_t gstage_frame(const struct gstage *gstage, uint64_t gpa);

/* why the tables refuse `access` at `gpa`, as a phrase that names the bit; 0 when they allow it */
const char *gstage_refusal(const struct gstage *gstage, uint64_t gpa, enum access access);

/* the monitor needs none of these three; they are what the G-stage of hv/gstage.py does besides, and lab 2's reference.
 * `gpa`, `spa` and `size` are multiples of 4 KiB; `rights` are the bits of a PTE: PTE_R, PTE_W, PTE_X */

/* maps a range that has no page yet to frames that are the G-stage's from now on, by leaves as large as fit */
bool gstage_map_range(struct gstage *gstage, uint64_t gpa, uint64_t spa, uint64_t size, uint64_t rights);
/* takes every page of the range away and gives their frames back */
bool gstage_unmap(struct gstage *gstage, uint64_t gpa, uint64_t size);
/* changes the rights of the pages of the range that are mapped */
bool gstage_protect(struct gstage *gstage, uint64_t gpa, uint64_t size, uint64_t rights);

/* gives every frame back */
void gstage_release(struct gstage *gstage);

/* what hgatp holds for this G-stage */
uint64_t gstage_hgatp(const struct gstage *gstage, uint64_t vmid);

bool gstage_has_vmids(void);
void gstage_fence(void);              /* hfence.gvma for everything */
void gstage_fence_page(uint64_t gpa); /* and for one guest page */

#endif
