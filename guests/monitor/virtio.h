/* the virtio-mmio slots of a VM: a console in slot 0 that prints, and a slot with nothing in it (twins:
   rvhv/virtio/mmio.py, queue.py, console.py) */
#ifndef MONITOR_VIRTIO_H
#define MONITOR_VIRTIO_H

#include "mmio.h"

#define VIRTIO_CONSOLE_SOURCE 1
#define VIRTIO_EMPTY_SOURCE 3 /* slot 2: the Python hypervisor has an entropy device there */
#define VIRTIO_QUEUES 2       /* receive, which stays empty: nobody types; transmit */

struct virtqueue {
    uint32_t size;
    bool ready;
    uint16_t seen; /* of the available ring's idx */
    uint64_t desc, avail, used;
};

struct virtio_console {
    uint32_t status, interrupts, device_features_sel, driver_features_sel, queue_sel;
    uint64_t driver_features;
    struct virtqueue queue[VIRTIO_QUEUES];
};

extern const struct mmio_device virtio_console_device, virtio_empty_device;

void virtio_reset(struct virtio_console *console);

#endif
