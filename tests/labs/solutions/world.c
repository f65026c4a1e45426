/* lab 1 in C: the lists of CSRs are written once, and everything that is done to each is a macro */
#include "world.h"

/* zero when a guest starts */
#define OWN_CSRS(EACH)                                                                                                 \
    EACH(vsstatus) EACH(vstvec) EACH(vsscratch) EACH(vsepc) EACH(vscause) EACH(vstval) EACH(vsatp) EACH(hie) EACH(hvip) \
    EACH(htimedelta) EACH(scounteren) EACH(senvcfg) EACH(fcsr)
#define ALL_CSRS(EACH) OWN_CSRS(EACH) EACH(vstimecmp) EACH(hgatp) EACH(hstatus) EACH(sstatus) EACH(sepc)

#define FIELD(csr) uint64_t csr;
#define CLEAR(csr) csr_write(csr, 0);
#define SAVE(csr) to->csr = csr_read(csr);
#define RESTORE(csr) csr_write(csr, from->csr);

static struct saved {
    struct frame frame;
    ALL_CSRS(FIELD)
} saved[MOST_GUESTS + 1];

void world_start(struct frame *frame, const struct guest *guest) {
    OWN_CSRS(CLEAR)
    csr_write(vstimecmp, ~0UL);
    for (int n = 0; n < 32; n++)
        frame->x[n] = frame->f[n] = 0;
    frame->x[10] = guest->hart_id;
    frame->x[11] = guest->device_tree;
    csr_write(hgatp, HGATP_SV39X4 | guest->vmid << HGATP_VMID_SHIFT | guest->root >> PAGE_SHIFT);
    csr_write(hstatus, HSTATUS_SPV | HSTATUS_VTW);
    csr_write(sstatus, csr_read(sstatus) | SSTATUS_SPP);
    csr_write(sepc, guest->entry);
}

void world_save(const struct frame *frame, const struct guest *guest) {
    struct saved *to = &saved[guest->vmid];
    to->frame = *frame;
    ALL_CSRS(SAVE)
}

void world_restore(struct frame *frame, const struct guest *guest) {
    const struct saved *from = &saved[guest->vmid];
    *frame = from->frame;
    ALL_CSRS(RESTORE)
}
