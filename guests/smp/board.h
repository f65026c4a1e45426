/* the board: QEMU's virt, as far as smp uses it */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#define FINISHER 0x100000UL
#define FINISHER_FAIL 0x3333
#define FINISHER_PASS 0x5555

#define CLINT_MSIP(hart) (0x2000000UL + 4 * (hart))
#define CLINT_MTIMECMP(hart) (0x2004000UL + 8 * (hart))
#define CLINT_MTIME 0x200bff8UL

#define UART 0x10000000UL
#define UART_SOURCE 10
enum { THR = 0, IER = 1, IIR = 2, LSR = 5 };
#define IER_THR_EMPTY 2
#define LSR_THR_EMPTY 0x20

/* the PLIC's context of a hart's M-mode */
#define PLIC 0xc000000UL
#define PLIC_PRIORITY(source) (PLIC + 4 * (source))
#define PLIC_ENABLE(hart) (PLIC + 0x2000 + 0x100 * (hart))
#define PLIC_THRESHOLD(hart) (PLIC + 0x200000 + 0x2000 * (hart))
#define PLIC_CLAIM(hart) (PLIC + 0x200004 + 0x2000 * (hart))

#define MSTATUS_MIE (1 << 3)
#define MCAUSE_INTERRUPT (1UL << 63)
#define IRQ_M_SOFT 3
#define IRQ_M_TIMER 7
#define IRQ_M_EXT 11

static inline uint8_t read8(uint64_t at) { return *(volatile uint8_t *)at; }
static inline void write8(uint64_t at, uint8_t value) { *(volatile uint8_t *)at = value; }
static inline uint32_t read32(uint64_t at) { return *(volatile uint32_t *)at; }
static inline void write32(uint64_t at, uint32_t value) { *(volatile uint32_t *)at = value; }
static inline uint64_t read64(uint64_t at) { return *(volatile uint64_t *)at; }
static inline void write64(uint64_t at, uint64_t value) { *(volatile uint64_t *)at = value; }

#endif
