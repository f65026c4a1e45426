/* what single things cost: a round makes OPERATIONS of the kind that bench_test names. the cost of a kind is what it takes longer
   than the kind it is compared with, which executes the same instructions but for the one in question */
#include "runtime.h"

#define OPERATIONS 100000

const char bench_name[] = "micro";
const uint64_t bench_rounds = 100;
const uint64_t bench_expected = OPERATIONS;

/* the same numbers as in rvhv/bench/costs.py */
enum test { NOPS, ECALLS, SFENCES, HFENCES, HITS, MISSES, STORES, PTE_WRITES };

#define PAGES 12288 /* 48 MiB: more than any TLB of an emulator holds at once */
#define FEW_PAGES 16
#define STRIDE 1021 /* pages from one to the next: a prime, so that all are visited */
#define LINE 64

static uint8_t arena[PAGES][PAGE_SIZE] __attribute__((aligned(8192)));
static uint64_t pages_linked;

/* a cell in each page, each in another line of its page; it holds the address of the next one */
static void **cell(uint64_t page) { return (void **)&arena[page][page * LINE % PAGE_SIZE]; }

static void link_pages(uint64_t pages) {
    if (pages_linked == pages)
        return;
    pages_linked = pages;
    for (uint64_t i = 0; i < pages; i++)
        *cell(i * STRIDE % pages) = cell((i + 1) * STRIDE % pages);
}

static uint64_t chase(uint64_t pages) {
    link_pages(pages);
    void **at = cell(0);
    for (uint64_t i = 0; i < OPERATIONS; i++)
        at = *at;
    return (void *)at == (void *)cell(OPERATIONS * STRIDE % pages) ? OPERATIONS : 0;
}

/* a page is mapped to another frame and back while 16 others are in use, as a kernel does all day; or not, for comparison */
static uint64_t remap(bool really) {
    static uint64_t other; /* what is written instead */
    volatile uint64_t *pte = leaf_pte((uintptr_t)arena[0]);
    uint64_t value = pte == NULL ? 0 : *pte, sum = 0;
    *(volatile uint64_t *)arena[1] = 1;
    if (pte == NULL || !really)
        pte = &other;
    for (uint64_t i = 0; i < OPERATIONS; i++) {
        *pte = value ^ (i & 1) << PTE_PPN_SHIFT; /* the next page's frame, and back */
        if (really)
            __asm__ volatile("sfence.vma %0, zero" : : "r"(arena[0]) : "memory");
        sum += *(volatile uint64_t *)arena[0] + 1 + *(volatile uint64_t *)arena[2 + i % FEW_PAGES];
    }
    *pte = value;
    __asm__ volatile("sfence.vma" : : : "memory");
    return really ? sum - OPERATIONS / 2 : sum; /* every other time the next page was read */
}

#define REPEAT(instruction)                                                                                            \
    for (uint64_t i = 0; i < OPERATIONS; i += 10)                                                                      \
    __asm__ volatile(".rept 10\n" instruction "\n.endr" : : : "t0", "t1", "a7", "memory")

uint64_t bench_round(void) {
    switch (bench_test) {
    case NOPS:
        REPEAT("nop");
        break;
    case ECALLS:
        REPEAT("li a7, 0\necall");
        break;
    case SFENCES:
        REPEAT("sfence.vma");
        break;
    case HFENCES:
        REPEAT(".word 0x62000073"); /* hfence.gvma */
        break;
    case HITS:
        return chase(FEW_PAGES);
    case MISSES:
        return chase(PAGES);
    case STORES:
        return remap(false);
    case PTE_WRITES:
        return remap(true);
    default:
        return 0;
    }
    return OPERATIONS;
}
