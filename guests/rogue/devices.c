/* devices: registers of the wrong size or nowhere, and a virtqueue full of lies */
#include "console.h"
#include "memory.h"
#include "riscv.h"
#include "rogue.h"

/* holes in the machine's map, and what a host would keep for itself */
#define HOLE 0x09000000
#define HOST_CLINT 0x02000000
#define VIRTIO_SLOT_SIZE 0x1000

static void try_plic(uint64_t base, uint64_t size) {
    uint64_t machine_enable = base + PLIC_ENABLE, machine_claim = base + PLIC_CONTEXT + PLIC_CLAIM;
    report("PLIC, load of a byte", try_call(load8, base + 4, 0));
    report("PLIC, load of 8 bytes", try_call(load64, base + 8, 0));
    report("PLIC, misaligned load", try_call(load32, base + 6, 0));
    report("PLIC, store of a byte", try_call(store8, base + 4, 1));
    report("PLIC, store to the pending bits", try_call(store32, base + PLIC_PENDING, ~0U));
    report("PLIC, enable all for machine mode", try_call(store32, machine_enable, ~0U));
    report("PLIC, claim for machine mode", try_call(load32, machine_claim, 0));
    report("PLIC, complete a source that is none", try_call(store32, machine_claim, ~0U));
    report("PLIC, its last register", try_call(load32, base + size - 4, 0));
    report("PLIC, amoadd.w", try_call(amo32, base + 4, 1));
    /* leave it as it was */
    try_call(store32, machine_enable, 0);
}

static void try_registers(uint64_t base) {
    report("virtio, load of a byte", try_call(load8, base + VIRTIO_MAGIC_VALUE, 0));
    report("virtio, load of 8 bytes", try_call(load64, base + VIRTIO_MAGIC_VALUE, 0));
    report("virtio, misaligned load", try_call(load32, base + 2, 0));
    report("virtio, store of 8 bytes", try_call(store64, base + VIRTIO_QUEUE_DESC_LOW, ~0UL));
    report("virtio, store to a read-only register", try_call(store32, base + VIRTIO_MAGIC_VALUE, 0));
    report("virtio, load of a register that is none", try_call(load32, base + VIRTIO_SLOT_SIZE - 4, 0));
    report("virtio, load across the end of the device", try_call(load32, base + VIRTIO_SLOT_SIZE - 2, 0));
    report("virtio, amoadd.w", try_call(amo32, base + VIRTIO_STATUS, 1));
}

void try_mmio(void) {
    refuse_access("a hole between devices", HOLE);
    refuse_access("where a host has its CLINT", HOST_CLINT);
    if (machine.has_plic) {
        try_plic(machine.plic.base, machine.plic.size);
        refuse_access("behind the PLIC", machine.plic.base + machine.plic.size);
    }
    if (machine.has_console)
        try_registers(machine.console.base);
}

#define TRANSMIT_QUEUE 1
#define NO_SUCH_QUEUE 0xffff
#define POLL_LIMIT 1000

static struct virtq queue;
static const char refused_line[] = "(a line that a device should have refused)\n";
static const char good_line[] = "(a line through the virtio console)\n";

/* a working queue, to be corrupted */
static bool begin(void) {
    uint32_t features = 0;
    if (!virtio_negotiate(&machine.console, &features) || !virtio_setup_queue(&machine.console, TRANSMIT_QUEUE, &queue))
        return false;
    virtio_start(&machine.console);
    queue.desc[0] = (struct virtq_desc){(uint64_t)refused_line, sizeof refused_line - 1, 0, 0};
    return true;
}

enum answer { SILENCE, ACCEPTED, NEEDS_RESET };

static enum answer offer(uint16_t head) {
    uint16_t used = queue.used.idx;
    virtio_offer(&machine.console, TRANSMIT_QUEUE, &queue, head);
    for (int i = 0; i < POLL_LIMIT; i++) {
        if (virtio_read(&machine.console, VIRTIO_STATUS) & STATUS_DEVICE_NEEDS_RESET)
            return NEEDS_RESET;
        if (queue.used.idx != used)
            return ACCEPTED;
    }
    return SILENCE;
}

static const char *const answers[] = {"no answer", "accepted", "the device needs a reset"};

static void refuse_offer(const char *what, uint16_t head) {
    enum answer answer = offer(head);
    refuse_verdict(what, answers[answer], answer == NEEDS_RESET);
}

