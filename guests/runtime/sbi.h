/* the supervisor binary interface: calls to whatever runs below us */
#ifndef SBI_H
#define SBI_H

#include <stdbool.h>
#include <stdint.h>

#define SBI_EXT_LEGACY_PUTCHAR 0x01
#define SBI_EXT_LEGACY_SHUTDOWN 0x08
#define SBI_EXT_BASE 0x10
#define SBI_EXT_TIME 0x54494d45
#define SBI_EXT_IPI 0x735049
#define SBI_EXT_RFENCE 0x52464e43
#define SBI_EXT_HSM 0x48534d
#define SBI_EXT_SRST 0x53525354
#define SBI_EXT_DBCN 0x4442434e

#define BASE_GET_SPEC_VERSION 0
#define BASE_GET_IMPL_ID 1
#define BASE_GET_IMPL_VERSION 2
#define BASE_PROBE_EXTENSION 3
#define TIME_SET_TIMER 0
#define HSM_HART_START 0
#define SRST_SYSTEM_RESET 0
#define DBCN_WRITE 0
#define DBCN_READ 1

#define SRST_TYPE_SHUTDOWN 0
#define SRST_REASON_NONE 0
#define SRST_REASON_FAILURE 1

#define SBI_SUCCESS 0
#define TIMER_NEVER (~0UL)

struct sbi_ret {
    int64_t error;
    uint64_t value;
};

struct sbi_ret sbi_call(uint64_t eid, uint64_t fid, uint64_t arg0, uint64_t arg1, uint64_t arg2);
bool sbi_probe(uint64_t eid);
void sbi_set_timer(uint64_t time);
const char *sbi_error_name(int64_t error);
_Noreturn void sbi_power_off(uint64_t reason);

#endif
