#include "console.h"

#include "board.h"
#include "memory.h"

#define TAB_STOP 8
#define NUMBER_SIZE 32

uint64_t console_name_width;

static void put(char c) {
    while (!(read8(UART + LSR) & LSR_THR_EMPTY))
        ;
    write8(UART + THR, (uint8_t)c);
}

static void put_text(const char *text) {
    while (*text != '\0')
        put(*text++);
}

static void show(struct console *console) {
    uint64_t length = console->used, column = 0;
    while (length > 0 && console->line[length - 1] == '\r')
        length--;
    put_text(console->name);
    for (uint64_t i = strlen(console->name); i < console_name_width; i++)
        put(' ');
    put_text(" │ ");
    for (uint64_t i = 0; i < length; i++, column++) {
        uint8_t c = (uint8_t)console->line[i];
        if (c == '\t') {
            for (put(' '); (column + 1) % TAB_STOP != 0; column++)
                put(' ');
        } else if (c >= ' ' && c < 0x7f) {
            put((char)c);
        } else { /* a guest's text is data: what acts on a terminal becomes visible */
            put_text("\\x");
            put("0123456789abcdef"[c >> 4]);
            put("0123456789abcdef"[c & 15]);
        }
    }
    put('\n');
    console->used = 0;
}

void console_init(struct console *console, const char *name) {
    console->name = name;
    console->used = 0;
}

void console_write(struct console *console, const void *data, uint64_t n) {
    for (const char *at = data; n > 0; at++, n--) {
        if (*at != '\n')
            console->line[console->used++] = *at;
        if (*at == '\n' || console->used == LONGEST_LINE)
            show(console);
    }
}

void console_finish(struct console *console) {
    if (console->used > 0)
        show(console);
}

/* the text of a number in base 10 (with commas, if asked to) or 16 (with 0x); it ends at the end of `buffer` */
static const char *number(char buffer[NUMBER_SIZE], uint64_t value, unsigned base, bool commas) {
    char *at = buffer + NUMBER_SIZE - 1;
    uint64_t digits = 0;
    *at = '\0';
    do {
        if (commas && digits > 0 && digits % 3 == 0)
            *--at = ',';
        *--at = "0123456789abcdef"[value % base];
        value /= base, digits++;
    } while (value != 0);
    if (base == 16)
        *--at = 'x', *--at = '0';
    return at;
}

void format_text(char *to, uint64_t size, const char *format, va_list args) {
    char digits[NUMBER_SIZE], *last = to + size - 1;
    for (; *format != '\0' && to < last; format++) {
        if (*format != '%') {
            *to++ = *format;
            continue;
        }
        const char *text = "%";
        switch (*++format) {
        case 's':
            text = va_arg(args, const char *);
            break;
        case 'u':
            text = number(digits, va_arg(args, uint64_t), 10, false);
            break;
        case 'n':
            text = number(digits, va_arg(args, uint64_t), 10, true);
            break;
        case 'x':
            text = number(digits, va_arg(args, uint64_t), 16, false);
            break;
        }
        while (*text != '\0' && to < last)
            *to++ = *text++;
    }
    *to = '\0';
}

void append_text(char *to, uint64_t size, const char *format, ...) {
    uint64_t used = strlen(to);
    va_list args;
    va_start(args, format);
    format_text(to + used, size - used, format, args);
    va_end(args);
}

void say(const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    format_text(text, sizeof text, format, args);
    va_end(args);
    put_text("monitor: ");
    put_text(text);
    put('\n');
}
