#include "plic.h"

#include "fdt.h"
#include "riscv.h"

bool plic_find(const void *fdt, struct plic *plic) {
    struct fdt_node node;
    for (bool more = fdt_begin(fdt, &node); more; more = fdt_next(&node)) {
        if (!fdt_has(&node, "compatible", "riscv,plic0") && !fdt_has(&node, "compatible", "sifive,plic-1.0.0"))
            continue;
        if (!fdt_reg(&node, &plic->base, &plic->size))
            continue;
        /* pairs of (interrupt controller of a hart, interrupt): the place in this list is the context's number */
        uint32_t irq;
        for (uint32_t i = 0; fdt_u32(&node, "interrupts-extended", 2 * i + 1, &irq); i++) {
            plic->context = i;
            if (irq == IRQ_S_EXT)
                return true;
        }
    }
    return false;
}

void plic_enable(const struct plic *plic, uint32_t source) {
    uint64_t enable = plic->base + PLIC_ENABLE + plic->context * PLIC_ENABLE_STRIDE + source / 32 * 4;
    mmio_write32(plic->base + PLIC_PRIORITY + 4 * source, 1);
    mmio_write32(enable, mmio_read32(enable) | 1u << source % 32);
    mmio_write32(plic->base + PLIC_CONTEXT + plic->context * PLIC_CONTEXT_STRIDE + PLIC_THRESHOLD, 0);
}

static uint64_t claim_register(const struct plic *plic) {
    return plic->base + PLIC_CONTEXT + plic->context * PLIC_CONTEXT_STRIDE + PLIC_CLAIM;
}

uint32_t plic_claim(const struct plic *plic) { return mmio_read32(claim_register(plic)); }

void plic_complete(const struct plic *plic, uint32_t source) { mmio_write32(claim_register(plic), source); }
