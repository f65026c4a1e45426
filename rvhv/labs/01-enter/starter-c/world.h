/* lab 1 in C: what your world.c defines, and what it may use. gpas, spas and sizes are numbers of 64 bits */
#ifndef WORLD_H
#define WORLD_H

#include <stdint.h>

#define MOST_GUESTS 8

/* what there is to know of a guest */
struct guest {
    uint64_t vmid;        /* its number, 1 to MOST_GUESTS: no two guests have the same */
    uint64_t root;        /* the spa of the root table of its G-stage, which is there already */
    uint64_t entry;       /* the gpa of its first instruction */
    uint64_t device_tree; /* the gpa of the description of its machine */
    uint64_t hart_id;     /* the number of its hart, as the guest knows it */
};

/* C needs the registers itself. so what the guest had in them when it trapped is in memory, where the first instructions of a
 * trap handler put it (guests/monitor/enter.S does), and what is here when you return is in them when sret is executed */
struct frame {
    uint64_t x[32], f[32]; /* x[0] counts for nothing */
};

/* CSRs are in the hart. csr_read(hstatus) is a value, csr_write(sepc, value); writing keeps to a field's own rules (WARL) */
#define csr_read(csr)                                                                                                  \
    ({                                                                                                                 \
        uint64_t value_;                                                                                               \
        __asm__ volatile("csrr %0, " #csr : "=r"(value_) : : "memory");                                                \
        value_;                                                                                                        \
    })
#define csr_write(csr, value) __asm__ volatile("csrw " #csr ", %0" : : "r"((uint64_t)(value)) : "memory")

#define HSTATUS_SPV (1UL << 7)
#define HSTATUS_VTW (1UL << 21)
#define SSTATUS_SPP (1UL << 8)
#define HGATP_SV39X4 (8UL << 60)
#define HGATP_VMID_SHIFT 44
#define PAGE_SHIFT 12

/* says that a function is still to be written, and does not return */
_Noreturn void not_written(void);

/* yours. the hypervisor executes sret after world_start and world_restore */
void world_start(struct frame *frame, const struct guest *guest);
void world_save(const struct frame *frame, const struct guest *guest);
void world_restore(struct frame *frame, const struct guest *guest);

#endif
