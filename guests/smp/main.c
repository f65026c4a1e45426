/* smp: two harts on a bare machine. they wake each other with software interrupts, count under a lock, take a timer's and a
   device's interrupt; hart 0 prints through the UART and powers off through the finisher */
#include <stdbool.h>

#include "board.h"
#include "riscv.h"

#define ROUNDS 1000
#define COUNTS 20000
#define PATIENCE 3000000 /* ticks to wait for the other hart: 300 ms */
#define TIMER_TICKS 1000

static volatile bool arrived;                        /* hart 1 is here */
static volatile uint32_t woken[2];                   /* software interrupts that each hart has taken */
static volatile uint64_t timer_at;                   /* when hart 0's timer interrupt came */
static volatile uint32_t claimed;                    /* the source of the device interrupt that hart 1 took */
static volatile enum { BALL, LOCK, DEVICE } playing; /* what hart 1 is to do next */
static volatile bool done;                           /* hart 1 has done it */
static uint32_t lock;
static uint64_t counted; /* guarded by the lock */
static uint64_t added;   /* by AMOs */

static void print(const char *text) {
    for (; *text != '\0'; text++) {
        while (!(read8(UART + LSR) & LSR_THR_EMPTY))
            ;
        write8(UART + THR, (uint8_t)*text);
    }
}

static void print_number(uint64_t value) {
    char digits[21], *at = digits + 20;
    *at = '\0';
    do
        *--at = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    print(at);
}

static _Noreturn void power_off(uint32_t status) {
    write32(FINISHER, status);
    for (;;)
        wfi();
}

static _Noreturn void fail(const char *why) {
    print("smp: ");
    print(why);
    print("\n");
    power_off(1 << 16 | FINISHER_FAIL);
}

static void send_ipi(uint64_t hart) { write32(CLINT_MSIP(hart), 1); }

void on_trap(uint64_t mcause, uint64_t mepc) {
    uint64_t hart = csr_read(mhartid);
    (void)mepc;
    switch (mcause) {
    case MCAUSE_INTERRUPT | IRQ_M_SOFT:
        write32(CLINT_MSIP(hart), 0);
        woken[hart]++;
        break;
    case MCAUSE_INTERRUPT | IRQ_M_TIMER:
        timer_at = read64(CLINT_MTIME);
        write64(CLINT_MTIMECMP(hart), ~0UL);
        break;
    case MCAUSE_INTERRUPT | IRQ_M_EXT: {
        uint32_t source = read32(PLIC_CLAIM(hart));
        if (source == UART_SOURCE) {
            read8(UART + IIR); /* seen */
            write8(UART + IER, 0);
        }
        claimed = source;
        write32(PLIC_CLAIM(hart), source);
        break;
    }
    default:
        fail("an exception that nobody expected");
    }
}

/* sleeps until the counter is past `seen`; interrupts are taken only inside */
static void wait_past(volatile uint32_t *counter, uint32_t seen) {
    while (*counter == seen) {
        csr_clear(mstatus, MSTATUS_MIE);
        if (*counter == seen)
            wfi(); /* wakes for an interrupt that pends, whatever mstatus.MIE says */
        csr_set(mstatus, MSTATUS_MIE);
    }
}

static void acquire(void) {
    uint32_t old;
    do {
        /* an SC fails when another hart has stored in between */
        __asm__ volatile("1: lr.w.aq %0, (%1)\n"
                         "bnez %0, 1b\n"
                         "sc.w.rl %0, %2, (%1)"
                         : "=&r"(old)
                         : "r"(&lock), "r"(1)
                         : "memory");
    } while (old != 0);
}

static void release(void) { __asm__ volatile("amoswap.w.rl zero, zero, (%0)" : : "r"(&lock) : "memory"); }

static void count(void) {
    for (int i = 0; i < COUNTS; i++) {
        acquire();
        counted++;
        release();
        __asm__ volatile("amoadd.d zero, %1, (%0)" : : "r"(&added), "r"(1UL) : "memory");
    }
}

static void wait_done(void) {
    while (!done)
        ;
    done = false;
}

static void hart0(void) {
    uint64_t start = rdtime();
    while (!arrived)
        if (rdtime() - start > PATIENCE)
            fail("hart 1 did not come: two harts are needed");
    print("smp: two harts are here\n");

    for (uint32_t i = 0; i < ROUNDS; i++) {
        send_ipi(1);
        wait_past(&woken[0], i);
    }
    print("smp: ");
    print_number(woken[0] + woken[1]);
    print(" software interrupts went back and forth\n");

    playing = LOCK;
    fence();
    send_ipi(1);
    count();
    wait_done();
    print("smp: both counted to ");
    print_number(counted);
    print(" under a lock, and to ");
    print_number(added);
    print(" without one\n");
    if (counted != 2 * COUNTS || added != 2 * COUNTS)
        fail("that is not what they should have counted");

    uint64_t due = read64(CLINT_MTIME) + TIMER_TICKS;
    write64(CLINT_MTIMECMP(0), due); /* first: what it holds after reset may be long ago */
    csr_set(mie, 1 << IRQ_M_TIMER);
    while (timer_at == 0)
        ;
    print(timer_at >= due ? "smp: the timer interrupted hart 0, and not early\n" : "smp: the timer was early\n");

    playing = DEVICE;
    fence();
    send_ipi(1);
    wait_done();
    print("smp: hart 1 took interrupt ");
    print_number(claimed);
    print(" of the PLIC\n");
    if (claimed != UART_SOURCE || timer_at < due)
        fail("that is not as it should be");
    print("smp: done\n");
    power_off(FINISHER_PASS);
}

static void hart1(void) {
    arrived = true;
    for (uint32_t seen = 0;; seen++) {
        wait_past(&woken[1], seen);
        switch (playing) {
        case BALL:
            send_ipi(0);
            break;
        case LOCK:
            count();
            done = true;
            break;
        case DEVICE:
            /* the UART's transmitter is empty: enabling its interrupt raises it at once */
            write32(PLIC_PRIORITY(UART_SOURCE), 1);
            write32(PLIC_ENABLE(1), 1u << UART_SOURCE);
            write32(PLIC_THRESHOLD(1), 0);
            csr_set(mie, 1 << IRQ_M_EXT);
            write8(UART + IER, IER_THR_EMPTY);
            while (claimed == 0)
                ;
            done = true;
            break;
        }
    }
}

void hart_main(uint64_t hart) {
    csr_set(mie, 1 << IRQ_M_SOFT);
    csr_set(mstatus, MSTATUS_MIE);
    if (hart == 0)
        hart0();
    else
        hart1();
}
