/* a virtio disk that interrupts through the PLIC */
#ifndef VIRTIO_BLK_H
#define VIRTIO_BLK_H

#include <stdbool.h>
#include <stdint.h>

#include "plic.h"
#include "virtio.h"

#define SECTOR_SIZE 512UL

/* a request's data goes out in segments of at most this many bytes, each with its own descriptor */
#define BLK_SEGMENT_SIZE 8192UL
#define BLK_MAX_SEGMENTS 4
#define BLK_MAX_SECTORS (BLK_SEGMENT_SIZE * BLK_MAX_SEGMENTS / SECTOR_SIZE)

struct virtio_blk {
    struct virtio_device device;
    struct plic plic;
    struct virtq queue;
    uint64_t capacity; /* sectors */
    bool read_only, can_flush;
    volatile bool interrupted;
};

enum blk_status { BLK_OK = 0, BLK_IOERR = 1, BLK_UNSUPP = 2, BLK_NO_ANSWER = 0xff };

/* 0, or one sentence that says what is missing */
const char *blk_open(struct virtio_blk *blk, const void *fdt);
void blk_interrupt(struct virtio_blk *blk); /* to be called for a supervisor external interrupt */

/* up to BLK_MAX_SECTORS; sleeps until the device is done */
enum blk_status blk_read(struct virtio_blk *blk, uint64_t sector, void *data, uint64_t sectors);
enum blk_status blk_write(struct virtio_blk *blk, uint64_t sector, const void *data, uint64_t sectors);
enum blk_status blk_flush(struct virtio_blk *blk);

#endif
