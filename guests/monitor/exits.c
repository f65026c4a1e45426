#include "exits.h"

#include "memory.h"
#include "vm.h"

static const char *const texts[EXIT_KINDS] = {
    [ILLEGAL] = "illegal instruction",
    [ECALL_VS] = "environment call from VS-mode",
    [FETCH_GUEST_PAGE] = "instruction guest-page fault",
    [LOAD_GUEST_PAGE] = "load guest-page fault",
    [VIRTUAL_INSTRUCTION] = "virtual instruction",
    [STORE_GUEST_PAGE] = "store/AMO guest-page fault",
    [CAUSES] = "supervisor timer interrupt",
};

/* instructions of ours, and exits that they were counted for, by kind */
static struct {
    uint64_t instructions, exits;
} costs[EXIT_KINDS];

static uint64_t last_kind = EXIT_KINDS, last_exited; /* EXIT_KINDS: no exit waits to be charged */

static uint64_t kind_of(uint64_t scause) {
    if (scause == (INTERRUPT | IRQ_S_TIMER))
        return CAUSES;
    return scause < CAUSES ? scause : 0;
}

static const char *kind_text(uint64_t kind) { return texts[kind] != 0 ? texts[kind] : "another cause"; }

const char *cause_text(uint64_t scause) { return kind_text(kind_of(scause)); }

void exits_note(struct vm *vm) {
    last_kind = kind_of(vm->vcpu.scause);
    last_exited = vm->vcpu.exited;
    vm->exits[last_kind]++;
    vm->instructions += vcpu_retired(&vm->vcpu);
}

void exits_charge(const struct vm *vm) {
    if (last_kind == EXIT_KINDS)
        return;
    costs[last_kind].instructions += vm->vcpu.entered - last_exited + vcpu_switch_cost();
    costs[last_kind].exits++;
    last_kind = EXIT_KINDS;
}

void exits_report(const struct vm *vms, uint64_t count) {
    char line[256];
    for (uint64_t i = 0; i < count; i++)
        say("%s: %n instructions", vms[i].name, vms[i].instructions);
    for (uint64_t kind = 0; kind < EXIT_KINDS; kind++) {
        line[0] = '\0';
        for (uint64_t i = 0; i < count; i++)
            if (vms[i].exits[kind] != 0)
                append_text(line, sizeof line, "%s%n of %s", line[0] != '\0' ? ", " : "", vms[i].exits[kind], vms[i].name);
        if (line[0] == '\0')
            continue;
        if (costs[kind].exits != 0)
            append_text(line, sizeof line, "; %n instructions each", costs[kind].instructions / costs[kind].exits);
        say("%s: %s", kind_text(kind), line);
    }
}
