#include "console.h"

#include <stdarg.h>
#include <stdbool.h>

#include "sbi.h"

/* a line is one SBI call; satp is 0 or the kernel mapped identically, so that its address is a gpa */
static char line[256];
static uint64_t used;

static void flush(void) {
    static enum { UNKNOWN, DBCN, LEGACY } kind;
    if (kind == UNKNOWN)
        kind = sbi_probe(SBI_EXT_DBCN) ? DBCN : LEGACY;

    uint64_t done = 0;
    while (kind == DBCN && done < used) {
        /* the host may take less than all of it */
        struct sbi_ret ret = sbi_call(SBI_EXT_DBCN, DBCN_WRITE, used - done, (uint64_t)line + done, 0);
        if (ret.error != SBI_SUCCESS)
            kind = LEGACY;
        else
            done += ret.value;
    }
    while (done < used)
        sbi_call(SBI_EXT_LEGACY_PUTCHAR, 0, (uint8_t)line[done++], 0, 0);
    used = 0;
}

static void put(char c) {
    line[used++] = c;
    if (c == '\n' || used == sizeof line)
        flush();
}

void console_write(const char *text, uint64_t length) {
    while (length-- > 0)
        put(*text++);
}

struct spec {
    bool left, zero, alternate, is_long;
    uint64_t width;
};

static void put_padded(const char *text, uint64_t length, const struct spec *spec) {
    uint64_t pad = spec->width > length ? spec->width - length : 0;
    for (uint64_t i = 0; !spec->left && i < pad; i++)
        put(' ');
    console_write(text, length);
    for (uint64_t i = 0; spec->left && i < pad; i++)
        put(' ');
}

static void put_number(uint64_t value, bool negative, unsigned base, struct spec *spec) {
    char digits[80];
    char *end = digits + sizeof digits, *at = end;
    uint64_t prefix = (negative ? 1 : 0) + (spec->alternate ? 2 : 0);
    do {
        *--at = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    while (spec->zero && (uint64_t)(end - at) + prefix < spec->width && at > digits + 3)
        *--at = '0';
    if (spec->alternate) {
        *--at = 'x';
        *--at = '0';
    }
    if (negative)
        *--at = '-';
    put_padded(at, (uint64_t)(end - at), spec);
}

void printf(const char *format, ...) {
    va_list args;
    va_start(args, format);
    for (; *format != '\0'; format++) {
        if (*format != '%') {
            put(*format);
            continue;
        }
        struct spec spec = {0};
        for (format++;; format++) {
            if (*format == '-')
                spec.left = true;
            else if (*format == '0')
                spec.zero = true;
            else if (*format == '#')
                spec.alternate = true;
            else
                break;
        }
        for (; *format >= '0' && *format <= '9'; format++)
            spec.width = spec.width * 10 + (uint64_t)(*format - '0');
        for (; *format == 'l'; format++)
            spec.is_long = true;

        switch (*format) {
        case 'd': {
            int64_t value = spec.is_long ? va_arg(args, int64_t) : va_arg(args, int);
            put_number(value < 0 ? -(uint64_t)value : (uint64_t)value, value < 0, 10, &spec);
            break;
        }
        case 'u':
            put_number(spec.is_long ? va_arg(args, uint64_t) : va_arg(args, unsigned), false, 10, &spec);
            break;
        case 'x':
            put_number(spec.is_long ? va_arg(args, uint64_t) : va_arg(args, unsigned), false, 16, &spec);
            break;
        case 'c': {
            char c = (char)va_arg(args, int);
            put_padded(&c, 1, &spec);
            break;
        }
        case 's': {
            const char *text = va_arg(args, const char *);
            uint64_t length = 0;
            while (text[length] != '\0')
                length++;
            put_padded(text, length, &spec);
            break;
        }
        case '\0':
            format--; /* a lone % at the end */
            break;
        default:
            put(*format);
        }
    }
    va_end(args);
}
