#include "trap.h"

#include "console.h"
#include "riscv.h"
#include "sbi.h"

static const char *const exception_names[] = {
    "instruction address misaligned",
    "instruction access fault",
    "illegal instruction",
    "breakpoint",
    "load address misaligned",
    "load access fault",
    "store/AMO address misaligned",
    "store/AMO access fault",
    "ecall from U-mode",
    "ecall from S-mode",
    "ecall from VS-mode",
    "ecall from M-mode",
    "instruction page fault",
    "load page fault",
    "reserved cause 14",
    "store/AMO page fault",
    "double trap",
    "reserved cause 17",
    "software check",
    "hardware error",
    "instruction guest-page fault",
    "load guest-page fault",
    "virtual instruction",
    "store/AMO guest-page fault",
};

const char *cause_name(uint64_t scause) {
    if (scause == (SCAUSE_INTERRUPT | IRQ_S_TIMER))
        return "supervisor timer interrupt";
    if (scause == (SCAUSE_INTERRUPT | IRQ_S_EXT))
        return "supervisor external interrupt";
    if (scause < sizeof exception_names / sizeof exception_names[0])
        return exception_names[scause];
    return "unknown cause";
}

/* for guests that expect no traps */
__attribute__((weak)) struct trap_frame *on_trap(struct trap_frame *frame) {
    printf("unexpected trap: %s, sepc %#lx, stval %#lx\n", cause_name(csr_read(scause)), frame->sepc, csr_read(stval));
    sbi_power_off(SRST_REASON_FAILURE);
}
