#include "registers.h"

    # void vcpu_run(struct vcpu *): sret into the guest, and return when it traps to us. what `Hart.run` does for rvhv/hv.
    # sscratch holds the vcpu meanwhile (a guest's sscratch is vsscratch); no instruction is compressed, so that
    # the addresses of the labels tell how many there are
    .option norvc
    .text
    .balign 4
    .globl vcpu_run
    .globl vcpu_enter_first, vcpu_enter_last, vcpu_exit_first, vcpu_exit_counted
vcpu_run:
    addi sp, sp, -112
    sd ra, 0(sp)
    .set slot, 8
    .irp n, 8,9,18,19,20,21,22,23,24,25,26,27
    sd x\n, slot(sp)
    .set slot, slot + 8
    .endr
vcpu_enter_first:
    csrr t0, instret
    sd t0, VCPU_ENTERED(a0)
    sd sp, VCPU_MONITOR_SP(a0)
    csrw sscratch, a0
    la t0, vcpu_exit_first
    csrw stvec, t0
    ld t0, VCPU_SEPC(a0)
    csrw sepc, t0
    ld t0, VCPU_SSTATUS(a0)
    csrw sstatus, t0
    ld t0, VCPU_HSTATUS(a0)
    csrw hstatus, t0
    .irp n, 1,2,3,4,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    ld x\n, VCPU_X+8*\n(a0)
    .endr
    ld a0, VCPU_X+8*10(a0)      # last, as it is the base of all the others
vcpu_enter_last:
    sret

    # a trap from VS- or VU-mode
    .balign 4
vcpu_exit_first:
    csrrw a0, sscratch, a0
    sd t0, VCPU_X+8*5(a0)
vcpu_exit_counted:
    csrr t0, instret
    sd t0, VCPU_EXITED(a0)
    .irp n, 1,2,3,4,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    sd x\n, VCPU_X+8*\n(a0)
    .endr
    csrr t0, sscratch
    sd t0, VCPU_X+8*10(a0)
    csrr t0, sepc
    sd t0, VCPU_SEPC(a0)
    csrr t0, sstatus
    sd t0, VCPU_SSTATUS(a0)
    csrr t0, hstatus
    sd t0, VCPU_HSTATUS(a0)
    csrr t0, scause
    sd t0, VCPU_SCAUSE(a0)
    csrr t0, stval
    sd t0, VCPU_STVAL(a0)
    csrr t0, htval
    sd t0, VCPU_HTVAL(a0)
    csrr t0, htinst
    sd t0, VCPU_HTINST(a0)

    # back to C: from here on a trap is a mistake of ours
    la t0, monitor_trapped
    csrw stvec, t0
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    ld sp, VCPU_MONITOR_SP(a0)
    ld ra, 0(sp)
    .set slot, 8
    .irp n, 8,9,18,19,20,21,22,23,24,25,26,27
    ld x\n, slot(sp)
    .set slot, slot + 8
    .endr
    addi sp, sp, 112
    ret

    # the floating-point registers of a guest: part of the world switch, and only where the hart has them
    .option arch, +d
    .globl vcpu_save_floats, vcpu_load_floats
vcpu_save_floats:
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    fsd f\n, VCPU_F+8*\n(a0)
    .endr
    csrr t0, fcsr
    sd t0, VCPU_FCSR(a0)
    ret
vcpu_load_floats:
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    fld f\n, VCPU_F+8*\n(a0)
    .endr
    ld t0, VCPU_FCSR(a0)
    csrw fcsr, t0
    ret
