/* memory: the primes below 2^24 by a sieve of 8 MiB, whose strides leave every page behind, and copies of it over another 8 MiB */
#include "runtime.h"

#define HALF (8UL << 20) /* bytes; byte i stands for the odd number 2i + 1 */
#define WORDS (HALF / 8)
#define COPIES 4

const char bench_name[] = "memory";
const uint64_t bench_rounds = 4;
const uint64_t bench_expected = 0xa67344ddda86e0f6;

static union {
    uint8_t composite[HALF];
    uint64_t words[WORDS];
} sieve, copy;

static void cross_out(void) {
    sieve.composite[0] = 1; /* 1 is no prime */
    for (uint64_t p = 3; p * p < 2 * HALF; p += 2)
        if (!sieve.composite[p / 2])
            for (uint64_t i = p * p / 2; i < HALF; i += p)
                sieve.composite[i] = 1;
}

uint64_t bench_round(void) {
    uint64_t sum = 0, primes = 1; /* 2 */
    memset(sieve.composite, 0, HALF);
    cross_out();
    for (int i = 0; i < COPIES; i++) {
        memcpy(copy.words + 512 * i, sieve.words, HALF - 4096 * (uint64_t)i);
        memcpy(sieve.words, copy.words + 512 * i, HALF - 4096 * (uint64_t)i);
    }
    for (uint64_t i = 0; i < WORDS; i++)
        sum = (sum ^ copy.words[i]) * 0x9e3779b97f4a7c15;
    for (uint64_t i = 0; i < HALF; i++)
        primes += !sieve.composite[i];
    return sum ^ primes;
}
