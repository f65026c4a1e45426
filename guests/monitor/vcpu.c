#include "vcpu.h"

#include "gstage.h"

#define LAST_DEADLINE ((1UL << 62) / 100) /* ticks: one behind it, 146 years away, never comes */

void vcpu_save_floats(struct vcpu *vcpu);
void vcpu_load_floats(struct vcpu *vcpu);

void vcpu_setup(struct vcpu *vcpu, uint64_t hgatp, uint64_t entry, uint64_t device_tree) {
    *vcpu = (struct vcpu){
        .sepc = entry,
        /* sret: to VS-mode. floating point is on as far as it is ours to say; the guest's own switch is vsstatus.FS */
        .sstatus = csr_read(sstatus) | SSTATUS_SPP | SSTATUS_FS_INITIAL,
        .hstatus = csr_read(hstatus) | HSTATUS_SPV | HSTATUS_SPVP,
        .vsstatus = VSSTATUS_UXL_64,
        .vstimecmp = ~0UL, /* no timer interrupt before the guest asks for one */
        .hgatp = hgatp,
    };
    vcpu->x[A1] = device_tree; /* and a0, the hart id, is 0 */
}

/* vsip.SSIP is the guest's own and lives in hvip too: only VSEIP is ours */
static void drive_external(const struct vcpu *vcpu) {
    if (vcpu->external)
        csr_set(hvip, VSEIP);
    else
        csr_clear(hvip, VSEIP);
}

void vcpu_enter(struct vcpu *vcpu) {
    csr_write(hgatp, vcpu->hgatp);
    if (!gstage_has_vmids())
        gstage_fence(); /* the TLB cannot tell one guest's entries from another's */
    csr_write(vsstatus, vcpu->vsstatus);
    csr_write(vsie, vcpu->vsie);
    csr_write(vstvec, vcpu->vstvec);
    csr_write(vsscratch, vcpu->vsscratch);
    csr_write(vsepc, vcpu->vsepc);
    csr_write(vscause, vcpu->vscause);
    csr_write(vstval, vcpu->vstval);
    csr_write(vsatp, vcpu->vsatp);
    csr_write(vstimecmp, vcpu->vstimecmp);
    csr_write(hvip, vcpu->hvip);
    csr_write(scounteren, vcpu->scounteren);
    csr_write(senvcfg, vcpu->senvcfg);
    csr_set(sstatus, SSTATUS_FS);
    if (csr_read(sstatus) & SSTATUS_FS) { /* else the hart has no floating point */
        vcpu_load_floats(vcpu);
        vcpu->sstatus = (vcpu->sstatus & ~SSTATUS_FS) | SSTATUS_FS_CLEAN;
    }
    vcpu->gives_way = false;
    drive_external(vcpu);
}

void vcpu_leave(struct vcpu *vcpu) {
    vcpu->vsstatus = csr_read(vsstatus);
    vcpu->vsie = csr_read(vsie);
    vcpu->vstvec = csr_read(vstvec);
    vcpu->vsscratch = csr_read(vsscratch);
    vcpu->vsepc = csr_read(vsepc);
    vcpu->vscause = csr_read(vscause);
    vcpu->vstval = csr_read(vstval);
    vcpu->vsatp = csr_read(vsatp);
    vcpu->vstimecmp = csr_read(vstimecmp);
    vcpu->hvip = csr_read(hvip);
    vcpu->scounteren = csr_read(scounteren);
    vcpu->senvcfg = csr_read(senvcfg);
    if ((vcpu->sstatus & SSTATUS_FS) == SSTATUS_FS) { /* dirty: changed since vcpu_enter */
        csr_set(sstatus, SSTATUS_FS);
        vcpu_save_floats(vcpu);
    }
}

void vcpu_step_over(struct vcpu *vcpu, uint64_t length) { vcpu->sepc += length; }

void vcpu_set_external(struct vcpu *vcpu, bool level) {
    vcpu->external = level;
    drive_external(vcpu);
}

void vcpu_wait(struct vcpu *vcpu) {
    uint64_t enabled = csr_read(vsie);
    if (csr_read(vsip) & enabled)
        return;
    vcpu->gives_way = vcpu->asleep = true;
    vcpu->wakes_on_external = enabled & SIE_SEIE;
    vcpu->deadline = csr_read(vstimecmp);
    vcpu->has_deadline = enabled & SIE_STIE && vcpu->deadline <= LAST_DEADLINE;
}

bool vcpu_awake(struct vcpu *vcpu) {
    if (vcpu->asleep) {
        bool due = vcpu->has_deadline && vcpu->deadline <= rdtime();
        vcpu->asleep = !(due || (vcpu->wakes_on_external && vcpu->external));
    }
    return !vcpu->asleep;
}

extern const char vcpu_enter_first[], vcpu_enter_last[], vcpu_exit_first[], vcpu_exit_counted[];

uint64_t vcpu_switch_cost(void) {
    uint64_t entering = (uint64_t)(vcpu_enter_last - vcpu_enter_first) / 4 + 1; /* with its sret */
    return entering + (uint64_t)(vcpu_exit_counted - vcpu_exit_first) / 4;
}

uint64_t vcpu_retired(const struct vcpu *vcpu) { return vcpu->exited - vcpu->entered - vcpu_switch_cost(); }
