/* broken-irq: counts the interrupts of the entropy device, and loses one for good. find it with rvhv debug */
#include "console.h"
#include "guest.h"
#include "plic.h"
#include "riscv.h"
#include "sbi.h"
#include "trap.h"
#include "virtio.h"

#define VIRTIO_ID_ENTROPY 4
#define ROUNDS 20

static struct virtio_device device;
static struct plic plic;
static struct virtq queue;
static volatile uint16_t answered;
static uint8_t bytes[64];

/* one interrupt may tell of several answers, or of one that was seen already */
static void interrupt(void) {
    uint32_t source = plic_claim(&plic);
    if (source != device.irq)
        return;
    virtio_write(&device, VIRTIO_INTERRUPT_ACK, virtio_read(&device, VIRTIO_INTERRUPT_STATUS));
    if (queue.used.idx == answered)
        return; /* nothing new */
    answered = queue.used.idx;
    plic_complete(&plic, source);
}

struct trap_frame *on_trap(struct trap_frame *frame) {
    uint64_t scause = csr_read(scause);
    if (scause == (SCAUSE_INTERRUPT | IRQ_S_EXT)) {
        interrupt();
        return frame;
    }
    printf("broken-irq: unexpected trap: %s, sepc %#lx, stval %#lx\n", cause_name(scause), frame->sepc,
           csr_read(stval));
    sbi_power_off(SRST_REASON_FAILURE);
}

static void ask(uint16_t head) {
    queue.desc[head] = (struct virtq_desc){(uint64_t)bytes, sizeof bytes, VIRTQ_DESC_F_WRITE, 0};
    virtio_offer(&device, 0, &queue, head);
}

static void wait_for(uint16_t wanted) {
    do {
        if (answered != wanted)
            wfi();
        csr_set(sstatus, SSTATUS_SIE);
        csr_clear(sstatus, SSTATUS_SIE);
    } while (answered != wanted);
}

int guest_main(uint64_t hartid, const void *fdt) {
    (void)hartid;
    uint32_t features = 0;
    if (!virtio_find(fdt, VIRTIO_ID_ENTROPY, &device) || !plic_find(fdt, &plic) ||
        !virtio_negotiate(&device, &features) || !virtio_setup_queue(&device, 0, &queue)) {
        printf("broken-irq: there is no entropy device that works\n");
        return SRST_REASON_FAILURE;
    }
    virtio_start(&device);
    plic_enable(&plic, device.irq);
    csr_set(sie, SIE_SEIE);
    printf("broken-irq: %u rounds with the entropy device\n", ROUNDS);
    uint16_t asked = 0;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        ask(asked++ % VIRTQ_SIZE);
        /* every eighth answer is polled for, which is faster */
        if (round % 8 == 7)
            answered = queue.used.idx;
        wait_for(asked);
    }
    printf("broken-irq: done\n");
    return SRST_REASON_NONE;
}
