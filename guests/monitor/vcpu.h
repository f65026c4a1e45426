/* a VCPU: one guest hart (twin: hv/vcpu.py) */
#ifndef VCPU_H
#define VCPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "registers.h"

struct vcpu {
    /* what goes in and comes out with every entry and exit: enter.S knows the offsets (registers.h) */
    uint64_t x[32];
    uint64_t sepc, sstatus, hstatus;       /* where and in which mode the guest goes on */
    uint64_t scause, stval, htval, htinst; /* what its last exit was */
    uint64_t entered, exited;              /* instret when enter.S began to enter, and right after the trap */
    uint64_t monitor_sp;
    /* what goes in and comes out with a world switch */
    uint64_t f[32], fcsr;
    uint64_t hgatp, vsstatus, vsie, vstvec, vsscratch, vsepc, vscause, vstval, vsatp, vstimecmp, hvip;
    uint64_t scounteren, senvcfg; /* of S-mode, and a guest's own all the same: they have no copy for VS-mode */
    bool external;                /* the line from the PLIC */
    bool gives_way;               /* it leaves the hart before its slice is used up */
    bool asleep;
    bool has_deadline, wakes_on_external;
    uint64_t deadline; /* ticks at which vstimecmp ends its last WFI */
};

_Static_assert(offsetof(struct vcpu, sepc) == VCPU_SEPC && offsetof(struct vcpu, htinst) == VCPU_HTINST &&
                   offsetof(struct vcpu, monitor_sp) == VCPU_MONITOR_SP && offsetof(struct vcpu, fcsr) == VCPU_FCSR,
               "enter.S relies on this");

enum { RA = 1, SP = 2, A0 = 10, A1 = 11, A2 = 12, A6 = 16, A7 = 17 };

/* starts in VS-mode at `entry`, with the device tree's gpa in a1 */
void vcpu_setup(struct vcpu *vcpu, uint64_t hgatp, uint64_t entry, uint64_t device_tree);

/* enter.S: run the guest that is on the hart until it traps to us */
void vcpu_run(struct vcpu *vcpu);

/* the world switch: put this VCPU on the hart, and take it off */
void vcpu_enter(struct vcpu *vcpu);
void vcpu_leave(struct vcpu *vcpu);

/* the instruction at sepc was emulated: go on behind it */
void vcpu_step_over(struct vcpu *vcpu, uint64_t length);

/* the PLIC's line for its S-mode changed, while it is on the hart */
void vcpu_set_external(struct vcpu *vcpu, bool level);

/* WFI: give way until an enabled interrupt is pending, whatever vsstatus.SIE says; not if one is already */
void vcpu_wait(struct vcpu *vcpu);

/* whether it can run now; ends its sleep if so */
bool vcpu_awake(struct vcpu *vcpu);

/* instructions the guest retired between its last entry and its last exit, and those that enter.S always takes */
uint64_t vcpu_retired(const struct vcpu *vcpu);
uint64_t vcpu_switch_cost(void);

#endif
