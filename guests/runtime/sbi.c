#include "sbi.h"

#include "riscv.h"

struct sbi_ret sbi_call(uint64_t eid, uint64_t fid, uint64_t arg0, uint64_t arg1, uint64_t arg2) {
    register uint64_t a0 __asm__("a0") = arg0;
    register uint64_t a1 __asm__("a1") = arg1;
    register uint64_t a2 __asm__("a2") = arg2;
    register uint64_t a6 __asm__("a6") = fid;
    register uint64_t a7 __asm__("a7") = eid;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
    return (struct sbi_ret){(int64_t)a0, a1};
}

bool sbi_probe(uint64_t eid) {
    struct sbi_ret ret = sbi_call(SBI_EXT_BASE, BASE_PROBE_EXTENSION, eid, 0, 0);
    return ret.error == SBI_SUCCESS && ret.value != 0;
}

void sbi_set_timer(uint64_t time) { sbi_call(SBI_EXT_TIME, TIME_SET_TIMER, time, 0, 0); }

const char *sbi_error_name(int64_t error) {
    static const char *const names[] = {
        "SBI_SUCCESS",
        "SBI_ERR_FAILED",
        "SBI_ERR_NOT_SUPPORTED",
        "SBI_ERR_INVALID_PARAM",
        "SBI_ERR_DENIED",
        "SBI_ERR_INVALID_ADDRESS",
        "SBI_ERR_ALREADY_AVAILABLE",
        "SBI_ERR_ALREADY_STARTED",
        "SBI_ERR_ALREADY_STOPPED",
        "SBI_ERR_NO_SHMEM",
        "SBI_ERR_INVALID_STATE",
        "SBI_ERR_BAD_RANGE",
        "SBI_ERR_TIMEOUT",
        "SBI_ERR_IO",
    };
    if (error > 0 || -error >= (int64_t)(sizeof names / sizeof names[0]))
        return "an unknown SBI error";
    return names[-error];
}

void sbi_power_off(uint64_t reason) {
    sbi_call(SBI_EXT_SRST, SRST_SYSTEM_RESET, SRST_TYPE_SHUTDOWN, reason, 0);
    sbi_call(SBI_EXT_LEGACY_SHUTDOWN, 0, 0, 0, 0);
    /* nobody can switch us off: sleep, with nothing left that could wake us */
    csr_write(sie, 0);
    for (;;)
        wfi();
}
