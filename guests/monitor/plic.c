#include "plic.h"

#include "vm.h"

/* register areas, in bytes from the base */
enum {
    PRIORITY = 0,
    PENDING = 0x1000,
    ENABLE = 0x2000,
    ENABLE_STRIDE = 0x80,
    CONTEXT = 0x200000,
    CONTEXT_STRIDE = 0x1000,
    THRESHOLD = 0,
    CLAIM_COMPLETE = 4,
};
#define PRIORITY_MASK 7u
#define SOURCE_MASK (~1u) /* there is no source 0 */
#define S_CONTEXT 1

/* the pending and enabled source that wins, the lowest of equal ones; 0 if none */
static uint32_t best(const struct plic *plic, uint64_t context) {
    uint32_t candidates = plic->pending & plic->enable[context], winner = 0;
    for (uint32_t source = 1; source <= PLIC_SOURCES; source++)
        if (candidates >> source & 1 && plic->priority[source] > plic->priority[winner])
            winner = source;
    return winner;
}

static void update(struct vm *vm) {
    struct plic *plic = &vm->plic;
    uint32_t requests = plic->level & ~plic->in_flight & ~plic->pending;
    plic->pending |= requests;
    plic->in_flight |= requests;
    vcpu_set_external(&vm->vcpu, plic->priority[best(plic, S_CONTEXT)] > plic->threshold[S_CONTEXT]);
}

void plic_set_level(struct vm *vm, unsigned source, bool level) {
    vm->plic.level = level ? vm->plic.level | 1u << source : vm->plic.level & ~(1u << source);
    update(vm);
}

static uint32_t claim(struct vm *vm, uint64_t context) {
    uint32_t source = best(&vm->plic, context);
    vm->plic.pending &= ~(1u << source);
    update(vm);
    return source;
}

static bool load(struct vm *vm, uint64_t offset, unsigned size, uint64_t *value) {
    const struct plic *plic = &vm->plic;
    uint64_t context;
    if (size != 4)
        return false;
    if (offset < PENDING)
        *value = offset / 4 <= PLIC_SOURCES ? plic->priority[offset / 4] : 0;
    else if (offset < ENABLE)
        *value = offset == PENDING ? plic->pending : 0;
    else if (offset < CONTEXT)
        context = (offset - ENABLE) / ENABLE_STRIDE,
        *value = context < PLIC_CONTEXTS && offset % ENABLE_STRIDE == 0 ? plic->enable[context] : 0;
    else if ((context = (offset - CONTEXT) / CONTEXT_STRIDE) < PLIC_CONTEXTS)
        *value = offset % CONTEXT_STRIDE == THRESHOLD        ? plic->threshold[context]
                 : offset % CONTEXT_STRIDE == CLAIM_COMPLETE ? claim(vm, context)
                                                             : 0;
    return true;
}

static bool store(struct vm *vm, uint64_t offset, unsigned size, uint64_t value) {
    struct plic *plic = &vm->plic;
    uint64_t context;
    if (size != 4)
        return false;
    if (offset < PENDING) {
        if (offset >= 4 && offset / 4 <= PLIC_SOURCES)
            plic->priority[offset / 4] = value & PRIORITY_MASK;
    } else if (offset >= ENABLE && offset < CONTEXT) {
        context = (offset - ENABLE) / ENABLE_STRIDE;
        if (context < PLIC_CONTEXTS && offset % ENABLE_STRIDE == 0)
            plic->enable[context] = (uint32_t)value & SOURCE_MASK;
    } else if (offset >= CONTEXT && (context = (offset - CONTEXT) / CONTEXT_STRIDE) < PLIC_CONTEXTS) {
        if (offset % CONTEXT_STRIDE == THRESHOLD)
            plic->threshold[context] = value & PRIORITY_MASK;
        else if (offset % CONTEXT_STRIDE == CLAIM_COMPLETE && value <= PLIC_SOURCES &&
                 plic->enable[context] >> value & 1)
            plic->in_flight &= ~(1u << value); /* a completion of what is not enabled is ignored */
    }
    update(vm);
    return true;
}

const struct mmio_device plic_device = {"plic", 0x0c000000, 0x600000, load, store};
