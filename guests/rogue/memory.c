/* memory that is not ours: plainly, across the end of ours, and through page tables */
#include "memory.h"
#include "console.h"
#include "paging.h"
#include "riscv.h"
#include "rogue.h"

/* the first guest physical address that Sv39x4 cannot translate */
#define SV39X4_LIMIT (1UL << 41)
/* nearly the largest that a PTE can hold */
#define FAR_GPA (1UL << 55)

#define SCAN_STEP (2UL << 20)
#define SCAN_PROBES 512

uint64_t load8(uint64_t address, uint64_t unused) { return (void)unused, *(volatile uint8_t *)address; }
uint64_t load32(uint64_t address, uint64_t unused) { return (void)unused, *(volatile uint32_t *)address; }
uint64_t load64(uint64_t address, uint64_t unused) { return (void)unused, *(volatile uint64_t *)address; }
uint64_t store8(uint64_t address, uint64_t value) { return *(volatile uint8_t *)address = (uint8_t)value; }
uint64_t store32(uint64_t address, uint64_t value) { return *(volatile uint32_t *)address = (uint32_t)value; }
uint64_t store64(uint64_t address, uint64_t value) { return *(volatile uint64_t *)address = value; }

uint64_t amo32(uint64_t address, uint64_t value) {
    __asm__ volatile("amoadd.w %0, %0, (%1)" : "+r"(value) : "r"(address) : "memory");
    return value;
}

uint64_t amo64(uint64_t address, uint64_t value) {
    __asm__ volatile("amoadd.d %0, %0, (%1)" : "+r"(value) : "r"(address) : "memory");
    return value;
}

static uint64_t load_reserved(uint64_t address, uint64_t unused) {
    uint64_t value;
    (void)unused;
    __asm__ volatile("lr.d %0, (%1)" : "=r"(value) : "r"(address) : "memory");
    return value;
}

/* the frames of other VMs lie somewhere: are any of them behind ours? */
static void scan(void) {
    uint64_t readable = 0, writable = 0;
    for (uint64_t i = 0; i < SCAN_PROBES; i++) {
        uint64_t gpa = machine.ram_end + i * SCAN_STEP;
        readable += try_call(load64, gpa, 0).scause == NO_TRAP;
        writable += try_call(store64, gpa, ~0UL).scause == NO_TRAP;
    }
    printf("scanned 1 GiB behind my memory in %u probes\n", SCAN_PROBES);
    refuse_verdict("frames found there", readable + writable == 0 ? "none" : "some", readable + writable == 0);
}

/* an access that begins in our memory and ends outside of it must do nothing at all */
static void try_straddling(void) {
    uint64_t last_word = machine.ram_end - 4, before = load32(last_word, 0);
    refuse("load across the end of memory", try_call(load64, last_word, 0));
    refuse("store across the end of memory", try_call(store64, last_word, ~before));
    refuse_verdict("the half of that store inside memory", load32(last_word, 0) == before ? "not done" : "done",
                   load32(last_word, 0) == before);
    store32(last_word, before);
}

static void try_misaligned(void) {
    static _Alignas(16) uint8_t bytes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    uint64_t odd = (uint64_t)bytes + 1;
    report("misaligned load, legal", try_call(load64, odd, 0));
    report("misaligned amoadd.d", try_call(amo64, odd, 1));
    report("misaligned lr.d", try_call(load_reserved, odd, 0));
}

void try_memory(void) {
    refuse_access("null", 0);
    refuse_access("below memory", 0x10000);
    refuse_access("the last bytes below memory", machine.ram_base - 8);
    refuse_access("the first bytes above memory", machine.ram_end);
    refuse_access("far above memory", 1UL << 40);
    refuse_access("beyond Sv39x4", SV39X4_LIMIT);
    refuse_access("beyond every address bus", FAR_GPA);
    refuse_access("the last bytes of all", ~7UL);
    refuse("amoadd.d outside memory", try_call(amo64, machine.ram_end, 1));
    refuse("lr.d outside memory", try_call(load_reserved, machine.ram_end, 0));
    try_straddling();
    try_misaligned();
    scan();
}

/* entries of the root table: gigapages, by bits 38:30 of the address */
#define GIGAPAGE_SHIFT 30
#define TARGET_SLOT 8
#define TARGET ((uint64_t)TARGET_SLOT << GIGAPAGE_SHIFT)
#define UNMAPPED (100UL << GIGAPAGE_SHIFT)
#define NOT_CANONICAL (1UL << 40)
#define PTE_RESERVED (1UL << 58)

static _Alignas(4096) pte_t root[PAGE_SIZE / sizeof(pte_t)];

/* our own memory where it is, and one slot for mischief */
static void enable_paging(pte_t target) {
    uint64_t slot = machine.ram_base >> GIGAPAGE_SHIFT;
    root[slot] = pte_of(slot << GIGAPAGE_SHIFT, PTE_R | PTE_W | PTE_X | PTE_A | PTE_D);
    root[TARGET_SLOT] = target;
    csr_write(satp, satp_of(root));
    sfence_vma();
}

static void disable_paging(void) {
    csr_write(satp, 0);
    sfence_vma();
}

static struct outcome access_through(pte_t target, attempt *access, uint64_t address) {
    enable_paging(target);
    struct outcome outcome = try_call(access, address, 0);
    disable_paging();
    return outcome;
}

void try_page_tables(void) {
    const uint64_t leaf = PTE_R | PTE_W | PTE_X | PTE_A | PTE_D;
    const uint64_t behind = (((machine.ram_end - 1) >> GIGAPAGE_SHIFT) + 1) << GIGAPAGE_SHIFT;
    refuse("page mapped behind my memory", access_through(pte_of(behind, leaf), load64, TARGET));
    refuse("page mapped beyond Sv39x4, read", access_through(pte_of(SV39X4_LIMIT, leaf), load64, TARGET));
    refuse("page mapped beyond Sv39x4, write", access_through(pte_of(SV39X4_LIMIT, leaf), store64, TARGET));
    refuse("page mapped beyond Sv39x4, jump", access_through(pte_of(SV39X4_LIMIT, leaf), jump, TARGET));
    refuse("page mapped beyond every bus", access_through(pte_of(FAR_GPA, leaf), load64, TARGET));
    refuse("page table behind my memory", access_through(pte_of(machine.ram_end, 0), load64, TARGET));
    refuse("page table beyond Sv39x4, write", access_through(pte_of(SV39X4_LIMIT, 0), store64, TARGET));
    refuse("page table beyond every bus", access_through(pte_of(FAR_GPA, 0), load64, TARGET));
    if (machine.has_plic)
        refuse("page table in the PLIC", access_through(pte_of(machine.plic.base, 0), load64, TARGET));
    refuse("page table entry with reserved bits", access_through(PTE_RESERVED | pte_of(0, leaf), load64, TARGET));
    refuse("address that is not canonical", access_through(0, load64, NOT_CANONICAL));
}

/* the handler's own first instruction faults, so that the handler is entered again, and again */
void trap_loop(void) {
    enable_paging(0);
    csr_write(stvec, UNMAPPED);
    for (;;)
        __asm__ volatile(".4byte 0" : : : "memory");
}
