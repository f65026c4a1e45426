#include "mmio.h"

#include "fetch.h"
#include "inject.h"
#include "vm.h"

#define ADDRESS_OFFSET                                                                                                 \
    (0x1fUL << 15)          /* of a transformed instruction: nonzero in the upper part of a misaligned access */
#define PSEUDO_LOAD 0x3000  /* a VS-stage page table was read ... */
#define PSEUDO_STORE 0x3020 /* ... or its A and D bits written */

enum { OPCODE_LOAD = 0x03, OPCODE_STORE = 0x23 };

/* the bus; every VM has the same devices at the same places (twin: machine/board.py) */
static const struct mmio_device *const bus[] = {&plic_device, &virtio_console_device, &virtio_empty_device};

static bool pseudo(uint64_t tinst) { return tinst == PSEUDO_LOAD || tinst == PSEUDO_STORE; }

static uint64_t access_fault(uint64_t scause) {
    return scause == FETCH_GUEST_PAGE ? FETCH_ACCESS : scause == LOAD_GUEST_PAGE ? LOAD_ACCESS : STORE_ACCESS;
}

uint64_t mmio_faulting_gpa(const struct vm *vm) {
    uint64_t gpa = vm->vcpu.htval << 2;
    return pseudo(vm->vcpu.htinst) ? gpa : gpa | (vm->vcpu.stval & 3);
}

/* c.lw, c.ld, c.sw, c.sd, and the same by sp: htinst has them expanded, the guest's code has not */
static bool decode_compressed(uint32_t word, struct mmio_access *access) {
    unsigned quadrant = word & 3, funct3 = word >> 13 & 7;
    if (quadrant == 1 || (funct3 & 3) < 2) /* two and three are words and double words, plus four for stores */
        return false;
    bool store = funct3 & 4, by_sp = quadrant == 2;
    unsigned reg = !by_sp ? 8 + (word >> 2 & 7) : store ? word >> 2 & 31 : word >> 7 & 31;
    *access = (struct mmio_access){store, true, 4 << (funct3 & 1), reg, 2};
    return true;
}

/* the access that the instruction `word` makes; false when it is no plain load or store */
static bool decode(uint32_t word, unsigned length, struct mmio_access *access) {
    unsigned funct3 = word >> 12 & 7;
    switch (word & 0x7f) {
    case OPCODE_LOAD:
        *access = (struct mmio_access){false, !(funct3 & 4), 1u << (funct3 & 3), word >> 7 & 31, length};
        return funct3 != 7;
    case OPCODE_STORE:
        *access = (struct mmio_access){true, false, 1u << (funct3 & 3), word >> 20 & 31, length};
        return funct3 < 4;
    default:
        return false;
    }
}

/* the load or store that trapped: from htinst, or when that says nothing from the guest's code at sepc */
static bool decode_trapped(const struct vm *vm, struct mmio_access *access) {
    uint64_t tinst = vm->vcpu.htinst;
    if (vm->vcpu.scause == FETCH_GUEST_PAGE || pseudo(tinst))
        return false; /* the fetch itself, or a page table outside RAM */
    if (tinst & 1 && tinst >> 32 == 0)
        return !(tinst & ADDRESS_OFFSET) && decode((uint32_t)tinst | 2, tinst & 2 ? 4 : 2, access);
    uint32_t word = fetch_instruction(vm->vcpu.sepc);
    return (word & 3) == 3 ? decode(word, 4, access) : decode_compressed(word, access);
}

static const struct mmio_device *find(uint64_t gpa, unsigned size) {
    for (uint64_t i = 0; i < sizeof bus / sizeof bus[0]; i++)
        if (gpa >= bus[i]->base && gpa - bus[i]->base <= bus[i]->size - size)
            return bus[i];
    return 0;
}

/* what rd gets for the device's value */
static uint64_t extend(const struct mmio_access *access, uint64_t value) {
    unsigned unused = 64 - 8 * access->size;
    return access->is_signed ? (uint64_t)((int64_t)(value << unused) >> unused) : value << unused >> unused;
}

static bool perform(struct vm *vm, uint64_t gpa, const struct mmio_access *access) {
    const struct mmio_device *device = gpa % access->size == 0 ? find(gpa, access->size) : 0;
    struct mmio_access zero_extended = {.size = access->size};
    uint64_t value = 0, *x = vm->vcpu.x;
    if (device == 0)
        return false;
    if (access->store)
        return device->store(vm, gpa - device->base, access->size, extend(&zero_extended, x[access->reg]));
    if (!device->load(vm, gpa - device->base, access->size, &value))
        return false;
    if (access->reg != 0)
        x[access->reg] = extend(access, value);
    return true;
}

void mmio_emulate(struct vm *vm, uint64_t gpa) {
    struct mmio_access access;
    if (decode_trapped(vm, &access) && perform(vm, gpa, &access))
        vcpu_step_over(&vm->vcpu, access.length);
    else
        inject_exception(&vm->vcpu, access_fault(vm->vcpu.scause), vm->vcpu.stval);
}
