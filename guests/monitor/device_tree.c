/* the device tree that a VM is given: node for node the one that the Python hypervisor gives (twin: machine/fdt.py).
   what the hart is like is copied from the machine's own tree, but for the hypervisor extension, which a guest does not
   have */
#include "fdt.h"
#include "memory.h"
#include "vm.h"

#define FDT_MAGIC 0xd00dfeed
#define FDT_VERSION 17
#define FDT_COMPATIBLE 16
enum { BEGIN_NODE = 1, END_NODE = 2, PROP = 3, END = 9 };
#define HEADER_SIZE 40
#define RESERVATIONS_SIZE 16 /* one, which is the end */
#define STRINGS_SIZE 1024
#define VALUE_SIZE 1024

#define PLIC_PHANDLE 1
#define CPU_PHANDLE 2
#define IRQ_M_EXT 11
#define RNG_SEED_SIZE 32

static struct {
    uint8_t *blob;
    uint64_t used, room;
    char strings[STRINGS_SIZE];
    uint32_t strings_used;
    bool full;
} w;

static void put_be32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void bytes(const void *data, uint64_t n) {
    uint64_t padded = (n + 3) & ~3UL;
    if (w.full || padded > w.room - w.used) {
        w.full = true;
        return;
    }
    memset(w.blob + w.used, 0, padded);
    memcpy(w.blob + w.used, data, n);
    w.used += padded;
}

static void cell(uint32_t value) {
    uint8_t be[4];
    put_be32(be, value);
    bytes(be, sizeof be);
}

static void begin(const char *name) {
    cell(BEGIN_NODE);
    bytes(name, strlen(name) + 1);
}

static void end(void) { cell(END_NODE); }

/* the offset of a property's name among the strings */
static uint32_t string(const char *name) {
    uint32_t size = (uint32_t)strlen(name) + 1;
    for (uint32_t at = 0; at < w.strings_used; at += (uint32_t)strlen(w.strings + at) + 1)
        if (strcmp(w.strings + at, name) == 0)
            return at;
    if (size > STRINGS_SIZE - w.strings_used) {
        w.full = true;
        return 0;
    }
    memcpy(w.strings + w.strings_used, name, size);
    w.strings_used += size;
    return w.strings_used - size;
}

static void prop(const char *name, const void *value, uint64_t n) {
    cell(PROP);
    cell((uint32_t)n);
    cell(string(name));
    bytes(value, n);
}

static void prop_text(const char *name, const char *text) { prop(name, text, strlen(text) + 1); }

#define prop_cells(name, ...)                                                                                          \
    do {                                                                                                               \
        const uint32_t cells_[] = {__VA_ARGS__};                                                                       \
        cell(PROP);                                                                                                    \
        cell(sizeof cells_);                                                                                           \
        cell(string(name));                                                                                            \
        for (uint64_t i_ = 0; i_ < sizeof cells_ / sizeof cells_[0]; i_++)                                             \
            cell(cells_[i_]);                                                                                          \
    } while (0)

static void prop_reg(uint64_t base, uint64_t size) {
    prop_cells("reg", (uint32_t)(base >> 32), (uint32_t)base, (uint32_t)(size >> 32), (uint32_t)size);
}

/* riscv,isa without its h, which is a letter before the first _ */
static void prop_isa(const char *isa) {
    char without[VALUE_SIZE];
    uint64_t used = 0;
    bool single = true;
    for (; *isa != '\0' && used < sizeof without - 1; isa++) {
        single = single && *isa != '_';
        if (!(single && *isa == 'h'))
            without[used++] = *isa;
    }
    without[used] = '\0';
    prop_text("riscv,isa", without);
}

/* riscv,isa-extensions without h */
static void prop_extensions(const char *list, uint32_t length) {
    char without[VALUE_SIZE];
    uint64_t used = 0;
    for (const char *at = list; at < list + length; at += strlen(at) + 1) {
        uint64_t size = strlen(at) + 1;
        if (strcmp(at, "h") == 0 || used + size > sizeof without)
            continue;
        memcpy(without + used, at, size);
        used += size;
    }
    prop("riscv,isa-extensions", without, used);
}

static void cpu(const struct fdt_node *machine) {
    static const char *const copied[] = {"riscv,isa-base", "mmu-type", "riscv,cbom-block-size", "riscv,cbop-block-size",
                                         "riscv,cboz-block-size"};
    uint32_t length;
    const void *value;
    begin("cpu@0");
    prop_text("device_type", "cpu");
    prop_cells("reg", 0);
    prop_text("status", "okay");
    prop_text("compatible", "riscv");
    prop_isa(fdt_string(machine, "riscv,isa", "rv64imac"));
    if ((value = fdt_prop(machine, "riscv,isa-extensions", &length)) != 0)
        prop_extensions(value, length);
    for (uint64_t i = 0; i < sizeof copied / sizeof copied[0]; i++)
        if ((value = fdt_prop(machine, copied[i], &length)) != 0)
            prop(copied[i], value, length);
    begin("interrupt-controller");
    prop_cells("#address-cells", 0);
    prop_cells("#interrupt-cells", 1);
    prop("interrupt-controller", 0, 0);
    prop_text("compatible", "riscv,cpu-intc");
    prop_cells("phandle", CPU_PHANDLE);
    end();
    end();
}

