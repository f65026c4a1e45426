/* the consoles of all VMs on the machine's UART, line by line, each line under its VM's name (twins: hv/console.py for
   what a VM prints, cli/consoles.py for how it is shown) */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define LONGEST_LINE 1024

struct console {
    const char *name;
    char line[LONGEST_LINE];
    uint64_t used;
};

void console_init(struct console *console, const char *name);
/* everything a VM prints, by SBI call or virtio device, goes through here */
void console_write(struct console *console, const void *data, uint64_t n);
/* shows what is left of an unfinished line */
void console_finish(struct console *console);
/* names are padded to this width, so that the bars stand in one column */
extern uint64_t console_name_width;

/* what the monitor itself has to say: one line. %s, %u (64 bits), %n (64 bits with commas), %x (64 bits, with 0x) */
void say(const char *format, ...);
void format_text(char *to, uint64_t size, const char *format, va_list args);
/* the same, behind the text that is there */
void append_text(char *to, uint64_t size, const char *format, ...);

#endif
