#include "memory.h"

/* the barriers keep the compiler from turning these loops into calls of themselves */
#define BARRIER() __asm__ volatile("" : : : "memory")

void *memset(void *to, int byte, size_t length) {
    for (size_t i = 0; i < length; i++) {
        ((unsigned char *)to)[i] = (unsigned char)byte;
        BARRIER();
    }
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t length) {
    for (size_t i = 0; i < length; i++) {
        ((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
        BARRIER();
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t length) {
    const unsigned char *x = a, *y = b;
    for (size_t i = 0; i < length; i++)
        if (x[i] != y[i])
            return x[i] - y[i];
    return 0;
}

int strcmp(const char *a, const char *b) {
    while (*a != '\0' && *a == *b)
        a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

size_t strlen(const char *text) {
    size_t length = 0;
    for (; text[length] != '\0'; length++)
        BARRIER();
    return length;
}