static void cpus(const void *machine) {
    struct fdt_node node;
    uint32_t timebase;
    begin("cpus");
    prop_cells("#address-cells", 1);
    prop_cells("#size-cells", 0);
    for (bool more = fdt_begin(machine, &node); more; more = fdt_next(&node)) {
        if (fdt_u32(&node, "timebase-frequency", 0, &timebase))
            prop_cells("timebase-frequency", timebase);
        if (fdt_has(&node, "device_type", "cpu")) {
            cpu(&node);
            break;
        }
    }
    end();
}

static void virtio_mmio(const char *name, const struct mmio_device *device, uint32_t source) {
    begin(name);
    prop_text("compatible", "virtio,mmio");
    prop_reg(device->base, device->size);
    prop_cells("interrupt-parent", PLIC_PHANDLE);
    prop_cells("interrupts", source);
    end();
}

static void soc(void) {
    static const char compatible[] = "sifive,plic-1.0.0\0riscv,plic0";
    begin("soc");
    prop_cells("#address-cells", 2);
    prop_cells("#size-cells", 2);
    prop_text("compatible", "simple-bus");
    prop("ranges", 0, 0);
    begin("interrupt-controller@c000000");
    prop("compatible", compatible, sizeof compatible);
    prop_reg(plic_device.base, plic_device.size);
    prop_cells("#address-cells", 0);
    prop_cells("#interrupt-cells", 1);
    prop("interrupt-controller", 0, 0);
    prop_cells("interrupts-extended", CPU_PHANDLE, IRQ_M_EXT, CPU_PHANDLE, IRQ_S_EXT);
    prop_cells("riscv,ndev", PLIC_SOURCES);
    prop_cells("phandle", PLIC_PHANDLE);
    end();
    virtio_mmio("virtio_mmio@10001000", &virtio_console_device, VIRTIO_CONSOLE_SOURCE);
    virtio_mmio("virtio_mmio@10003000", &virtio_empty_device, VIRTIO_EMPTY_SOURCE);
    end();
}

/* a VM's seed is the machine's, turned by its number: good for variety, not for secrets */
static void rng_seed(const struct vm *vm, const void *machine) {
    struct fdt_node node;
    uint8_t seed[RNG_SEED_SIZE] = {0};
    for (bool more = fdt_begin(machine, &node); more; more = fdt_next(&node)) {
        uint32_t length = 0;
        const uint8_t *value = node.depth == 1 ? fdt_prop(&node, "rng-seed", &length) : 0;
        for (uint32_t i = 0; value != 0 && i < RNG_SEED_SIZE && i < length; i++)
            seed[i] = (uint8_t)(value[i] ^ vm->number * (2 * i + 1));
    }
    prop("rng-seed", seed, sizeof seed);
}

uint64_t guest_device_tree(const struct vm *vm, const void *machine, uint8_t *to, uint64_t room) {
    char model[5 + NAME_SIZE] = "rvhv,";
    memcpy(model + 5, vm->name, strlen(vm->name) + 1);
    w.blob = to, w.used = HEADER_SIZE + RESERVATIONS_SIZE, w.room = room, w.strings_used = 0, w.full = false;
    memset(to, 0, w.used);

    begin("");
    prop_cells("#address-cells", 2);
    prop_cells("#size-cells", 2);
    prop_text("model", model);
    prop_text("compatible", "rvhv,virt");
    begin("chosen");
    prop_text("stdout-path", "/soc/virtio_mmio@10001000");
    rng_seed(vm, machine);
    end();
    cpus(machine);
    begin("memory@80000000");
    prop_text("device_type", "memory");
    prop_reg(RAM_BASE, vm->memory_size);
    end();
    soc();
    end();
    cell(END);

    uint32_t strings = (uint32_t)w.used, structure = HEADER_SIZE + RESERVATIONS_SIZE;
    bytes(w.strings, w.strings_used);
    uint32_t total = strings + w.strings_used;
    const uint32_t header[] = {FDT_MAGIC,   total,          structure, strings,        HEADER_SIZE,
                               FDT_VERSION, FDT_COMPATIBLE, 0,         w.strings_used, strings - structure};
    for (uint64_t i = 0; i < sizeof header / sizeof header[0]; i++)
        put_be32(to + 4 * i, header[i]);
    return w.full ? 0 : total;
}
