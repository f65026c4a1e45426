#include "riscv.h"
#include "trap.h"

    # sscratch: 0 in the kernel; in U-mode the frame of the running task
    .section .text.trap, "ax", @progbits
    .globl trap_entry
    .balign 4
trap_entry:
    csrrw sp, sscratch, sp
    bnez sp, save
    # from the kernel: push a frame on its own stack
    csrr sp, sscratch
    addi sp, sp, -FRAME_SIZE

save:
    sd x1, 8*1(sp)
    .irp n, 3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    sd x\n, 8*\n(sp)
    .endr
    csrrw t0, sscratch, zero
    sd t0, 8*2(sp)
    csrr t0, sepc
    sd t0, FRAME_SEPC(sp)
    csrr t1, sstatus
    sd t1, FRAME_SSTATUS(sp)

    # a trap from U-mode finds the kernel's stack empty, and gp in the hands of the task
    mv a0, sp
    andi t1, t1, SSTATUS_SPP
    bnez t1, 1f
    la sp, _stack_top
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
1:  call on_trap

    .globl trap_resume
trap_resume:
    mv sp, a0
    ld t0, FRAME_SEPC(sp)
    csrw sepc, t0
    ld t1, FRAME_SSTATUS(sp)
    csrw sstatus, t1
    andi t1, t1, SSTATUS_SPP
    bnez t1, 2f
    csrw sscratch, sp
2:  ld x1, 8*1(sp)
    .irp n, 3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    ld x\n, 8*\n(sp)
    .endr
    # last, as it is the base of all the others
    ld sp, 8*2(sp)
    sret
