/* hello: who am i, and where? reads its device tree, asks the SBI, powers off */
#include "console.h"
#include "fdt.h"
#include "guest.h"
#include "riscv.h"
#include "sbi.h"

static const char *impl_name(uint64_t id) {
    static const char *const names[] = {"BBL", "OpenSBI", "Xvisor", "KVM", "RustSBI", "Diosix", "Coffer", "Xen"};
    return id < sizeof names / sizeof names[0] ? names[id] : "one without a registered name";
}

static void print_sbi(void) {
    uint64_t version = sbi_call(SBI_EXT_BASE, BASE_GET_SPEC_VERSION, 0, 0, 0).value;
    uint64_t impl = sbi_call(SBI_EXT_BASE, BASE_GET_IMPL_ID, 0, 0, 0).value;
    /* major in bits 30:24, minor below */
    printf("SBI: version %lu.%lu, implementation %#lx (%s)\n", version >> 24 & 0x7f, version & 0xffffff, impl,
           impl_name(impl));

    static const struct {
        const char *name;
        uint64_t eid;
    } extensions[] = {
        {"TIME", SBI_EXT_TIME}, {"IPI", SBI_EXT_IPI},   {"RFENCE", SBI_EXT_RFENCE},
        {"HSM", SBI_EXT_HSM},   {"SRST", SBI_EXT_SRST}, {"DBCN", SBI_EXT_DBCN},
    };
    printf("SBI extensions:");
    for (uint64_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++)
        if (sbi_probe(extensions[i].eid))
            printf(" %s", extensions[i].name);
    printf("\n");
}

int guest_main(uint64_t hartid, const void *fdt) {
    struct fdt_node node;
    uint64_t base, size;
    uint32_t timebase;

    printf("hello from hart %lu, in supervisor mode as far as i can tell\n", hartid);
    printf("my image: %#lx to %#lx\n", (uint64_t)_image_start, (uint64_t)_image_end);
    if (!fdt_begin(fdt, &node)) {
        printf("there is no device tree at %#lx\n", (uint64_t)fdt);
        return 1;
    }
    printf("my device tree: %u bytes at %#lx\n", fdt_size(fdt), (uint64_t)fdt);
    printf("my machine: %s\n", fdt_string(&node, "model", "(no model)"));
    if (fdt_memory(fdt, &base, &size))
        printf("my memory: %#lx to %#lx, %lu KiB\n", base, base + size, size >> 10);
    do {
        if (fdt_u32(&node, "timebase-frequency", 0, &timebase))
            printf("my time base: %u Hz\n", timebase);
        if (fdt_has(&node, "device_type", "cpu"))
            printf("my hart: %s\n", fdt_string(&node, "riscv,isa", "(no ISA string)"));
    } while (fdt_next(&node));
    print_sbi();
    printf("goodbye\n");
    return 0;
}
