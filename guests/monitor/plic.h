/* the interrupt controller that a VM sees: one word of sources, hart 0's two contexts (twin: machine/plic.py) */
#ifndef PLIC_H
#define PLIC_H

#include "mmio.h"

#define PLIC_SOURCES 31
#define PLIC_CONTEXTS 2 /* hart 0's M-mode, unused, and its S-mode */

struct plic {
    uint32_t priority[PLIC_SOURCES + 1], enable[PLIC_CONTEXTS], threshold[PLIC_CONTEXTS];
    uint32_t level, pending, in_flight; /* one bit per source */
};

extern const struct mmio_device plic_device;

/* drive a source's line */
void plic_set_level(struct vm *vm, unsigned source, bool level);

#endif
