/* the platform-level interrupt controller, as the S-mode context of the first hart sees it */
#ifndef PLIC_H
#define PLIC_H

#include <stdbool.h>
#include <stdint.h>

/* layout, in bytes from the base */
#define PLIC_PRIORITY 0x0   /* one register a source */
#define PLIC_PENDING 0x1000 /* one bit a source */
#define PLIC_ENABLE 0x2000  /* one bit a source, for each context */
#define PLIC_ENABLE_STRIDE 0x80
#define PLIC_CONTEXT 0x200000
#define PLIC_CONTEXT_STRIDE 0x1000
#define PLIC_THRESHOLD 0x0
#define PLIC_CLAIM 0x4

struct plic {
    uint64_t base, size, context; /* context: the number of the one that interrupts S-mode */
};

bool plic_find(const void *fdt, struct plic *plic);
void plic_enable(const struct plic *plic, uint32_t source);
uint32_t plic_claim(const struct plic *plic); /* 0: nothing is pending */
void plic_complete(const struct plic *plic, uint32_t source);

#endif
