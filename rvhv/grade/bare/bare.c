/* what a part in C is linked with: its machine is a hart in HS-mode of which nothing else runs. an ecall asks the judge, a7 says what */
#include <stddef.h>
#include <stdint.h>

enum { RETURN, FRAMES_ALLOC, FRAMES_FREE, NOT_WRITTEN }; /* twin: rvhv/grade/cpart.py */

static uint64_t ask(uint64_t what, uint64_t first, uint64_t second) {
    register uint64_t a0 __asm__("a0") = first;
    register uint64_t a1 __asm__("a1") = second;
    register uint64_t a7 __asm__("a7") = what;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a7) : "memory");
    return a0;
}

uint64_t frames_alloc(uint64_t count, uint64_t align) { return ask(FRAMES_ALLOC, count, align); }
void frames_free(uint64_t spa, uint64_t count) { ask(FRAMES_FREE, spa, count); }
_Noreturn void not_written(void) {
    for (;;)
        ask(NOT_WRITTEN, 0, 0);
}
void lab_return(uint64_t value) { ask(RETURN, value, 0); }

void *memset(void *to, int value, size_t size) {
    for (size_t i = 0; i < size; i++)
        ((volatile unsigned char *)to)[i] = (unsigned char)value;
    return to;
}

void *memcpy(void *to, const void *from, size_t size) {
    for (size_t i = 0; i < size; i++)
        ((volatile unsigned char *)to)[i] = ((const unsigned char *)from)[i];
    return to;
}
