#include "virtio.h"

#include "memory.h"
#include "ram.h"
#include "vm.h"

/* registers, in bytes from the base (virtio 1.2, "MMIO Device Register Layout") */
enum {
    MAGIC_VALUE = 0x000,
    VERSION = 0x004,
    DEVICE_ID = 0x008,
    VENDOR_ID = 0x00c,
    DEVICE_FEATURES = 0x010,
    DEVICE_FEATURES_SEL = 0x014,
    DRIVER_FEATURES = 0x020,
    DRIVER_FEATURES_SEL = 0x024,
    QUEUE_SEL = 0x030,
    QUEUE_NUM_MAX = 0x034,
    QUEUE_NUM = 0x038,
    QUEUE_READY = 0x044,
    QUEUE_NOTIFY = 0x050,
    INTERRUPT_STATUS = 0x060,
    INTERRUPT_ACK = 0x064,
    STATUS = 0x070,
    QUEUE_DESC = 0x080, /* low, and high behind it */
    QUEUE_DRIVER = 0x090,
    QUEUE_DEVICE = 0x0a0,
    SHM_LEN = 0x0b0, /* of a region that does not exist: -1, and its base too */
    CONFIG = 0x100,
};
#define MAGIC 0x74726976  /* "virt" */
#define VENDOR 0x76687672 /* "rvhv" */
#define CONSOLE_ID 3
#define TRANSMITQ 1
#define QUEUE_SIZE 64u
#define OUTSIDE "the three parts of a queue lie in guest memory"
#define MAX_OUTPUT (1u << 16) /* bytes of one chain */

#define FEATURE_VERSION_1 (1UL << 32)
enum { DRIVER_OK = 4, FEATURES_OK = 8, DEVICE_NEEDS_RESET = 64, DRIVER_BITS = 0x8f };
enum { USED_BUFFER = 1, CONFIG_CHANGE = 2 };
enum { DESC_F_NEXT = 1, DESC_F_WRITE = 2, DESC_F_INDIRECT = 4, AVAIL_F_NO_INTERRUPT = 1 };

