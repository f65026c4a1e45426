#include "handlers.h"

#include "fetch.h"
#include "inject.h"
#include "mmio.h"
#include "ram.h"
#include "sbi.h"
#include "vm.h"

static void ecall(struct vm *vm) {
    sbi_call(vm);
    vcpu_step_over(&vm->vcpu, 4);
}

/* RAM: give the page a frame and retry. elsewhere: a device, or an access fault for the guest */
static void guest_page_fault(struct vm *vm) {
    uint64_t gpa = mmio_faulting_gpa(vm), scause = vm->vcpu.scause;
    if (!ram_covers(vm, gpa, 1)) {
        mmio_emulate(vm, gpa);
        return;
    }
    if (gstage_frame(&vm->gstage, gpa) != 0) {
        /* ours never do this; a lab's may */
        enum access access = scause == FETCH_GUEST_PAGE ? EXECUTE : scause == STORE_GUEST_PAGE ? WRITE : READ;
        const char *refusal = gstage_refusal(&vm->gstage, gpa, access);
        vm_stop(vm, true, "guest-page fault at gpa %x although its page is mapped: %s", gpa,
                refusal != 0 ? refusal : "the tables allow it");
        return;
    }
    if (gstage_map(&vm->gstage, gpa) == 0)
        vm_stop(vm, true, "out of host frames: all of the machine's memory is in use");
}

/* WFI of a guest's kernel waits; the rest, and a WFI in VU-mode, is illegal in a guest */
static void virtual_instruction(struct vm *vm) {
    struct vcpu *vcpu = &vm->vcpu;
    if (vcpu->stval == 0) /* a hart need not tell */
        vcpu->stval = fetch_instruction(vcpu->sepc);
    if (vcpu->stval == WFI && vcpu->hstatus & HSTATUS_SPVP) {
        vcpu_step_over(vcpu, 4);
        vcpu_wait(vcpu);
    } else {
        inject_illegal_instruction(vcpu);
    }
}

static void unexpected(struct vm *vm) {
    vm_stop(vm, true, "a trap the hypervisor does not expect: %s at pc %x, stval %x", cause_text(vm->vcpu.scause),
            vm->vcpu.sepc, vm->vcpu.stval);
}

typedef void handler(struct vm *vm);

static handler *const handlers[CAUSES] = {
    [ECALL_VS] = ecall,
    [FETCH_GUEST_PAGE] = guest_page_fault,
    [LOAD_GUEST_PAGE] = guest_page_fault,
    [STORE_GUEST_PAGE] = guest_page_fault,
    [VIRTUAL_INSTRUCTION] = virtual_instruction,
};

void handle_exit(struct vm *vm) {
    uint64_t scause = vm->vcpu.scause;
    if (scause == (INTERRUPT | IRQ_S_TIMER))
        vm->vcpu.gives_way = true; /* the slice is used up: in Python that is the budget of Hart.run */
    else if (scause < CAUSES && handlers[scause] != 0)
        handlers[scause](vm);
    else
        unexpected(vm);
}
