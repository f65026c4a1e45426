/* guest-page faults outside RAM: a load or store is done on a device, all else is an access fault (twin: hv/mmio.py) */
#ifndef MMIO_H
#define MMIO_H

#include <stdbool.h>
#include <stdint.h>

struct vm;

/* a load or store; `reg` is rd of a load and rs2 of a store */
struct mmio_access {
    bool store, is_signed;
    unsigned size, reg, length; /* bytes, number, bytes of the instruction */
};

/* what may lie at [base, base + size); false: it takes no such access. a store comes with its value */
struct mmio_device {
    const char *name;
    uint64_t base, size;
    bool (*load)(struct vm *vm, uint64_t offset, unsigned size, uint64_t *value);
    bool (*store)(struct vm *vm, uint64_t offset, unsigned size, uint64_t value);
};

/* the gpa of the guest-page fault just taken: htval, with the low bits of stval unless a VS-stage walk faulted */
uint64_t mmio_faulting_gpa(const struct vm *vm);

/* do the access that faulted at `gpa` on the VM's bus and step over it, or inject an access fault */
void mmio_emulate(struct vm *vm, uint64_t gpa);

#endif
