/* instructions and CSRs of those who rule over us, and jumps to where no code of ours is */
#include "console.h"
#include "riscv.h"
#include "rogue.h"
#include "sbi.h"

#define WATCHDOG_TICKS 10000

/* encodings: a0 is the destination or the address, a1 the value to store */
#define INSN_RET 0x00008067
#define INSN_CSRR_A0(csr) ((uint32_t)(csr) << 20 | 0x00002573)
#define INSN_CSRW_ZERO(csr) ((uint32_t)(csr) << 20 | 0x00001073)
#define INSN_MRET 0x30200073
#define INSN_DRET 0x7b200073
#define INSN_HFENCE_VVMA 0x22000073
#define INSN_HFENCE_GVMA 0x62000073
#define INSN_HLV_W 0x68054573
#define INSN_HLVX_WU 0x68354573
#define INSN_HSV_W 0x6ab54073
#define INSN_ALL_ZEROS 0x00000000
#define INSN_ALL_ONES 0xffffffff
#define INSN_NOP 0x00000013

/* code that we write ourselves: an instruction and a ret for each CSR */
static _Alignas(8) uint32_t code[CSR_COUNT][2];

/* runs one instruction, with a0 = arg0 and a1 = arg1 */
static struct outcome try_instruction(uint32_t instruction, uint64_t arg0, uint64_t arg1) {
    code[0][0] = instruction;
    code[0][1] = INSN_RET;
    fence_i();
    return try_call((attempt *)code[0], arg0, arg1);
}

static void try_instructions(void) {
    static const struct {
        const char *name;
        uint32_t instruction;
    } table[] = {
        {"mret", INSN_MRET},
        {"dret", INSN_DRET},
        {"hfence.vvma", INSN_HFENCE_VVMA},
        {"hfence.gvma", INSN_HFENCE_GVMA},
        {"hlv.w", INSN_HLV_W},
        {"hlvx.wu", INSN_HLVX_WU},
        {"hsv.w", INSN_HSV_W},
        {"all bits 0", INSN_ALL_ZEROS},
        {"all bits 1", INSN_ALL_ONES},
        {"read mhartid", INSN_CSRR_A0(CSR_MHARTID)},
        {"read mstatus", INSN_CSRR_A0(CSR_MSTATUS)},
        {"write medeleg", INSN_CSRW_ZERO(CSR_MEDELEG)},
        {"write mtvec", INSN_CSRW_ZERO(CSR_MTVEC)},
        {"write pmpaddr0", INSN_CSRW_ZERO(CSR_PMPADDR0)},
        {"read dcsr", INSN_CSRR_A0(CSR_DCSR)},
        {"read hstatus", INSN_CSRR_A0(CSR_HSTATUS)},
        {"write hideleg", INSN_CSRW_ZERO(CSR_HIDELEG)},
        {"write hvip", INSN_CSRW_ZERO(CSR_HVIP)},
        {"read hgatp", INSN_CSRR_A0(CSR_HGATP)},
        {"write hgatp", INSN_CSRW_ZERO(CSR_HGATP)},
        {"read vsstatus", INSN_CSRR_A0(CSR_VSSTATUS)},
        {"write vsatp", INSN_CSRW_ZERO(CSR_VSATP)},
        {"write cycle, which is read-only", INSN_CSRW_ZERO(CSR_CYCLE)},
    };
    for (uint64_t i = 0; i < sizeof table / sizeof table[0]; i++)
        refuse(table[i].name, try_instruction(table[i].instruction, (uint64_t)code, 0));
}

/* how many of the CSRs at or above a privilege can this instruction reach? */
static uint64_t sweep(uint32_t instruction_for_csr_0, unsigned privilege) {
    uint64_t reached = 0;
    for (uint32_t csr = 0; csr < CSR_COUNT; csr++) {
        code[csr][0] = instruction_for_csr_0 | csr << 20;
        code[csr][1] = INSN_RET;
    }
    fence_i();
    for (uint32_t csr = 0; csr < CSR_COUNT; csr++)
        if (CSR_PRIVILEGE(csr) >= privilege)
            reached += try_call((attempt *)code[csr], 0, 0).scause == NO_TRAP;
    return reached;
}

static void try_all_csrs(void) {
    uint64_t all = sweep(INSN_CSRR_A0(0), 0), above = sweep(INSN_CSRR_A0(0), CSR_PRIVILEGE_HS);
    printf("read all %u CSRs: %lu can be read, %lu of them above my privilege\n", CSR_COUNT, all, above);
    refuse_verdict("reading above my privilege", above == 0 ? "never" : "sometimes", above == 0);
    above = sweep(INSN_CSRW_ZERO(0), CSR_PRIVILEGE_HS);
    refuse_verdict("writing above my privilege, to all CSRs", above == 0 ? "never" : "sometimes", above == 0);
}

void try_privilege(void) {
    try_instructions();
    try_all_csrs();
}

uint64_t jump(uint64_t address, uint64_t unused) {
    (void)unused;
    ((void (*)(void))address)();
    return address;
}

/* for code that may run on forever: a timer ends it */
static struct outcome try_with_watchdog(attempt *function, uint64_t arg0, uint64_t arg1) {
    sbi_set_timer(rdtime() + WATCHDOG_TICKS);
    csr_set(sie, SIE_STIE);
    csr_set(sstatus, SSTATUS_SIE);
    struct outcome outcome = try_call(function, arg0, arg1);
    csr_clear(sstatus, SSTATUS_SIE);
    csr_clear(sie, SIE_STIE);
    return outcome;
}

static void refuse_jump(const char *what, uint64_t address) { refuse(what, try_with_watchdog(jump, address, 0)); }

/* half of this instruction lies inside memory */
static void try_straddling_jump(void) {
    volatile uint16_t *last = (volatile uint16_t *)(machine.ram_end - sizeof *last);
    uint16_t before = *last;
    *last = (uint16_t)INSN_NOP;
    fence_i();
    refuse_jump("jump to an instruction across the end of memory", (uint64_t)last);
    *last = before;
    fence_i();
}

void try_jumps(void) {
    refuse_jump("jump to null", 0);
    refuse_jump("jump to where a machine's reset code would be", 0x1000);
    refuse_jump("jump behind my memory", machine.ram_end);
    refuse_jump("jump beyond Sv39x4", 1UL << 41);
    refuse_jump("jump to the last address of all", ~1UL);
    if (machine.has_plic)
        refuse_jump("jump into the PLIC", machine.plic.base);
    if (machine.has_console)
        refuse_jump("jump into a device", machine.console.base);
    try_straddling_jump();
}
