/* the console: whole lines, through SBI */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdint.h>

/* %s %c %d %u %x with l, #, -, 0 and a width */
__attribute__((format(printf, 1, 2))) void printf(const char *format, ...);
void console_write(const char *text, uint64_t length);

#endif
