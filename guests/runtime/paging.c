#include "paging.h"

#include "console.h"
#include "riscv.h"
#include "sbi.h"

#define POOL_PAGES 128

static _Alignas(4096) uint8_t pool[POOL_PAGES][PAGE_SIZE]; /* .bss: zero, and never given back */
static uint64_t pool_used;

void *page_alloc(void) {
    if (pool_used == POOL_PAGES) {
        printf("out of pages\n");
        sbi_power_off(SRST_REASON_FAILURE);
    }
    return pool[pool_used++];
}

pte_t pte_of(uint64_t gpa, uint64_t flags) { return gpa >> PAGE_SHIFT << PTE_PPN_SHIFT | flags | PTE_V; }

static uint64_t pte_gpa(pte_t pte) { return pte >> PTE_PPN_SHIFT << PAGE_SHIFT; }

static uint64_t index_at(uint64_t gva, int level) {
    return gva >> (PAGE_SHIFT + SV39_INDEX_BITS * level) & ((1UL << SV39_INDEX_BITS) - 1);
}

void page_map(pte_t *root, uint64_t gva, uint64_t gpa, uint64_t size, uint64_t flags) {
    for (uint64_t offset = 0; offset < size; offset += PAGE_SIZE) {
        pte_t *table = root;
        for (int level = SV39_LEVELS - 1; level > 0; level--) {
            pte_t *entry = &table[index_at(gva + offset, level)];
            if (!(*entry & PTE_V))
                *entry = pte_of((uint64_t)page_alloc(), 0); /* no R, W or X: points to the next level */
            table = (pte_t *)pte_gpa(*entry);
        }
        table[index_at(gva + offset, 0)] = pte_of(gpa + offset, flags | PTE_A | PTE_D);
    }
}

pte_t page_walk(const pte_t *root, uint64_t gva) {
    for (int level = SV39_LEVELS - 1;; level--) {
        pte_t entry = root[index_at(gva, level)];
        if (!(entry & PTE_V) || level == 0)
            return entry & PTE_V ? entry : 0;
        root = (const pte_t *)pte_gpa(entry);
    }
}

uint64_t satp_of(const pte_t *root) { return SATP_MODE_SV39 | (uint64_t)root >> PAGE_SHIFT; }
