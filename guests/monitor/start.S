#include "registers.h"

    # the first instruction, in M-mode: nobody is below us. a0 = hart id, a1 = the machine's device tree
    .section .text.start, "ax", @progbits
    .globl _start
_start:
    csrw mie, zero
    bnez a0, park               # one hart hosts all the guests
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la sp, _stack_top
    mv s1, a1

    # the state-enable CSRs (Smstateen) gate henvcfg, senvcfg and sstateen0 to sstateen3, and guests have what we have; where
    # they do not exist the first write traps behind the last
    la t0, 1f
    csrw mtvec, t0
    li t0, STATEEN_SE | STATEEN_ENVCFG
    .irp n, 0, 1, 2, 3
    csrw mstateen\n, t0
    csrw hstateen\n, t0
    .endr
    .balign 4
1:  la t0, machine_trapped
    csrw mtvec, t0
    call host_guests_machine

    # down to HS-mode, for good
    li t0, MSTATUS_MPP
    csrc mstatus, t0
    li t0, MSTATUS_MPP_S
    csrs mstatus, t0
    la t0, supervisor
    csrw mepc, t0
    mret
supervisor:
    la t0, monitor_trapped
    csrw stvec, t0
    mv a0, s1
    call monitor_main

park:
    wfi
    j park

    # everything is delegated, so M-mode sees only what the monitor did wrong
    .balign 4
machine_trapped:
    csrr a0, mcause
    csrr a1, mepc
    csrr a2, mtval
    j trapped

    # and so does HS-mode, while no guest runs (enter.S has the vector for guests)
    .balign 4
    .globl monitor_trapped
monitor_trapped:
    csrr a0, scause
    csrr a1, sepc
    csrr a2, stval
trapped:
    la sp, _stack_top
    call on_bug
