/* virtio over mmio (version 2) with split queues, from the driver's side */
#ifndef VIRTIO_H
#define VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

/* registers, in bytes from the base */
#define VIRTIO_MAGIC_VALUE 0x000
#define VIRTIO_VERSION 0x004
#define VIRTIO_DEVICE_ID 0x008
#define VIRTIO_DEVICE_FEATURES 0x010
#define VIRTIO_DEVICE_FEATURES_SEL 0x014
#define VIRTIO_DRIVER_FEATURES 0x020
#define VIRTIO_DRIVER_FEATURES_SEL 0x024
#define VIRTIO_QUEUE_SEL 0x030
#define VIRTIO_QUEUE_NUM_MAX 0x034
#define VIRTIO_QUEUE_NUM 0x038
#define VIRTIO_QUEUE_READY 0x044
#define VIRTIO_QUEUE_NOTIFY 0x050
#define VIRTIO_INTERRUPT_STATUS 0x060
#define VIRTIO_INTERRUPT_ACK 0x064
#define VIRTIO_STATUS 0x070
#define VIRTIO_QUEUE_DESC_LOW 0x080
#define VIRTIO_QUEUE_DRIVER_LOW 0x090
#define VIRTIO_QUEUE_DEVICE_LOW 0x0a0
#define VIRTIO_CONFIG_GENERATION 0x0fc
#define VIRTIO_CONFIG 0x100

#define VIRTIO_MAGIC 0x74726976 /* "virt" */
#define VIRTIO_MODERN 2
#define VIRTIO_ID_BLOCK 2
#define VIRTIO_ID_CONSOLE 3

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER 2
#define STATUS_DRIVER_OK 4
#define STATUS_FEATURES_OK 8
#define STATUS_DEVICE_NEEDS_RESET 64

/* a bit of the upper half of the features */
#define VIRTIO_F_VERSION_1 (1u << (32 - 32))

#define VIRTQ_DESC_F_NEXT 1
#define VIRTQ_DESC_F_WRITE 2
#define VIRTQ_DESC_F_INDIRECT 4
#define VIRTQ_SIZE 8

struct virtq_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

struct virtq {
    _Alignas(16) struct virtq_desc desc[VIRTQ_SIZE];
    struct {
        uint16_t flags, idx, ring[VIRTQ_SIZE];
    } avail;
    _Alignas(4) volatile struct {
        uint16_t flags, idx;
        struct {
            uint32_t id, len;
        } ring[VIRTQ_SIZE];
    } used;
};

struct virtio_device {
    uint64_t base;
    uint32_t irq;
};

uint32_t virtio_read(const struct virtio_device *device, uint64_t offset);
void virtio_write(const struct virtio_device *device, uint64_t offset, uint32_t value);

/* the first modern device of this kind in the device tree */
bool virtio_find(const void *fdt, uint32_t device_id, struct virtio_device *device);
void virtio_reset(const struct virtio_device *device);
/* resets the device and negotiates: *features (bits 31:0) is what the driver can use, and becomes what both can */
bool virtio_negotiate(const struct virtio_device *device, uint32_t *features);
/* makes an empty queue of VIRTQ_SIZE */
bool virtio_setup_queue(const struct virtio_device *device, uint32_t index, struct virtq *queue);
void virtio_set_address(const struct virtio_device *device, uint64_t register_low, uint64_t gpa);
void virtio_start(const struct virtio_device *device);
/* offers the chain that begins at head, and notifies */
void virtio_offer(const struct virtio_device *device, uint32_t index, struct virtq *queue, uint16_t head);

#endif
