    # nobody is below us: every hart starts here in M-mode, with its number in a0
    .section .text.start, "ax", @progbits
    .globl _start
_start:
    csrw mie, zero
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la t0, trap_entry
    csrw mtvec, t0

    # a stack of 4 KiB for each hart that we have work for
    csrr s0, mhartid
    li t0, 2
    bgeu s0, t0, park
    la sp, _stacks
    addi t0, s0, 1
    slli t0, t0, 12
    add sp, sp, t0

    # .bss is zero: QEMU and rvhv load it so, and hart 1 must not find it cleared late
    mv a0, s0
    call hart_main
park:
    csrw mie, zero
1:  wfi
    j 1b

    .balign 4
trap_entry:
    addi sp, sp, -128
    .set slot, 0
    .irp n, 1,5,6,7,10,11,12,13,14,15,16,17,28,29,30,31
    sd x\n, slot(sp)
    .set slot, slot + 8
    .endr
    csrr a0, mcause
    csrr a1, mepc
    call on_trap
    .set slot, 0
    .irp n, 1,5,6,7,10,11,12,13,14,15,16,17,28,29,30,31
    ld x\n, slot(sp)
    .set slot, slot + 8
    .endr
    addi sp, sp, 128
    mret
