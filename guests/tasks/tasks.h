/* what the kernel and its user tasks agree on */
#ifndef TASKS_H
#define TASKS_H

#include <stdint.h>

/* system calls: number in a7, arguments in a0 and a1, result in a0 */
#define SYS_GETPID 0
#define SYS_YIELD 1
#define SYS_PRINT 2 /* text, length */
#define SYS_EXIT 3  /* result */
#define SYS_ERROR (~0UL)

/* every task sees its own memory at the same addresses */
#define USER_DATA 0x10000000UL
#define USER_DATA_PAGES 25
#define USER_STACK_TOP 0x20000000UL
#define USER_STACK_PAGES 2
#define PRINT_MAX 128

/* user.c: the three programs, run in U-mode */
void user_primes(uint8_t *data);
void user_checksum(uint8_t *data);
void user_fibonacci(uint8_t *data);

#endif
