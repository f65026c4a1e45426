/* disk: reads a whole virtio disk and prints its SHA-256; then changes the last block and puts it back */
#include "console.h"
#include "guest.h"
#include "memory.h"
#include "riscv.h"
#include "sbi.h"
#include "sha256.h"
#include "trap.h"
#include "virtio_blk.h"

static struct virtio_blk blk;
static _Alignas(4096) uint8_t buffer[BLK_MAX_SECTORS * SECTOR_SIZE];

struct trap_frame *on_trap(struct trap_frame *frame) {
    uint64_t scause = csr_read(scause);
    if (scause == (SCAUSE_INTERRUPT | IRQ_S_EXT)) {
        blk_interrupt(&blk);
        return frame;
    }
    printf("unexpected trap: %s, sepc %#lx, stval %#lx\n", cause_name(scause), frame->sepc, csr_read(stval));
    sbi_power_off(SRST_REASON_FAILURE);
}

static bool ok(enum blk_status status, const char *what, uint64_t sector) {
    if (status != BLK_OK)
        printf("%s of sector %lu failed: status %u\n", what, sector, status);
    return status == BLK_OK;
}

static bool print_sum(void) {
    struct sha256 sha;
    uint8_t digest[SHA256_DIGEST];
    sha256_begin(&sha);
    for (uint64_t sector = 0; sector < blk.capacity; sector += BLK_MAX_SECTORS) {
        uint64_t left = blk.capacity - sector, count = left < BLK_MAX_SECTORS ? left : BLK_MAX_SECTORS;
        if (!ok(blk_read(&blk, sector, buffer, count), "reading", sector))
            return false;
        sha256_add(&sha, buffer, count * SECTOR_SIZE);
    }
    sha256_end(&sha, digest);
    printf("sha256 ");
    for (int i = 0; i < SHA256_DIGEST; i++)
        printf("%02x", digest[i]);
    printf("  (%lu sectors)\n", blk.capacity);
    return true;
}

/* writes a block, and reads it back into buffer to compare */
static bool write_and_compare(uint64_t sector, const uint8_t *data) {
    if (!ok(blk_write(&blk, sector, data, 1), "writing", sector) || !ok(blk_flush(&blk), "flushing", sector))
        return false;
    memset(buffer, 0, SECTOR_SIZE);
    if (!ok(blk_read(&blk, sector, buffer, 1), "reading back", sector))
        return false;
    if (memcmp(buffer, data, SECTOR_SIZE) != 0) {
        printf("sector %lu is not what was written\n", sector);
        return false;
    }
    return true;
}

static bool test_write(void) {
    static uint8_t saved[SECTOR_SIZE], pattern[SECTOR_SIZE];
    uint64_t last = blk.capacity - 1;
    if (!ok(blk_read(&blk, last, saved, 1), "reading", last))
        return false;
    for (uint64_t i = 0; i < SECTOR_SIZE; i++)
        pattern[i] = (uint8_t)(~saved[i] + i);
    bool written = write_and_compare(last, pattern);
    /* whatever happened: the disk ends as it was */
    bool restored = write_and_compare(last, saved);
    if (written && restored)
        printf("sector %lu: saved, overwritten, read back, restored\n", last);
    return written && restored;
}

int guest_main(uint64_t hartid, const void *fdt) {
    (void)hartid;
    const char *problem = blk_open(&blk, fdt);
    if (problem != 0) {
        printf("%s\n", problem);
        return SRST_REASON_FAILURE;
    }
    printf("disk of %lu bytes%s, interrupt %u\n", blk.capacity * SECTOR_SIZE, blk.read_only ? ", read-only" : "",
           blk.device.irq);
    if (!print_sum())
        return SRST_REASON_FAILURE;
    if (blk.capacity == 0 || blk.read_only)
        printf("nothing to write to\n");
    else if (!test_write())
        return SRST_REASON_FAILURE;
    printf("done\n");
    return SRST_REASON_NONE;
}
