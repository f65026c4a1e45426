/* lab 2: the G-stage of a virtual machine, in C. fill in the functions from top to bottom; the handout's steps are the same as for
 * Python, and `rvhv lab check` says how far you are */
#include "gstage.h"

/* step 1: an empty root table. how large is it, and how aligned? */
bool gstage_init(struct gstage *gstage) {
    (void)gstage;
    return false;
}

/* step 2: the guest touched the page of `gpa`: give it a frame, with all rights, if it has none; the frame's spa */
uint64_t gstage_map(struct gstage *gstage, uint64_t gpa) {
    (void)gstage, (void)gpa;
    return 0;
}

/* step 3: the spa of the frame behind the page of `gpa`, or 0 */
uint64_t gstage_frame(const struct gstage *gstage, uint64_t gpa) {
    (void)gstage, (void)gpa;
    return 0;
}

/* step 4: map `size` bytes at `gpa` to the frames at `spa`, which are yours from now on, by leaves as large as fit */
bool gstage_map_range(struct gstage *gstage, uint64_t gpa, uint64_t spa, uint64_t size, uint64_t rights) {
    (void)gstage, (void)gpa, (void)spa, (void)size, (void)rights;
    return false;
}

/* step 5: change the rights of the range. a superpage that reaches out of it is split before */
bool gstage_protect(struct gstage *gstage, uint64_t gpa, uint64_t size, uint64_t rights) {
    (void)gstage, (void)gpa, (void)size, (void)rights;
    return false;
}

/* step 6: take the pages of the range away, fence, and give their frames back */
bool gstage_unmap(struct gstage *gstage, uint64_t gpa, uint64_t size) {
    (void)gstage, (void)gpa, (void)size;
    return false;
}

/* step 7: the virtual machine is gone: give every frame back, those of the tables too */
void gstage_release(struct gstage *gstage) { (void)gstage; }
