#include "virtio.h"

#include "fdt.h"
#include "memory.h"
#include "riscv.h"

uint32_t virtio_read(const struct virtio_device *device, uint64_t offset) { return mmio_read32(device->base + offset); }

void virtio_write(const struct virtio_device *device, uint64_t offset, uint32_t value) {
    mmio_write32(device->base + offset, value);
}

bool virtio_find(const void *fdt, uint32_t device_id, struct virtio_device *device) {
    struct fdt_node node;
    uint64_t size;
    for (bool more = fdt_begin(fdt, &node); more; more = fdt_next(&node)) {
        if (!fdt_has(&node, "compatible", "virtio,mmio") || !fdt_reg(&node, &device->base, &size))
            continue;
        if (!fdt_u32(&node, "interrupts", 0, &device->irq))
            device->irq = 0;
        if (virtio_read(device, VIRTIO_MAGIC_VALUE) == VIRTIO_MAGIC &&
            virtio_read(device, VIRTIO_VERSION) == VIRTIO_MODERN && virtio_read(device, VIRTIO_DEVICE_ID) == device_id)
            return true;
    }
    return false;
}

static void add_status(const struct virtio_device *device, uint32_t bits) {
    virtio_write(device, VIRTIO_STATUS, virtio_read(device, VIRTIO_STATUS) | bits);
}

void virtio_reset(const struct virtio_device *device) {
    virtio_write(device, VIRTIO_STATUS, 0);
    while (virtio_read(device, VIRTIO_STATUS) != 0)
        ;
}

bool virtio_negotiate(const struct virtio_device *device, uint32_t *features) {
    virtio_reset(device);
    add_status(device, STATUS_ACKNOWLEDGE);
    add_status(device, STATUS_DRIVER);
    virtio_write(device, VIRTIO_DEVICE_FEATURES_SEL, 0);
    *features &= virtio_read(device, VIRTIO_DEVICE_FEATURES);
    virtio_write(device, VIRTIO_DRIVER_FEATURES_SEL, 0);
    virtio_write(device, VIRTIO_DRIVER_FEATURES, *features);
    virtio_write(device, VIRTIO_DRIVER_FEATURES_SEL, 1);
    virtio_write(device, VIRTIO_DRIVER_FEATURES, VIRTIO_F_VERSION_1);
    add_status(device, STATUS_FEATURES_OK);
    /* the device clears the bit again if it will not work like this */
    return virtio_read(device, VIRTIO_STATUS) & STATUS_FEATURES_OK;
}

void virtio_set_address(const struct virtio_device *device, uint64_t register_low, uint64_t gpa) {
    virtio_write(device, register_low, (uint32_t)gpa);
    virtio_write(device, register_low + 4, (uint32_t)(gpa >> 32));
}

bool virtio_setup_queue(const struct virtio_device *device, uint32_t index, struct virtq *queue) {
    memset(queue, 0, sizeof *queue);
    virtio_write(device, VIRTIO_QUEUE_SEL, index);
    if (virtio_read(device, VIRTIO_QUEUE_NUM_MAX) < VIRTQ_SIZE)
        return false;
    virtio_write(device, VIRTIO_QUEUE_NUM, VIRTQ_SIZE);
    virtio_set_address(device, VIRTIO_QUEUE_DESC_LOW, (uint64_t)queue->desc);
    virtio_set_address(device, VIRTIO_QUEUE_DRIVER_LOW, (uint64_t)&queue->avail);
    virtio_set_address(device, VIRTIO_QUEUE_DEVICE_LOW, (uint64_t)&queue->used);
    virtio_write(device, VIRTIO_QUEUE_READY, 1);
    return true;
}

void virtio_start(const struct virtio_device *device) { add_status(device, STATUS_DRIVER_OK); }

void virtio_offer(const struct virtio_device *device, uint32_t index, struct virtq *queue, uint16_t head) {
    queue->avail.ring[queue->avail.idx % VIRTQ_SIZE] = head;
    /* the device must see the chain before the index, and the index before the notification */
    fence();
    *(volatile uint16_t *)&queue->avail.idx = (uint16_t)(queue->avail.idx + 1);
    fence();
    virtio_write(device, VIRTIO_QUEUE_NOTIFY, index);
}
