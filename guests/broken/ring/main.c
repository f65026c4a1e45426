/* broken-ring: asks the entropy device for bytes and keeps a log, which ends up in the wrong place. find it with rvhv debug */
#include "console.h"
#include "guest.h"
#include "memory.h"
#include "plic.h"
#include "riscv.h"
#include "sbi.h"
#include "trap.h"
#include "virtio.h"

#define VIRTIO_ID_ENTROPY 4
#define REQUESTS 40
#define LOG_SIZE 256

static struct {
    char log[LOG_SIZE];
    struct virtq queue;
} shared;

static struct virtio_device device;
static struct plic plic;
static volatile bool interrupted;
static uint64_t log_used;
static uint8_t bytes[16];

/* the log wraps around when it is full */
static void log_add(const char *text) {
    uint64_t length = strlen(text);
    if (log_used > LOG_SIZE)
        log_used = 0;
    memcpy(shared.log + log_used, text, length);
    log_used += length;
}

struct trap_frame *on_trap(struct trap_frame *frame) {
    uint64_t scause = csr_read(scause);
    if (scause != (SCAUSE_INTERRUPT | IRQ_S_EXT)) {
        printf("broken-ring: unexpected trap: %s, sepc %#lx, stval %#lx\n", cause_name(scause), frame->sepc,
               csr_read(stval));
        sbi_power_off(SRST_REASON_FAILURE);
    }
    uint32_t source = plic_claim(&plic);
    if (source == device.irq) {
        virtio_write(&device, VIRTIO_INTERRUPT_ACK, virtio_read(&device, VIRTIO_INTERRUPT_STATUS));
        interrupted = true;
    }
    if (source != 0)
        plic_complete(&plic, source);
    return frame;
}

static void ask(uint16_t head) {
    uint16_t used = shared.queue.used.idx;
    shared.queue.desc[head].flags = VIRTQ_DESC_F_WRITE; /* the rest of the descriptor stays as it was made */
    virtio_offer(&device, 0, &shared.queue, head);
    log_add("asked ");
    while (shared.queue.used.idx == used) {
        while (!interrupted) {
            wfi();
            csr_set(sstatus, SSTATUS_SIE);
            csr_clear(sstatus, SSTATUS_SIE);
        }
        interrupted = false;
    }
    log_add("answered ");
}

int guest_main(uint64_t hartid, const void *fdt) {
    (void)hartid;
    uint32_t features = 0;
    if (!virtio_find(fdt, VIRTIO_ID_ENTROPY, &device) || !plic_find(fdt, &plic) ||
        !virtio_negotiate(&device, &features) || !virtio_setup_queue(&device, 0, &shared.queue)) {
        printf("broken-ring: there is no entropy device that works\n");
        return SRST_REASON_FAILURE;
    }
    for (uint16_t i = 0; i < VIRTQ_SIZE; i++)
        shared.queue.desc[i] = (struct virtq_desc){(uint64_t)bytes, sizeof bytes, VIRTQ_DESC_F_WRITE, 0};
    virtio_start(&device);
    plic_enable(&plic, device.irq);
    csr_set(sie, SIE_SEIE);
    printf("broken-ring: %u requests for entropy\n", REQUESTS);
    for (uint16_t i = 0; i < REQUESTS; i++)
        ask(i % VIRTQ_SIZE);
    printf("broken-ring: done\n");
    return SRST_REASON_NONE;
}
