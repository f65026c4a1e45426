/* the hypervisor: VMs on one hart, and its main loop (twin: hv/hypervisor.py) */
#include "board.h"
#include "exits.h"
#include "fdt.h"
#include "frames.h"
#include "guests.h"
#include "handlers.h"
#include "memory.h"
#include "scheduler.h"
#include "setup.h"
#include "vm.h"

extern char _image_end[];

static struct vm vms[MOST_VMS];
static uint64_t count;

static void stop(struct vm *vm) {
    vm_finish(vm);
    say("%s %s: %s", vm->name, vm->failed ? "failed" : "stopped", vm->reason);
}

static void stop_all(const char *reason) {
    for (uint64_t i = 0; i < count; i++)
        if (!vms[i].stopped) {
            vm_stop(&vms[i], true, "%s", reason);
            stop(&vms[i]);
        }
}

static void create(const struct guest *guest, const void *machine_tree) {
    struct vm *vm = &vms[count++];
    struct image image;
    const char *fault = image_read(&image, guest->elf, guest->size);
    vm->number = count;
    vm->memory_size = VM_MEMORY;
    memcpy(vm->name, guest->name, sizeof vm->name);
    if (fault != 0)
        vm_stop(vm, true, "its image %s", fault);
    else
        vm_power_on(vm, &image, machine_tree);
    if (vm->stopped)
        stop(vm);
}

/* the hot path: an exit costs its handler and little more */
static void run_slice(struct vm *vm) {
    struct vcpu *vcpu = &vm->vcpu;
    while (!vm->stopped && !vcpu->gives_way) {
        vcpu_run(vcpu);
        exits_charge(vm);
        exits_note(vm);
        handle_exit(vm);
    }
}

/* all wait: sleep until the first deadline. false: there is none, and nobody ever wakes */
static bool idle(void) {
    uint64_t deadline = ~0UL;
    for (uint64_t i = 0; i < count; i++)
        if (!vms[i].stopped && vms[i].vcpu.has_deadline && vms[i].vcpu.deadline < deadline)
            deadline = vms[i].vcpu.deadline;
    if (deadline == ~0UL)
        return false;
    csr_write(stimecmp, deadline);
    wfi();
    return true;
}

/* puts the VM that the scheduler picks on the hart; 0 when every VM has stopped */
static struct vm *begin_slice(void) {
    for (;;) {
        bool ready[MOST_VMS], alive = false, any = false;
        for (uint64_t i = 0; i < count; i++) {
            alive = alive || !vms[i].stopped;
            any = (ready[i] = !vms[i].stopped && vcpu_awake(&vms[i].vcpu)) || any;
        }
        if (!alive)
            return 0;
        if (any) {
            struct vm *vm = &vms[scheduler_pick(ready, count)];
            vcpu_enter(&vm->vcpu);
            csr_write(stimecmp, rdtime() + SLICE_TICKS);
            return vm;
        }
        if (!idle())
            stop_all("asleep with no deadline and nothing that could wake it");
    }
}

/* a whole slice without an instruction: only traps that the guest handles itself, over and over. only a hart that
   counts them exactly tells */
static bool trap_loop(const struct vm *vm, uint64_t instructions_before) {
    return vm->vcpu.scause == (INTERRUPT | IRQ_S_TIMER) && vm->instructions == instructions_before;
}

static void run(void) {
    for (struct vm *vm; (vm = begin_slice()) != 0;) {
        uint64_t before = vm->instructions;
        run_slice(vm);
        vcpu_leave(&vm->vcpu);
        if (trap_loop(vm, before))
            vm_stop(vm, true, "trap loop at pc %x, cause %x (%s)", vm->vcpu.sepc, vm->vcpu.vscause,
                    cause_text(vm->vcpu.vscause));
        if (vm->stopped)
            stop(vm);
    }
}

/* a trap in M-mode or in HS-mode with no guest running */
_Noreturn void on_bug(uint64_t cause, uint64_t pc, uint64_t tval) {
    say("a mistake of its own: cause %x at pc %x, tval %x", cause, pc, tval);
    write32(FINISHER, FINISHER_FAIL);
    for (;;)
        wfi();
}

/* from start.S: in HS-mode, with `tree` the machine's device tree */
_Noreturn void monitor_main(const void *tree) {
    struct guest guests[MOST_VMS];
    uint64_t ram, size, limit = (uint64_t)tree, initrd = guests_initrd(tree);
    bool failed = false;
    host_guests();
    if (fdt_memory(tree, &ram, &size) && (limit < (uint64_t)_image_end || limit > ram + size))
        limit = ram + size;
    /* what lies behind the tree or the initrd is left alone */
    frames_init((uint64_t)_image_end, initrd != 0 && initrd < limit ? initrd : limit);
    uint64_t found = guests_find(tree, guests, MOST_VMS);
    for (uint64_t i = 0; i < found; i++)
        if (strlen(guests[i].name) > console_name_width)
            console_name_width = strlen(guests[i].name);
    for (uint64_t i = 0; i < found; i++)
        create(&guests[i], tree);
    run();
    exits_report(vms, count);
    for (uint64_t i = 0; i < count; i++)
        failed = failed || vms[i].failed;
    write32(FINISHER, failed || count == 0 ? FINISHER_FAIL : FINISHER_PASS);
    for (;;)
        wfi();
}
