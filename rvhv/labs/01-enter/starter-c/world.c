/* lab 1: enter a guest, and switch between guests, in C. fill in the functions from top to bottom; the handout's steps are the same as
 * for Python, and `rvhv lab check` says how far you are */
#include "world.h"

/* a place for the registers of guests that are not on the hart, by VMID: what does it need besides x and f? */
static struct saved {
    struct frame frame;
} saved[MOST_GUESTS + 1];

/* steps 1 to 4: the hypervisor is about to execute sret, which is to be the guest's first entry. write what that takes: hgatp, hstatus,
 * sstatus, sepc, a0 and a1 (frame->x[10] and [11]), and then what others left */
void world_start(struct frame *frame, const struct guest *guest) {
    (void)frame, (void)guest;
    not_written();
}

/* step 5: the guest has trapped and another one is to come: keep everything that is in registers and is the guest's */
void world_save(const struct frame *frame, const struct guest *guest) {
    (void)frame, (void)guest, (void)saved;
    not_written();
}

/* step 6: the guest is to go on where it was when it was saved, as soon as the hypervisor executes sret */
void world_restore(struct frame *frame, const struct guest *guest) {
    (void)frame, (void)guest;
    not_written();
}
