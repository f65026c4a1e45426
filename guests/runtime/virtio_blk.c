#include "virtio_blk.h"

#include "riscv.h"

#define VIRTIO_BLK_F_RO (1u << 5)
#define VIRTIO_BLK_F_FLUSH (1u << 9)
#define VIRTIO_BLK_T_IN 0
#define VIRTIO_BLK_T_OUT 1
#define VIRTIO_BLK_T_FLUSH 4
#define BLK_QUEUE 0

struct header {
    uint32_t type, reserved;
    uint64_t sector;
};

_Static_assert(BLK_MAX_SEGMENTS + 2 <= VIRTQ_SIZE, "a request is a header, its segments and a status");

/* 64 bits in two reads: the generation tells whether they belong together */
static uint64_t read_capacity(const struct virtio_device *device) {
    for (;;) {
        uint32_t generation = virtio_read(device, VIRTIO_CONFIG_GENERATION);
        uint64_t low = virtio_read(device, VIRTIO_CONFIG), high = virtio_read(device, VIRTIO_CONFIG + 4);
        if (virtio_read(device, VIRTIO_CONFIG_GENERATION) == generation)
            return high << 32 | low;
    }
}

const char *blk_open(struct virtio_blk *blk, const void *fdt) {
    uint32_t features = VIRTIO_BLK_F_RO | VIRTIO_BLK_F_FLUSH;
    if (!virtio_find(fdt, VIRTIO_ID_BLOCK, &blk->device))
        return "there is no disk: no virtio-mmio block device (version 2) in the device tree";
    if (!plic_find(fdt, &blk->plic) || blk->device.irq == 0)
        return "the disk cannot interrupt: no PLIC, or no interrupt for it, in the device tree";
    if (!virtio_negotiate(&blk->device, &features))
        return "the disk does not accept the features of virtio 1";
    if (!virtio_setup_queue(&blk->device, BLK_QUEUE, &blk->queue))
        return "the disk's queue is too small";
    blk->read_only = features & VIRTIO_BLK_F_RO;
    blk->can_flush = features & VIRTIO_BLK_F_FLUSH;
    virtio_start(&blk->device);
    blk->capacity = read_capacity(&blk->device);
    plic_enable(&blk->plic, blk->device.irq);
    csr_set(sie, SIE_SEIE);
    return 0;
}

void blk_interrupt(struct virtio_blk *blk) {
    uint32_t source = plic_claim(&blk->plic);
    if (source == 0)
        return;
    if (source == blk->device.irq) {
        virtio_write(&blk->device, VIRTIO_INTERRUPT_ACK, virtio_read(&blk->device, VIRTIO_INTERRUPT_STATUS));
        blk->interrupted = true;
    }
    plic_complete(&blk->plic, source);
}

/* interrupts stay off but for a moment after wfi: one that comes between the test and the wfi still ends the wfi */
static void wait_for_interrupt(struct virtio_blk *blk) {
    while (!blk->interrupted) {
        wfi();
        csr_set(sstatus, SSTATUS_SIE);
        csr_clear(sstatus, SSTATUS_SIE);
    }
    blk->interrupted = false;
}

static enum blk_status request(struct virtio_blk *blk, uint32_t type, uint64_t sector, uint64_t data, uint64_t size) {
    struct header header = {.type = type, .sector = sector};
    volatile uint8_t status = BLK_NO_ANSWER;
    struct virtq_desc *desc = blk->queue.desc;
    uint16_t count = 0, used = blk->queue.used.idx;

    desc[count++] = (struct virtq_desc){(uint64_t)&header, sizeof header, VIRTQ_DESC_F_NEXT, 1};
    while (size > 0) {
        uint64_t take = size < BLK_SEGMENT_SIZE ? size : BLK_SEGMENT_SIZE;
        uint16_t flags = VIRTQ_DESC_F_NEXT | (type == VIRTIO_BLK_T_IN ? VIRTQ_DESC_F_WRITE : 0);
        desc[count] = (struct virtq_desc){data, (uint32_t)take, flags, (uint16_t)(count + 1)};
        count++;
        data += take;
        size -= take;
    }
    desc[count] = (struct virtq_desc){(uint64_t)&status, 1, VIRTQ_DESC_F_WRITE, 0};

    virtio_offer(&blk->device, BLK_QUEUE, &blk->queue, 0);
    while (blk->queue.used.idx == used)
        wait_for_interrupt(blk);
    /* used.idx first, then what the device wrote before it */
    fence();
    return status;
}

enum blk_status blk_read(struct virtio_blk *blk, uint64_t sector, void *data, uint64_t sectors) {
    return request(blk, VIRTIO_BLK_T_IN, sector, (uint64_t)data, sectors * SECTOR_SIZE);
}

enum blk_status blk_write(struct virtio_blk *blk, uint64_t sector, const void *data, uint64_t sectors) {
    return request(blk, VIRTIO_BLK_T_OUT, sector, (uint64_t)data, sectors * SECTOR_SIZE);
}

enum blk_status blk_flush(struct virtio_blk *blk) {
    return blk->can_flush ? request(blk, VIRTIO_BLK_T_FLUSH, 0, 0, 0) : BLK_OK;
}
