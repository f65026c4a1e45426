/* what programs and the compiler expect of a C library, written plainly */
#include "runtime.h"

void *memcpy(void *to, const void *from, size_t n) {
    uint8_t *t = to;
    const uint8_t *f = from;
    if ((((uintptr_t)t | (uintptr_t)f) & 7) == 0)
        for (; n >= 8; n -= 8, t += 8, f += 8)
            *(uint64_t *)t = *(const uint64_t *)f;
    for (; n > 0; n--)
        *t++ = *f++;
    return to;
}

void *memset(void *to, int byte, size_t n) {
    uint8_t *t = to;
    uint64_t word = 0x0101010101010101 * (uint8_t)byte;
    if (((uintptr_t)t & 7) == 0)
        for (; n >= 8; n -= 8, t += 8)
            *(uint64_t *)t = word;
    for (; n > 0; n--)
        *t++ = (uint8_t)byte;
    return to;
}

int strcmp(const char *a, const char *b) {
    while (*a != '\0' && *a == *b)
        a++, b++;
    return (uint8_t)*a - (uint8_t)*b;
}

/* CRC-32 (IEEE 802.3), four bits at a time; starts with 0 and can go on from what it gave */
uint32_t crc32(uint32_t crc, const void *data, size_t n) {
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    const uint8_t *byte = data;
    crc = ~crc;
    for (; n > 0; n--) {
        crc ^= *byte++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}
