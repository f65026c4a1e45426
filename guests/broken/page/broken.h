/* what the kernel and its task agree on */
#ifndef BROKEN_H
#define BROKEN_H

#include <stdint.h>

#define ARRAY 0x10000000UL
#define ARRAY_PAGES 16
#define ARRAY_SUM 3355033600UL /* of 0 to 8191, 100 times */
#define STACK_TOP 0x20000000UL

/* user.c: fills the array and sums it, again and again; runs in U-mode */
void user_sum(volatile uint64_t *array);

#endif
