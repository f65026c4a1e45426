/* what a benchmark program and its runtime are to each other, and the names of the machine */
#ifndef RUNTIME_H
#define RUNTIME_H

#define MODE_M 0
#define MODE_S 1  /* Sv39, pages of 4 KiB */
#define MODE_VS 2 /* Sv39 over Sv39x4, pages of 4 KiB in both */

#define CALL_NULL 0
#define CALL_END 1
#define CAUSE_ECALL_U 8

#define FINISHER 0x100000
#define FINISHER_FAIL 0x3333
#define FINISHER_PASS 0x5555
#define UART 0x10000000
#define UART_LSR 5
#define UART_LSR_EMPTY 0x20

#define MSTATUS_FS 0x6000
#define MSTATUS_MPP_S 0x800
#define MSTATUS_MPV 0x8000000000

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RAM that the page tables map to itself: 64 MiB from its beginning */
#define RAM_BASE 0x80000000UL
#define RAM_SIZE (64UL << 20)
#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)

#define PTE_V (1UL << 0)
#define PTE_R (1UL << 1)
#define PTE_W (1UL << 2)
#define PTE_X (1UL << 3)
#define PTE_U (1UL << 4)
#define PTE_A (1UL << 6)
#define PTE_D (1UL << 7)
#define PTE_PPN_SHIFT 10

extern uint64_t bench_mode, bench_scale, bench_test; /* in start.S; the loader may have changed them */

/* a program: its name, rounds at scale 100, one round, and the checksum that every round gives */
extern const char bench_name[];
extern const uint64_t bench_rounds;
extern const uint64_t bench_expected;
uint64_t bench_round(void);

_Noreturn void finish(uint64_t checksum, bool right);

/* the leaf that maps a page of RAM for the mode that runs; NULL in M-mode */
volatile uint64_t *leaf_pte(uintptr_t address);

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int strcmp(const char *a, const char *b);
uint32_t crc32(uint32_t crc, const void *data, size_t n);

/* a linear congruential generator; 24 bits */
static inline uint32_t lcg(uint32_t *state) { return (*state = *state * 1664525 + 1013904223) >> 8; }
#endif

#endif
