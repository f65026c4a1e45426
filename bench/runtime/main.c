/* from M-mode into the mode that was asked for, with page tables of its own, and what is printed at the end */
#include "runtime.h"

#define LEAVES (RAM_SIZE / (512 * PAGE_SIZE)) /* tables of the last level */
#define LEVEL1_INDEX(address) ((address) >> 21 & 0x1ff)
#define LEVEL2_INDEX(address) ((address) >> 30 & 0x1ff)
#define MODE_SV39 (8UL << 60)
#define LEAF (PTE_V | PTE_R | PTE_W | PTE_X | PTE_A | PTE_D)
#define MISA_H (1UL << ('H' - 'A'))

/* CSRs by number: an assembler without H does not know their names */
#define CSR_VSSTATUS 0x200
#define CSR_VSATP 0x280
#define CSR_HGATP 0x680
#define csr_write(csr, value) __asm__ volatile("csrw %0, %1" : : "i"(csr), "r"(value) : "memory")
#define csr_write_named(csr, value) __asm__ volatile("csrw " #csr ", %0" : : "r"(value) : "memory")

struct tables {
    uint64_t root[4 * 512]; /* Sv39x4's is 16 KiB; Sv39 uses the first page */
    uint64_t middle[512];
    uint64_t leaves[LEAVES][512];
};

static struct tables first_stage __attribute__((aligned(16384)));
static struct tables g_stage __attribute__((aligned(16384)));

static uint64_t pte(const void *page, uint64_t bits) { return (uint64_t)page >> PAGE_SHIFT << PTE_PPN_SHIFT | bits; }

/* RAM to itself, in pages of 4 KiB; the value for satp, vsatp or hgatp */
static uint64_t map_ram(struct tables *tables, uint64_t user) {
    tables->root[LEVEL2_INDEX(RAM_BASE)] = pte(tables->middle, PTE_V);
    for (uint64_t i = 0; i < LEAVES; i++) {
        tables->middle[LEVEL1_INDEX(RAM_BASE) + i] = pte(tables->leaves[i], PTE_V);
        for (uint64_t j = 0; j < 512; j++)
            tables->leaves[i][j] = pte((void *)(RAM_BASE + (i * 512 + j) * PAGE_SIZE), LEAF | user);
    }
    return MODE_SV39 | (uint64_t)tables->root >> PAGE_SHIFT;
}

volatile uint64_t *leaf_pte(uintptr_t address) {
    uint64_t page = (address - RAM_BASE) >> PAGE_SHIFT;
    return bench_mode == MODE_M ? NULL : &first_stage.leaves[page / 512][page % 512];
}

/* all rounds; the last checksum, or the first wrong one */
static uint64_t work(void) {
    uint64_t rounds = (bench_scale * bench_rounds + 99) / 100, checksum;
    do
        checksum = bench_round();
    while (checksum == bench_expected && --rounds > 0);
    return checksum;
}

static _Noreturn void lower_main(void) {
    register uint64_t a0 __asm__("a0") = work();
    register uint64_t a1 __asm__("a1") = a0 == bench_expected;
    register uint64_t a7 __asm__("a7") = CALL_END;
    __asm__ volatile("ecall" : : "r"(a0), "r"(a1), "r"(a7) : "memory");
    __builtin_unreachable();
}

/* the stack stays: every table maps RAM to itself */
static _Noreturn void drop_to_s(uint64_t mstatus) {
    __asm__ volatile("csrs mstatus, %0\n"
                     "csrw mepc, %1\n"
                     "sfence.vma\n"
                     "mret" : : "r"(mstatus), "r"(lower_main) : "memory");
    __builtin_unreachable();
}

void machine_main(void) {
    uint64_t misa;

    /* PMP entry 0: everything, to everyone */
    csr_write_named(pmpaddr0, ~0UL >> 10);
    csr_write_named(pmpcfg0, 0x1fUL);
    switch (bench_mode) {
    case MODE_S:
        csr_write_named(satp, map_ram(&first_stage, 0));
        drop_to_s(MSTATUS_MPP_S);
    case MODE_VS:
        __asm__ volatile("csrr %0, misa" : "=r"(misa));
        if (!(misa & MISA_H))
            finish(0, false);
        csr_write(CSR_HGATP, map_ram(&g_stage, PTE_U));
        csr_write(CSR_VSATP, map_ram(&first_stage, 0));
        csr_write(CSR_VSSTATUS, MSTATUS_FS);
        __asm__ volatile(".word 0x62000073" : : : "memory"); /* hfence.gvma */
        __asm__ volatile(".word 0x22000073" : : : "memory"); /* hfence.vvma */
        drop_to_s(MSTATUS_MPP_S | MSTATUS_MPV);
    default: {
        uint64_t checksum = work();
        finish(checksum, checksum == bench_expected);
    }
    }
}

static void put(char c) {
    volatile uint8_t *uart = (volatile uint8_t *)UART;
    while (!(uart[UART_LSR] & UART_LSR_EMPTY))
        ;
    uart[0] = (uint8_t)c;
}

static void print(const char *text) {
    while (*text != '\0')
        put(*text++);
}

static void print_hex(uint64_t value) {
    for (int shift = 60; shift >= 0; shift -= 4)
        put("0123456789abcdef"[value >> shift & 15]);
}

void print_result(uint64_t checksum, bool right) {
    print(bench_name);
    print(" ");
    print_hex(checksum);
    print(right ? " ok\n" : " WRONG\n");
}

void print_trap(uint64_t mcause, uint64_t mepc, uint64_t mtval) {
    print(bench_name);
    print(": a trap that nobody expected: mcause ");
    print_hex(mcause);
    print(" mepc ");
    print_hex(mepc);
    print(" mtval ");
    print_hex(mtval);
    print("\n");
}
