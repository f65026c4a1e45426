/* the rogue's tools: trying something that may trap, and saying what came of it */
#ifndef ROGUE_H
#define ROGUE_H

#include <stdbool.h>
#include <stdint.h>

#include "plic.h"
#include "virtio.h"

/* what a call came to: a trap (value is stval), or none (value is what it returned) */
struct outcome {
    uint64_t scause, value;
};
#define NO_TRAP (~0UL)

typedef uint64_t attempt(uint64_t arg0, uint64_t arg1);

/* calls it, and comes back whatever it does, as long as it traps or returns (catch.S) */
struct outcome try_call(attempt *function, uint64_t arg0, uint64_t arg1);

attempt load8, load32, load64, store8, store32, store64, amo32, amo64, jump;

/* one line an attempt: "refuse" counts those that a sound machine must not let through */
void report(const char *what, struct outcome outcome);
void refuse(const char *what, struct outcome outcome);
void refuse_verdict(const char *what, const char *verdict, bool refused);
void note(const char *what, const char *verdict);

/* loads and stores at an address that is not ours */
void refuse_access(const char *what, uint64_t address);

extern struct machine {
    const void *fdt;
    uint64_t ram_base, ram_end;
    struct plic plic;
    struct virtio_device console;
    bool has_plic, has_console;
} machine;

void try_memory(void);
void try_page_tables(void);
void try_privilege(void);
void try_sbi(void);
void try_timer(void);
void try_mmio(void);
void try_virtqueue(void);
void try_jumps(void);
_Noreturn void trap_loop(void);

#endif
