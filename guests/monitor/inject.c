#include "inject.h"

void inject_exception(struct vcpu *vcpu, uint64_t cause, uint64_t tval) {
    uint64_t before = csr_read(vsstatus), vsstatus = before & ~(uint64_t)(SSTATUS_SPP | SSTATUS_SPIE | SSTATUS_SIE);
    if (vcpu->hstatus & HSTATUS_SPVP)
        vsstatus |= SSTATUS_SPP;
    if (before & SSTATUS_SIE)
        vsstatus |= SSTATUS_SPIE;
    csr_write(vsepc, vcpu->sepc);
    csr_write(vscause, cause);
    csr_write(vstval, tval);
    csr_write(vsstatus, vsstatus);
    vcpu->sepc = csr_read(vstvec) & ~3UL;
    vcpu->sstatus |= SSTATUS_SPP; /* the handler runs in VS-mode, whoever trapped */
}

void inject_illegal_instruction(struct vcpu *vcpu) { inject_exception(vcpu, ILLEGAL, vcpu->stval); }
