/* reading an instruction of the guest on the hart (twin: hv/fetch.py) */
#ifndef FETCH_H
#define FETCH_H

#include <stdint.h>

/* the 16- or 32-bit instruction at `gva`; 0, which is none, when it cannot be read */
uint32_t fetch_instruction(uint64_t gva);

#endif
