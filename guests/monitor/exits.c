#include "exits.h"

#include "memory.h"
#include "vm.h"

#define OTHER 9 /* an environment call from HS-mode, which a guest cannot make: the place of what nobody expects */

static const char *const texts[EXIT_KINDS] = {
    [FETCH_MISALIGNED] = "instruction address misaligned",
    [FETCH_ACCESS] = "instruction access fault",
    [ILLEGAL] = "illegal instruction",
    [BREAKPOINT] = "breakpoint",
    [LOAD_MISALIGNED] = "load address misaligned",
    [LOAD_ACCESS] = "load access fault",
    [STORE_MISALIGNED] = "store/AMO address misaligned",
    [STORE_ACCESS] = "store/AMO access fault",
    [ECALL_U] = "environment call from U-mode or VU-mode",
    [ECALL_VS] = "environment call from VS-mode",
    [FETCH_PAGE] = "instruction page fault",
    [LOAD_PAGE] = "load page fault",
    [STORE_PAGE] = "store/AMO page fault",
    [FETCH_GUEST_PAGE] = "instruction guest-page fault",
    [LOAD_GUEST_PAGE] = "load guest-page fault",
    [VIRTUAL_INSTRUCTION] = "virtual instruction",
    [STORE_GUEST_PAGE] = "store/AMO guest-page fault",
    [CAUSES] = "supervisor timer interrupt",
};

/* exits that were handled, and the instructions of ours that took, by kind */
static struct {
    uint64_t handled, instructions, least, most;
} costs[EXIT_KINDS];

/* the last exit, which waits to be charged */
static struct {
    const struct vm *vm; /* 0: there was none yet */
    uint64_t kind, exited;
} last;

static uint64_t kind_of(uint64_t scause) {
    if (scause == (INTERRUPT | IRQ_S_TIMER))
        return CAUSES;
    return scause < CAUSES ? scause : OTHER;
}

static const char *kind_text(uint64_t kind) { return texts[kind] != 0 ? texts[kind] : "another cause"; }

const char *cause_text(uint64_t scause) { return kind_text(kind_of(scause)); }

void exits_note(struct vm *vm) {
    last.vm = vm;
    last.kind = kind_of(vm->vcpu.scause);
    last.exited = vm->vcpu.exited;
    vm->exits[last.kind]++;
    vm->instructions += vcpu_retired(&vm->vcpu);
}

void exits_charge(const struct vm *vm) {
    if (last.vm == 0 || last.vm->stopped) /* one that ended its VM is no measure */
        return;
    uint64_t cost = vm->vcpu.entered - last.exited + vcpu_switch_cost();
    if (costs[last.kind].handled++ == 0 || cost < costs[last.kind].least)
        costs[last.kind].least = cost;
    if (cost > costs[last.kind].most)
        costs[last.kind].most = cost;
    costs[last.kind].instructions += cost;
}

void exits_report(const struct vm *vms, uint64_t count) {
    char line[256];
    for (uint64_t i = 0; i < count; i++)
        say("%s: %n instructions", vms[i].name, vms[i].instructions);
    for (uint64_t kind = 0; kind < EXIT_KINDS; kind++) {
        line[0] = '\0';
        for (uint64_t i = 0; i < count; i++)
            if (vms[i].exits[kind] != 0)
                append_text(line, sizeof line, "%s%n of %s", line[0] != '\0' ? ", " : "", vms[i].exits[kind],
                            vms[i].name);
        if (line[0] == '\0')
            continue;
        if (costs[kind].handled != 0)
            append_text(line, sizeof line, "; %n to %n instructions, %n on average", costs[kind].least,
                        costs[kind].most, costs[kind].instructions / costs[kind].handled);
        say("%s: %s", kind_text(kind), line);
    }
}
