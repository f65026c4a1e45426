/* SHA-256 (FIPS 180-4), over data that arrives in pieces */
#ifndef SHA256_H
#define SHA256_H

#include <stdint.h>

#define SHA256_BLOCK 64
#define SHA256_DIGEST 32

struct sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes so far */
    uint8_t block[SHA256_BLOCK];
};

void sha256_begin(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const uint8_t *data, uint64_t length);
void sha256_end(struct sha256 *sha, uint8_t digest[SHA256_DIGEST]);

#endif
