/* the task. this file gets pages of its own (guest.ld) and must not call the kernel but by ecall */
#include "broken.h"

#define COUNT (ARRAY_PAGES * 4096 / sizeof(uint64_t))
#define ROUNDS 100

void user_sum(volatile uint64_t *array) {
    uint64_t sum = 0;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (uint64_t i = 0; i < COUNT; i++)
            array[i] = i;
        for (uint64_t i = 0; i < COUNT; i++)
            sum += array[i];
    }
    register uint64_t a0 __asm__("a0") = sum;
    __asm__ volatile("ecall" : : "r"(a0) : "memory");
    __builtin_unreachable();
}
