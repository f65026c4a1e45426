/* the machine below us: QEMU's virt, as far as the monitor uses it (twin: machine/virt_board.py) */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#define FINISHER 0x100000UL
#define FINISHER_FAIL (1 << 16 | 0x3333) /* with exit code 1 */
#define FINISHER_PASS 0x5555

#define UART 0x10000000UL
enum { THR = 0, LSR = 5 };
#define LSR_THR_EMPTY 0x20

static inline uint8_t read8(uint64_t at) { return *(volatile uint8_t *)at; }
static inline void write8(uint64_t at, uint8_t value) { *(volatile uint8_t *)at = value; }
static inline void write32(uint64_t at, uint32_t value) { *(volatile uint32_t *)at = value; }

#endif
