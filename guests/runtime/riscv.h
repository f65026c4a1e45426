/* names of the RISC-V privileged architecture, for C and assembly */
#ifndef RISCV_H
#define RISCV_H

#define SSTATUS_SIE (1 << 1)
#define SSTATUS_SPIE (1 << 5)
#define SSTATUS_SPP (1 << 8)
#define SSTATUS_SUM (1 << 18)

/* bits of sie and sip, and codes of scause with the interrupt bit set */
#define IRQ_S_TIMER 5
#define IRQ_S_EXT 9
#define SIE_STIE (1 << IRQ_S_TIMER)
#define SIE_SEIE (1 << IRQ_S_EXT)

#ifdef __ASSEMBLER__
#define SCAUSE_INTERRUPT (1 << 63)
#else
#define SCAUSE_INTERRUPT (1UL << 63)
#endif

#define CAUSE_ECALL_U 8

/* page-table entries and satp, Sv39 */
#define PTE_V (1UL << 0)
#define PTE_R (1UL << 1)
#define PTE_W (1UL << 2)
#define PTE_X (1UL << 3)
#define PTE_U (1UL << 4)
#define PTE_G (1UL << 5)
#define PTE_A (1UL << 6)
#define PTE_D (1UL << 7)
#define PTE_PPN_SHIFT 10
#define SATP_MODE_SV39 (8UL << 60)
#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define SV39_LEVELS 3
#define SV39_INDEX_BITS 9

/* CSRs a guest has no business with */
#define CSR_VSSTATUS 0x200
#define CSR_VSATP 0x280
#define CSR_MSTATUS 0x300
#define CSR_MEDELEG 0x302
#define CSR_MTVEC 0x305
#define CSR_PMPADDR0 0x3b0
#define CSR_HSTATUS 0x600
#define CSR_HIDELEG 0x603
#define CSR_HVIP 0x645
#define CSR_HGATP 0x680
#define CSR_DCSR 0x7b0
#define CSR_CYCLE 0xc00
#define CSR_MHARTID 0xf14

/* bits 9:8 of a CSR's number are the lowest privilege that may use it */
#define CSR_COUNT 4096
#define CSR_PRIVILEGE(number) (((number) >> 8) & 3)
#define CSR_PRIVILEGE_HS 2

#ifndef __ASSEMBLER__
#include <stdint.h>

#define csr_read(csr)                                                                                                  \
    ({                                                                                                                 \
        uint64_t value_;                                                                                               \
        __asm__ volatile("csrr %0, " #csr : "=r"(value_) : : "memory");                                                \
        value_;                                                                                                        \
    })
#define csr_write(csr, value) __asm__ volatile("csrw " #csr ", %0" : : "rK"(value) : "memory")
#define csr_set(csr, bits) __asm__ volatile("csrs " #csr ", %0" : : "rK"(bits) : "memory")
#define csr_clear(csr, bits) __asm__ volatile("csrc " #csr ", %0" : : "rK"(bits) : "memory")

static inline void fence(void) { __asm__ volatile("fence iorw, iorw" : : : "memory"); }
static inline void fence_i(void) { __asm__ volatile("fence.i" : : : "memory"); }
static inline void sfence_vma(void) { __asm__ volatile("sfence.vma" : : : "memory"); }
static inline void wfi(void) { __asm__ volatile("wfi" : : : "memory"); }
static inline uint64_t rdtime(void) {
    uint64_t time;
    __asm__ volatile("rdtime %0" : "=r"(time));
    return time;
}

static inline uint32_t mmio_read32(uint64_t gpa) { return *(volatile uint32_t *)gpa; }
static inline void mmio_write32(uint64_t gpa, uint32_t value) { *(volatile uint32_t *)gpa = value; }
#endif

#endif
