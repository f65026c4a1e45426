/* rogue: a guest that tries to break out of its VM, and says what each attempt got it */
#include "console.h"
#include "fdt.h"
#include "guest.h"
#include "riscv.h"
#include "rogue.h"
#include "trap.h"

struct machine machine;

/* what it leaves behind wherever it may write */
#define FINGERPRINT 0xdeadbeefdeadbeef

static uint64_t refused, not_refused;

void note(const char *what, const char *verdict) { printf("%s: %s\n", what, verdict); }

void refuse_verdict(const char *what, const char *verdict, bool was_refused) {
    was_refused ? refused++ : not_refused++;
    printf("%s: %s%s\n", what, verdict, was_refused ? "" : "  <- NOT REFUSED");
}

void report(const char *what, struct outcome outcome) {
    if (outcome.scause == NO_TRAP)
        printf("%s: got %#lx\n", what, outcome.value);
    else
        note(what, cause_name(outcome.scause));
}

void refuse(const char *what, struct outcome outcome) {
    refuse_verdict(what, outcome.scause == NO_TRAP ? "no trap" : cause_name(outcome.scause), outcome.scause != NO_TRAP);
}

void refuse_access(const char *what, uint64_t address) {
    struct outcome loaded = try_call(load64, address, 0), stored = try_call(store64, address, FINGERPRINT);
    bool both = loaded.scause != NO_TRAP && stored.scause != NO_TRAP;
    both ? refused++ : not_refused++;
    printf("%#018lx, %s: %s, %s", address, what, loaded.scause == NO_TRAP ? "could be read" : cause_name(loaded.scause),
           stored.scause == NO_TRAP ? "could be written" : cause_name(stored.scause));
    /* the fault should name the address that was touched */
    if (both && (loaded.value != address || stored.value != address))
        printf(" (stval %#lx, %#lx)", loaded.value, stored.value);
    printf("%s\n", both ? "" : "  <- NOT REFUSED");
}

int guest_main(uint64_t hartid, const void *fdt) {
    uint64_t size;
    (void)hartid;
    if (!fdt_memory(fdt, &machine.ram_base, &size)) {
        printf("no memory in the device tree\n");
        return 1;
    }
    machine.fdt = fdt;
    machine.ram_end = machine.ram_base + size;
    machine.has_plic = plic_find(fdt, &machine.plic);
    machine.has_console = virtio_find(fdt, VIRTIO_ID_CONSOLE, &machine.console);
    printf("my memory is %#lx to %#lx, and i want yours\n", machine.ram_base, machine.ram_end);

    try_memory();
    try_page_tables();
    try_privilege();
    try_sbi();
    try_timer();
    try_mmio();
    try_virtqueue();
    try_jumps();

    printf("%lu attempts were refused, %lu were not\n", refused, not_refused);
    printf("last attempt: a trap loop\n");
    trap_loop();
}
