#include "sbi.h"

#include "ram.h"
#include "registers.h"
#include "vm.h"

#define SPEC_VERSION (3UL << 24) /* 3.0 */
#define IMPL_ID 0x72766876UL     /* "rvhv": the guests shall not tell the twins apart */
#define IMPL_VERSION 1
#define LEGACY_END 0x10 /* EIDs below: no FID, nothing in a1 */
#define MOST_BYTES 4096 /* moved by one call: the specification lets us do a part, and no guest can keep us busy */

#define SUCCESS 0
#define ERR_FAILED (~0UL)
#define ERR_NOT_SUPPORTED (~1UL)
#define ERR_INVALID_PARAM (~2UL)

struct sbi_ret {
    uint64_t error, value;
};
typedef struct sbi_ret function(struct vm *vm, uint64_t a0, uint64_t a1, uint64_t a2);

struct extension {
    uint64_t eid;
    function *const *functions; /* by FID */
    uint64_t count;
};

static struct sbi_ret ok(uint64_t value) { return (struct sbi_ret){SUCCESS, value}; }

static struct sbi_ret error(uint64_t code) { return (struct sbi_ret){code, 0}; }

#define FUNCTION(name) static struct sbi_ret name(struct vm *vm, uint64_t a0, uint64_t a1, uint64_t a2)
#define UNUSED (void)vm, (void)a0, (void)a1, (void)a2

/* BASE */

static const struct extension *extension_of(uint64_t eid);

FUNCTION(get_spec_version) { return UNUSED, ok(SPEC_VERSION); }
FUNCTION(get_impl_id) { return UNUSED, ok(IMPL_ID); }
FUNCTION(get_impl_version) { return UNUSED, ok(IMPL_VERSION); }
FUNCTION(probe_extension) { return UNUSED, ok(extension_of(a0) != 0); }
FUNCTION(get_machine_id) { return UNUSED, ok(0); } /* mvendorid, marchid, mimpid */

static function *const base[] = {get_spec_version, get_impl_id,    get_impl_version, probe_extension,
                                 get_machine_id,   get_machine_id, get_machine_id};

/* TIME */

FUNCTION(set_timer) {
    UNUSED;
    csr_write(vstimecmp, a0); /* VSTIP is the comparison itself, so a time in the future also clears it */
    return ok(0);
}

static function *const time[] = {set_timer};

/* IPI and RFENCE: a VM has hart 0 and no other */

static bool names_others(uint64_t mask, uint64_t mask_base) {
    if (mask_base == ~0UL) /* all harts */
        return false;
    return mask_base > 1 || mask >> (1 - mask_base) != 0;
}

FUNCTION(send_ipi) {
    UNUSED;
    if (names_others(a0, a1))
        return error(ERR_INVALID_PARAM);
    if (a1 == ~0UL || a0 != 0)
        csr_set(hvip, VSSIP);
    return ok(0);
}

FUNCTION(remote_fence_i) {
    UNUSED;
    if (names_others(a0, a1))
        return error(ERR_INVALID_PARAM);
    fence_i();
    return ok(0);
}

FUNCTION(remote_sfence_vma) {
    UNUSED;
    if (names_others(a0, a1))
        return error(ERR_INVALID_PARAM);
    __asm__ volatile(".insn r 0x73, 0, 0x11, x0, x0, x0" : : : "memory"); /* hfence.vvma for everything */
    return ok(0);
}

static function *const ipi[] = {send_ipi}, *const rfence[] = {remote_fence_i, remote_sfence_vma, remote_sfence_vma};

/* DBCN */

FUNCTION(console_write_bytes) {
    uint8_t bytes[256];
    uint64_t n = a0 < MOST_BYTES ? a0 : MOST_BYTES;
    if (a2 != 0 || !ram_covers(vm, a1, a0))
        return error(ERR_INVALID_PARAM);
    for (uint64_t done = 0, take; done < n; done += take) {
        take = n - done < sizeof bytes ? n - done : sizeof bytes;
        ram_read(vm, a1 + done, bytes, take);
        console_write(&vm->console, bytes, take);
    }
    return ok(n);
}

FUNCTION(console_read_bytes) { /* nobody types */
    return a2 != 0 || !ram_covers(vm, a1, a0) ? error(ERR_INVALID_PARAM) : ok(0);
}

FUNCTION(console_write_byte) {
    uint8_t byte = (uint8_t)a0;
    UNUSED;
    console_write(&vm->console, &byte, 1);
    return ok(0);
}

static function *const dbcn[] = {console_write_bytes, console_read_bytes, console_write_byte};

/* SRST */

FUNCTION(system_reset) {
    static const char *const how[] = {"powered off", "asked for a cold reboot", "asked for a warm reboot"};
    uint32_t type = (uint32_t)a0, reason = (uint32_t)a1; /* both are 32 bits wide */
    UNUSED;
    if (type > 2 || reason > 1)
        return error(ERR_INVALID_PARAM);
    vm_stop(vm, reason == 1, reason == 1 ? "%s: system failure" : "%s", how[type]);
    return ok(0);
}

static function *const srst[] = {system_reset};

/* the legacy console: what old guests still print and read with */

FUNCTION(legacy_putchar) { return console_write_byte(vm, a0, a1, a2); }
FUNCTION(legacy_getchar) { return UNUSED, error(ERR_FAILED); }

static function *const putchar[] = {legacy_putchar}, *const getchar[] = {legacy_getchar};

/* the others of them: they fence on all harts, whatever the mask says */

FUNCTION(legacy_fence_i) { return UNUSED, remote_fence_i(vm, 1, 0, 0); }
FUNCTION(legacy_sfence_vma) { return UNUSED, remote_sfence_vma(vm, 1, 0, 0); }

static function *const all_i[] = {legacy_fence_i}, *const all_vma[] = {legacy_sfence_vma};

#define EXTENSION(eid, functions) {eid, functions, sizeof functions / sizeof functions[0]}

static const struct extension extensions[] = {
    EXTENSION(0x01, putchar),    EXTENSION(0x02, getchar),    EXTENSION(0x10, base),
    EXTENSION(0x54494d45, time), EXTENSION(0x53525354, srst), EXTENSION(0x4442434e, dbcn),
    EXTENSION(0x735049, ipi),    EXTENSION(0x52464e43, rfence), EXTENSION(0x00, time),
    EXTENSION(0x05, all_i),      EXTENSION(0x06, all_vma),    EXTENSION(0x07, all_vma),
};

static const struct extension *extension_of(uint64_t eid) {
    for (uint64_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++)
        if (extensions[i].eid == eid)
            return &extensions[i];
    return 0;
}

void sbi_call(struct vm *vm) {
    uint64_t *x = vm->vcpu.x, eid = x[A7], fid = eid < LEGACY_END ? 0 : x[A6];
    const struct extension *extension = extension_of(eid);
    struct sbi_ret ret = error(ERR_NOT_SUPPORTED);
    if (extension != 0 && fid < extension->count)
        ret = extension->functions[fid](vm, x[A0], x[A1], x[A2]);
    x[A0] = ret.error;
    if (eid >= LEGACY_END)
        x[A1] = ret.value;
}
