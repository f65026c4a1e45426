/* the tasks. this file gets pages of its own (guest.ld) and must not call the kernel but by ecall */
#include "tasks.h"

static uint64_t syscall(uint64_t number, uint64_t arg0, uint64_t arg1) {
    register uint64_t a0 __asm__("a0") = arg0;
    register uint64_t a1 __asm__("a1") = arg1;
    register uint64_t a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a7) : "memory");
    return a0;
}

static void print(const char *text) {
    uint64_t length = 0;
    while (text[length] != '\0')
        length++;
    syscall(SYS_PRINT, (uint64_t)text, length);
}

static void print_result(const char *text, uint64_t value) {
    char line[PRINT_MAX], digits[20];
    uint64_t used = 0, count = 0;
    for (const char *prefix = "task "; *prefix != '\0';)
        line[used++] = *prefix++;
    line[used++] = (char)('0' + syscall(SYS_GETPID, 0, 0));
    line[used++] = ':';
    line[used++] = ' ';
    while (*text != '\0')
        line[used++] = *text++;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (count > 0)
        line[used++] = digits[--count];
    line[used++] = '\n';
    syscall(SYS_PRINT, (uint64_t)line, used);
}

/* the primes below 100000: fills its memory, and finds it as it left it */
void user_primes(uint8_t *composite) {
    const uint64_t limit = 100000;
    uint64_t count = 0;
    print("task 0: counting primes\n");
    for (uint64_t n = 2; n < limit; n++) {
        if (composite[n])
            continue;
        count++;
        for (uint64_t m = n * n; m < limit; m += n)
            composite[m] = 1;
        /* a polite task: gives way now and then */
        if (count % 1000 == 0)
            syscall(SYS_YIELD, 0, 0);
    }
    print_result("primes below 100000: ", count);
    syscall(SYS_EXIT, count, 0);
}

/* the CRC-32 of 64 KiB of pseudo-random bytes, a bit at a time */
void user_checksum(uint8_t *data) {
    const uint64_t length = 65536, polynomial = 0xedb88320;
    uint32_t random = 1, crc = ~0u;
    print("task 1: computing a checksum\n");
    for (uint64_t i = 0; i < length; i++) {
        random = random * 1664525 + 1013904223;
        data[i] = (uint8_t)(random >> 24);
    }
    for (uint64_t i = 0; i < length; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
    }
    crc = ~crc;
    print_result("CRC-32 of 65536 bytes: ", crc);
    syscall(SYS_EXIT, crc, 0);
}

/* the millionth fibonacci number, modulo a prime; its data page is never touched */
void user_fibonacci(uint8_t *data) {
    const uint64_t steps = 1000000, modulus = 1000000007;
    uint64_t a = 0, b = 1;
    (void)data;
    print("task 2: adding fibonacci numbers\n");
    /* the kernel must not read for a task what the task may not read itself */
    if (syscall(SYS_PRINT, 0x80200000, 16) != SYS_ERROR)
        print("task 2: the kernel printed its own memory for me\n");
    for (uint64_t i = 0; i < steps; i++) {
        uint64_t next = a + b;
        if (next >= modulus)
            next -= modulus;
        a = b;
        b = next;
    }
    print_result("fibonacci(1000000) mod 1000000007: ", a);
    syscall(SYS_EXIT, a, 0);
}