static void try_descriptor(const char *what, struct virtq_desc desc) {
    if (!begin())
        return;
    queue.desc[0] = desc;
    refuse_offer(what, 0);
}

static void try_head(const char *what, uint16_t head) {
    if (begin())
        refuse_offer(what, head);
}

/* a queue whose table or ring is set up at an address that is not ours */
static void try_ring(const char *what, uint64_t register_low, uint64_t gpa, bool while_ready) {
    if (!begin())
        return;
    if (!while_ready)
        virtio_write(&machine.console, VIRTIO_QUEUE_READY, 0);
    virtio_set_address(&machine.console, register_low, gpa);
    virtio_write(&machine.console, VIRTIO_QUEUE_READY, 1);
    enum answer answer = offer(0);
    /* a device that ignores the change of a queue in use has done no harm */
    refuse_verdict(what, answers[answer], answer == NEEDS_RESET || while_ready);
}

static void try_queue_size(const char *what, uint32_t size) {
    if (!begin())
        return;
    virtio_write(&machine.console, VIRTIO_QUEUE_READY, 0);
    virtio_write(&machine.console, VIRTIO_QUEUE_NUM, size);
    virtio_write(&machine.console, VIRTIO_QUEUE_READY, 1);
    note(what, answers[offer(0)]);
}

void try_virtqueue(void) {
    const uint64_t text = (uint64_t)refused_line, end = machine.ram_end;
    if (!machine.has_console) {
        printf("no virtio console: no virtqueue to corrupt\n");
        return;
    }
    try_descriptor("descriptors in a loop", (struct virtq_desc){text, 1, VIRTQ_DESC_F_NEXT, 0});
    try_descriptor("next descriptor past the table", (struct virtq_desc){text, 1, VIRTQ_DESC_F_NEXT, VIRTQ_SIZE});
    try_descriptor("buffer below memory", (struct virtq_desc){0x10000, 16, 0, 0});
    try_descriptor("buffer behind memory", (struct virtq_desc){end, 16, 0, 0});
    try_descriptor("buffer across the end of memory", (struct virtq_desc){end - 8, 16, 0, 0});
    try_descriptor("buffer of 4 GiB", (struct virtq_desc){machine.ram_base, ~0U, 0, 0});
    try_descriptor("buffer that wraps", (struct virtq_desc){~7UL, 16, 0, 0});
    try_descriptor("indirect table of a size that is none", (struct virtq_desc){text, 7, VIRTQ_DESC_F_INDIRECT, 0});
    try_descriptor("device-writable buffer to transmit", (struct virtq_desc){text, 16, VIRTQ_DESC_F_WRITE, 0});
    try_head("head index past the size", VIRTQ_SIZE);
    try_head("head index 65535", 0xffff);
    if (begin()) {
        queue.avail.idx += VIRTQ_SIZE;
        refuse_offer("more buffers than the queue has room for", 0);
    }
    try_ring("descriptor table outside memory", VIRTIO_QUEUE_DESC_LOW, end, false);
    try_ring("available ring outside memory", VIRTIO_QUEUE_DRIVER_LOW, ~1UL, false);
    try_ring("used ring outside memory", VIRTIO_QUEUE_DEVICE_LOW, end, false);
    try_ring("used ring moved outside memory while in use", VIRTIO_QUEUE_DEVICE_LOW, end, true);
    try_queue_size("queue of 3 entries", 3);
    try_queue_size("queue of 65535 entries", 0xffff);
    try_queue_size("queue of 0 entries", 0);
    if (begin()) {
        virtio_write(&machine.console, VIRTIO_QUEUE_SEL, NO_SUCH_QUEUE);
        virtio_write(&machine.console, VIRTIO_QUEUE_NUM, VIRTQ_SIZE);
        virtio_write(&machine.console, VIRTIO_QUEUE_READY, 1);
        virtio_write(&machine.console, VIRTIO_QUEUE_NOTIFY, NO_SUCH_QUEUE);
        printf("notifying a queue that is none: status %#x\n", virtio_read(&machine.console, VIRTIO_STATUS));
    }

    /* all it takes to be forgiven is a reset */
    if (begin()) {
        queue.desc[0] = (struct virtq_desc){(uint64_t)good_line, sizeof good_line - 1, 0, 0};
        note("a correct buffer after all this", answers[offer(0)]);
    }
    virtio_reset(&machine.console);
}
