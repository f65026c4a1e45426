/* what the monitor touches of a hart: fields of CSRs and causes, by their names in the specification (twin:
 * hv/registers.py) */
#ifndef REGISTERS_H
#define REGISTERS_H

#include "riscv.h"

#define MSTATUS_MPP (3 << 11)
#define MSTATUS_MPP_S (1 << 11)
#define MISA_H (1 << 7)
#define STATEEN_SE (1 << 63)
#define STATEEN_ENVCFG (1 << 62)

/* offsets into struct vcpu (vcpu.h), for enter.S */
#define VCPU_X 0
#define VCPU_SEPC 256
#define VCPU_SSTATUS 264
#define VCPU_HSTATUS 272
#define VCPU_SCAUSE 280
#define VCPU_STVAL 288
#define VCPU_HTVAL 296
#define VCPU_HTINST 304
#define VCPU_ENTERED 312
#define VCPU_EXITED 320
#define VCPU_MONITOR_SP 328
#define VCPU_F 336
#define VCPU_FCSR 592

#ifndef __ASSEMBLER__

#define HSTATUS_SPV (1UL << 7)
#define HSTATUS_SPVP (1UL << 8)
#define HSTATUS_VTW (1UL << 21)
#define SSTATUS_FS (3UL << 13)
#define SSTATUS_FS_INITIAL (1UL << 13)
#define SSTATUS_FS_CLEAN (2UL << 13)
#define VSSTATUS_UXL_64 (2UL << 32)

/* of menvcfg and henvcfg: what a supervisor needs so that it has what its device tree names */
#define ENVCFG_STCE (1UL << 63)
#define ENVCFG_PBMTE (1UL << 62)
#define ENVCFG_ADUE (1UL << 61)
#define ENVCFG_CBZE (1UL << 7)
#define ENVCFG_CBCFE (1UL << 6)
#define ENVCFG_CBIE (3UL << 4)
#define SUPERVISOR_ENVCFG (ENVCFG_STCE | ENVCFG_PBMTE | ENVCFG_ADUE | ENVCFG_CBZE | ENVCFG_CBCFE | ENVCFG_CBIE)

#define COUNTERS 7 /* cycle, time and instret, in mcounteren and hcounteren */

#define S_INTERRUPTS 0x222UL  /* software, timer, external: bits of sie and sip */
#define VS_INTERRUPTS 0x444UL /* the same of VS-mode: bits of hie, hip, hvip and hideleg */
#define SGEIP (1UL << 12)
#define VSSIP (1UL << 2)
#define VSEIP (1UL << 10)

#define HGATP_SV39X4 (8UL << 60)
#define HGATP_VMID_SHIFT 44
#define HGATP_VMID (0x3fffUL << HGATP_VMID_SHIFT)

enum cause {
    FETCH_MISALIGNED = 0,
    FETCH_ACCESS = 1,
    ILLEGAL = 2,
    BREAKPOINT = 3,
    LOAD_MISALIGNED = 4,
    LOAD_ACCESS = 5,
    STORE_MISALIGNED = 6,
    STORE_ACCESS = 7,
    ECALL_U = 8,
    ECALL_VS = 10,
    FETCH_PAGE = 12,
    LOAD_PAGE = 13,
    STORE_PAGE = 15,
    FETCH_GUEST_PAGE = 20,
    LOAD_GUEST_PAGE = 21,
    VIRTUAL_INSTRUCTION = 22,
    STORE_GUEST_PAGE = 23,
    CAUSES = 24,
};
#define INTERRUPT SCAUSE_INTERRUPT

#define WFI 0x10500073UL

#endif
#endif
