#include "riscv.h"

#define NO_TRAP -1
#define SAVED_SIZE (8 * 15)

    # struct outcome try_call(function, arg0, arg1): a trap inside function comes back as if it had returned
    .section .text.try_call, "ax", @progbits
    .globl try_call
try_call:
    la t0, saved
    sd ra, 0(t0)
    sd sp, 8(t0)
    sd gp, 16(t0)
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11
    sd s\n, 8*(3+\n)(t0)
    .endr
    la t1, caught
    csrw stvec, t1
    mv t1, a0
    mv a0, a1
    mv a1, a2
    jalr t1
    mv a1, a0
    li a0, NO_TRAP
    j back

    # nothing that function may have left in a register is used
    .balign 4
caught:
    csrr a0, scause
    csrr a1, stval
back:
    la t0, saved
    ld ra, 0(t0)
    ld sp, 8(t0)
    ld gp, 16(t0)
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11
    ld s\n, 8*(3+\n)(t0)
    .endr
    la t1, trap_entry
    csrw stvec, t1
    ret

    .bss
    .balign 8
saved:
    .space SAVED_SIZE
