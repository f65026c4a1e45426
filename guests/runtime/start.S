#include "riscv.h"

    # the hypervisor (or firmware) starts us in S-mode: a0 = hart id, a1 = the device tree, satp = 0
    .section .text.start, "ax", @progbits
    .globl _start
_start:
    csrw sie, zero
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la sp, _stack_top

    # sscratch = 0 tells trap_entry that it interrupted the kernel
    csrw sscratch, zero
    la t0, trap_entry
    csrw stvec, t0

    la t0, _bss_start
    la t1, _stack_bottom
1:  bgeu t0, t1, 2f
    sd zero, 0(t0)
    addi t0, t0, 8
    j 1b

2:  call guest_main
    snez a0, a0
    tail sbi_power_off
