/* malformed calls to the SBI, and its timer */
#include "console.h"
#include "riscv.h"
#include "rogue.h"
#include "sbi.h"
#include "trap.h"

#define NO_SUCH_EXTENSION 0x0bad0bad
#define NO_SUCH_FUNCTION 99
#define NO_SUCH_HART 1000
#define NO_SUCH_RESET 0x1234
#define FLOOD 1000

static void refuse_call(const char *what, uint64_t eid, uint64_t fid, uint64_t arg0, uint64_t arg1, uint64_t arg2) {
    struct sbi_ret ret = sbi_call(eid, fid, arg0, arg1, arg2);
    refuse_verdict(what, sbi_error_name(ret.error), ret.error != SBI_SUCCESS);
}

/* the console reads from and writes to memory for us: does it look where? */
static void try_console(uint64_t function, const char *const names[6]) {
    uint64_t end = machine.ram_end;
    refuse_call(names[0], SBI_EXT_DBCN, function, 16, 0x10000, 0);
    refuse_call(names[1], SBI_EXT_DBCN, function, 16, end, 0);
    refuse_call(names[2], SBI_EXT_DBCN, function, 16, end - 8, 0);
    refuse_call(names[3], SBI_EXT_DBCN, function, ~0UL, end - 8, 0);
    refuse_call(names[4], SBI_EXT_DBCN, function, 16, ~7UL, 0);
    refuse_call(names[5], SBI_EXT_DBCN, function, 16, machine.ram_base, 1);
}

void try_sbi(void) {
    static const char *const writes[] = {
        "console write from below memory",          "console write from behind memory",
        "console write across the end of memory",   "console write of a length that wraps",
        "console write from an address that wraps", "console write from above 2^64",
    };
    static const char *const reads[] = {
        "console read to below memory",          "console read to behind memory",
        "console read across the end of memory", "console read of a length that wraps",
        "console read to an address that wraps", "console read to above 2^64",
    };
    refuse_call("SBI call to an unknown extension", NO_SUCH_EXTENSION, 0, 0, 0, 0);
    refuse_call("SBI call with all bits 1", ~0UL, ~0UL, ~0UL, ~0UL, ~0UL);
    refuse_call("BASE, unknown function", SBI_EXT_BASE, NO_SUCH_FUNCTION, 0, 0, 0);
    refuse_call("TIME, unknown function", SBI_EXT_TIME, NO_SUCH_FUNCTION, 0, 0, 0);
    refuse_call("DBCN, unknown function", SBI_EXT_DBCN, NO_SUCH_FUNCTION, 0, 0, 0);
    refuse_call("SRST, unknown kind of reset", SBI_EXT_SRST, SRST_SYSTEM_RESET, NO_SUCH_RESET, 0, 0);
    refuse_call("HSM, start a hart that is not mine", SBI_EXT_HSM, HSM_HART_START, NO_SUCH_HART, machine.ram_base, 0);
    refuse_call("IPI, to harts that are not mine", SBI_EXT_IPI, 0, ~0UL, NO_SUCH_HART, 0);
    try_console(DBCN_WRITE, writes);
    refuse_call("console write of more than there is memory", SBI_EXT_DBCN, DBCN_WRITE, 1UL << 40, machine.ram_base, 0);
    try_console(DBCN_READ, reads);

    uint64_t refusals = 0;
    for (int i = 0; i < FLOOD; i++)
        refusals += sbi_call(NO_SUCH_EXTENSION, 0, 0, 0, 0).error != SBI_SUCCESS;
    printf("flood of %u calls to an unknown extension: %lu refused\n", FLOOD, refusals);
}

/* long enough for an interrupt that is due */
static uint64_t spin(uint64_t turns, uint64_t unused) {
    (void)unused;
    csr_set(sie, SIE_STIE);
    csr_set(sstatus, SSTATUS_SIE);
    for (volatile uint64_t i = 0; i < turns; i++)
        ;
    return 0;
}

static void try_deadline(const char *what, uint64_t time) {
    sbi_set_timer(time);
    struct outcome outcome = try_call(spin, 10000, 0);
    csr_clear(sstatus, SSTATUS_SIE);
    csr_clear(sie, SIE_STIE);
    note(what, outcome.scause == NO_TRAP ? "no interrupt" : cause_name(outcome.scause));
}

void try_timer(void) {
    try_deadline("timer in the past", 0);
    try_deadline("timer at the last tick", TIMER_NEVER - 1);
    try_deadline("timer that never comes", TIMER_NEVER);
}
