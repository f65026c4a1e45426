#include "setup.h"

#include "board.h"
#include "console.h"
#include "registers.h"

#define BIT(n) (1UL << (n))

/* what a guest handles itself (norm:hedeleg_op) */
#define GUEST_EXCEPTIONS                                                                                               \
    (BIT(FETCH_MISALIGNED) | BIT(FETCH_ACCESS) | BIT(ILLEGAL) | BIT(BREAKPOINT) | BIT(LOAD_MISALIGNED) |               \
     BIT(LOAD_ACCESS) | BIT(STORE_MISALIGNED) | BIT(STORE_ACCESS) | BIT(ECALL_U) | BIT(FETCH_PAGE) | BIT(LOAD_PAGE) |  \
     BIT(STORE_PAGE))

/* what only the hypervisor can handle; the two together are everything, so that nothing reaches M-mode */
#define HYPERVISOR_EXCEPTIONS                                                                                          \
    (BIT(ECALL_VS) | BIT(FETCH_GUEST_PAGE) | BIT(LOAD_GUEST_PAGE) | BIT(VIRTUAL_INSTRUCTION) | BIT(STORE_GUEST_PAGE))

#define PMP_NAPOT_RWX 0x1f

static _Noreturn void refuse(const char *what) {
    say("this hart has no %s: rvhv has it, and QEMU's -cpu rv64,h=true,sstc=true", what);
    write32(FINISHER, FINISHER_FAIL);
    for (;;)
        wfi();
}

void host_guests_machine(void) {
    if (!(csr_read(misa) & MISA_H))
        refuse("hypervisor extension");
    csr_write(pmpaddr0, ~0UL);
    csr_write(pmpcfg0, PMP_NAPOT_RWX);
    csr_write(medeleg, GUEST_EXCEPTIONS | HYPERVISOR_EXCEPTIONS);
    csr_write(mideleg, S_INTERRUPTS | VS_INTERRUPTS | SGEIP);
    csr_write(mcounteren, COUNTERS);
    csr_write(menvcfg, SUPERVISOR_ENVCFG);
    if (!(csr_read(menvcfg) & ENVCFG_STCE))
        refuse("timer of its own in S-mode (Sstc)");
}

void host_guests(void) {
    csr_write(hedeleg, GUEST_EXCEPTIONS);
    csr_write(hideleg, VS_INTERRUPTS);
    csr_write(hcounteren, COUNTERS);
    csr_write(henvcfg, SUPERVISOR_ENVCFG);
    csr_write(htimedelta, 0);
    csr_write(hvip, 0);
    csr_set(hstatus, HSTATUS_VTW); /* a guest's wfi gives way instead of stalling the hart */
    csr_write(stimecmp, ~0UL);
    csr_write(sie, SIE_STIE); /* with sstatus.SIE=0: it interrupts guests, and ends our wfi */
}
