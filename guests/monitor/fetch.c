#include "fetch.h"

#include "registers.h"

/* hlvx.hu: a load through both stages that needs X instead of R, with the privilege in hstatus.SPVP. it may fault,
   which is a trap into our own mode: stvec leads behind it meanwhile. what the trap overwrites was saved at the exit */
static uint32_t half(uint64_t gva) {
    uint64_t value, vector;
    __asm__ volatile("la %1, 1f\n"
                     "csrrw %1, stvec, %1\n"
                     "li %0, 0\n"
                     ".insn r 0x73, 4, 0x32, %0, %2, x3\n"
                     ".balign 4\n"
                     "1: csrw stvec, %1"
                     : "=&r"(value), "=&r"(vector)
                     : "r"(gva)
                     : "memory");
    return (uint32_t)value;
}

uint32_t fetch_instruction(uint64_t gva) {
    uint32_t low = half(gva);
    if ((low & 3) != 3)
        return low;
    uint32_t high = half(gva + 2);
    return high != 0 ? high << 16 | low : 0;
}