struct descriptor {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

void virtio_reset(struct virtio_console *console) { memset(console, 0, sizeof *console); }

static void set_interrupts(struct vm *vm, uint32_t bits) {
    vm->virtio_console.interrupts = bits;
    plic_set_level(vm, VIRTIO_CONSOLE_SOURCE, bits != 0);
}

/* the driver broke a rule: the device does nothing more until it is reset, and says so */
static void broken(struct vm *vm, const char *rule) {
    struct virtio_console *console = &vm->virtio_console;
    if (console->status & DEVICE_NEEDS_RESET)
        return;
    console->status |= DEVICE_NEEDS_RESET;
    say("%s: virtio console: %s", vm->name, rule);
    if (console->status & DRIVER_OK)
        set_interrupts(vm, console->interrupts | CONFIG_CHANGE);
}

/* the chain that begins at `head`, checked as a whole before a byte of it is used; 0, or the rule that it breaks */
static const char *read_chain(struct vm *vm, const struct virtqueue *queue, uint16_t head, struct descriptor *chain,
                              uint32_t *links) {
    struct descriptor desc = {.flags = DESC_F_NEXT, .next = head};
    uint64_t total = 0;
    for (*links = 0; desc.flags & DESC_F_NEXT; chain[(*links)++] = desc) {
        if (*links == queue->size)
            return "a descriptor chain must not contain a loop";
        if (desc.next >= queue->size)
            return "a descriptor's number is one of the table's";
        if (!ram_read(vm, queue->desc + desc.next * sizeof desc, &desc, sizeof desc))
            return OUTSIDE;
        if (desc.flags & (DESC_F_WRITE | DESC_F_INDIRECT))
            return "a transmit buffer is only read, and INDIRECT was not negotiated";
        if (!ram_covers(vm, desc.addr, desc.len))
            return "a buffer lies in guest memory";
        if ((total += desc.len) > MAX_OUTPUT)
            return "more was transmitted at once than the device takes";
    }
    return 0;
}

static const char *print_chain(struct vm *vm, const struct virtqueue *queue, uint16_t head) {
    struct descriptor chain[QUEUE_SIZE];
    uint8_t part[256];
    uint32_t links;
    const char *rule = read_chain(vm, queue, head, chain, &links);
    for (uint32_t i = 0; rule == 0 && i < links; i++)
        for (uint32_t done = 0, take; done < chain[i].len; done += take) {
            take = chain[i].len - done < sizeof part ? chain[i].len - done : sizeof part;
            ram_read(vm, chain[i].addr + done, part, take);
            console_write(&vm->console, part, take);
        }
    return rule;
}

/* serve the transmit queue, as a notification asks for */
static void kick(struct vm *vm, uint64_t index) {
    struct virtio_console *console = &vm->virtio_console;
    struct virtqueue *queue = &console->queue[TRANSMITQ];
    uint16_t avail[2], used_idx, head; /* flags, idx */
    bool any = false;
    if (index != TRANSMITQ || !queue->ready || (console->status & (DRIVER_OK | DEVICE_NEEDS_RESET)) != DRIVER_OK)
        return;
    if (!ram_read(vm, queue->avail, avail, sizeof avail) ||
        !ram_read(vm, queue->used + 2, &used_idx, sizeof used_idx)) {
        broken(vm, OUTSIDE);
        return;
    }
    if ((uint16_t)(avail[1] - queue->seen) > queue->size) {
        broken(vm, "a driver has at most as many chains available as the queue has entries");
        return;
    }
    for (; queue->seen != avail[1]; queue->seen++, used_idx++, any = true) {
        const char *rule = OUTSIDE;
        if (ram_read(vm, queue->avail + 4 + 2 * (queue->seen % queue->size), &head, sizeof head))
            rule = print_chain(vm, queue, head);
        uint32_t element[2] = {head, 0};
        uint16_t next_idx = (uint16_t)(used_idx + 1);
        if (rule == 0 && (!ram_write(vm, queue->used + 4 + 8 * (used_idx % queue->size), element, sizeof element) ||
                          !ram_write(vm, queue->used + 2, &next_idx, sizeof next_idx)))
            rule = OUTSIDE;
        if (rule != 0) {
            broken(vm, rule);
            return;
        }
    }
    if (any && !(avail[0] & AVAIL_F_NO_INTERRUPT))
        set_interrupts(vm, console->interrupts | USED_BUFFER);
}

static void write_status(struct vm *vm, uint32_t value) {
    struct virtio_console *console = &vm->virtio_console;
    if (value == 0) {
        set_interrupts(vm, 0);
        virtio_reset(console);
        return;
    }
    uint32_t new = value & DRIVER_BITS & ~console->status;
    if (new & FEATURES_OK && console->driver_features != FEATURE_VERSION_1)
        new &= ~(uint32_t)FEATURES_OK; /* the driver reads the status back and finds out */
    if (new & DRIVER_OK && !((console->status | new) & FEATURES_OK)) {
        broken(vm, "a driver sets FEATURES_OK before it sets DRIVER_OK");
        return;
    }
    console->status |= new;
    if (new & DRIVER_OK)
        kick(vm, TRANSMITQ); /* what was made available before counts from now on */
}

static void set_ready(struct vm *vm, struct virtqueue *queue, bool ready) {
    if (ready && !queue->ready) {
        if (!(vm->virtio_console.status & FEATURES_OK))
            return broken(vm, "a driver sets FEATURES_OK before it sets up queues");
        if (queue->size == 0 || queue->size > QUEUE_SIZE || (queue->size & (queue->size - 1)) != 0)
            return broken(vm, "a queue's size is a power of two, at least 1 and at most QueueNumMax");
        if (queue->desc % 16 != 0 || queue->avail % 2 != 0 || queue->used % 4 != 0)
            return broken(vm, "the descriptor table is aligned to 16 bytes, the available ring to 2, the used to 4");
        queue->seen = 0;
    }
    queue->ready = ready;
}

static void set_half(uint64_t *whole, bool high, uint32_t value) {
    *whole = high ? (*whole & 0xffffffff) | (uint64_t)value << 32 : (*whole & ~0xffffffffUL) | value;
}

static bool load(struct vm *vm, uint64_t offset, unsigned size, uint64_t *value) {
    const struct virtio_console *console = &vm->virtio_console;
    const struct virtqueue *queue = console->queue_sel < VIRTIO_QUEUES ? &console->queue[console->queue_sel] : 0;
    if (offset >= CONFIG)
        return true; /* the console has no configuration space: zeros */
    if (size != 4)
        return false;
    switch (offset) {
    case MAGIC_VALUE:
        *value = MAGIC;
        break;
    case VERSION:
        *value = 2;
        break;
    case DEVICE_ID:
        *value = CONSOLE_ID;
        break;
    case VENDOR_ID:
        *value = VENDOR;
        break;
    case DEVICE_FEATURES:
        *value = console->device_features_sel == 1 ? FEATURE_VERSION_1 >> 32 : 0;
        break;
    case QUEUE_NUM_MAX:
        *value = queue != 0 ? QUEUE_SIZE : 0;
        break;
    case QUEUE_READY:
        *value = queue != 0 && queue->ready;
        break;
    case INTERRUPT_STATUS:
        *value = console->interrupts;
        break;
    case STATUS:
        *value = console->status;
        break;
    case SHM_LEN:
    case SHM_LEN + 4:
    case SHM_LEN + 8:
    case SHM_LEN + 12:
        *value = 0xffffffff;
        break;
    }
    return true;
}

static bool store(struct vm *vm, uint64_t offset, unsigned size, uint64_t wide) {
    struct virtio_console *console = &vm->virtio_console;
    struct virtqueue *queue = console->queue_sel < VIRTIO_QUEUES ? &console->queue[console->queue_sel] : 0;
    uint32_t value = (uint32_t)wide;
    if (offset >= CONFIG)
        return true; /* it ignores what is written there */
    if (size != 4)
        return false;
    switch (offset) {
    case DEVICE_FEATURES_SEL:
        console->device_features_sel = value;
        return true;
    case DRIVER_FEATURES_SEL:
        console->driver_features_sel = value;
        return true;
    case DRIVER_FEATURES:
        if (console->driver_features_sel < 2 && !(console->status & FEATURES_OK))
            set_half(&console->driver_features, console->driver_features_sel, value);
        return true;
    case QUEUE_SEL:
        console->queue_sel = value;
        return true;
    case QUEUE_NOTIFY:
        kick(vm, value);
        return true;
    case INTERRUPT_ACK:
        set_interrupts(vm, console->interrupts & ~value);
        return true;
    case STATUS:
        write_status(vm, value);
        return true;
    }
    if (queue == 0)
        return true;
    if (offset == QUEUE_READY) {
        set_ready(vm, queue, value & 1);
        return true;
    }
    uint64_t unused, *part = offset == QUEUE_NUM               ? &unused
                             : (offset & ~4UL) == QUEUE_DESC   ? &queue->desc
                             : (offset & ~4UL) == QUEUE_DRIVER ? &queue->avail
                             : (offset & ~4UL) == QUEUE_DEVICE ? &queue->used
                                                               : 0;
    if (part == 0)
        return true;
    if (queue->ready)
        broken(vm, "a driver must not change the size or the addresses of a ready queue");
    else if (offset == QUEUE_NUM)
        queue->size = value;
    else
        set_half(part, offset & 4, value);
    return true;
}

/* a slot without a device has the number 0, which drivers pass over */
static bool load_empty(struct vm *vm, uint64_t offset, unsigned size, uint64_t *value) {
    (void)vm;
    *value = offset == MAGIC_VALUE ? MAGIC : offset == VERSION ? 2 : 0;
    return size == 4;
}

static bool store_empty(struct vm *vm, uint64_t offset, unsigned size, uint64_t value) {
    (void)vm, (void)offset, (void)value;
    return size == 4;
}

const struct mmio_device virtio_console_device = {"virtio console", 0x10001000, 0x1000, load, store};
const struct mmio_device virtio_empty_device = {"virtio slot 2", 0x10003000, 0x1000, load_empty, store_empty};
