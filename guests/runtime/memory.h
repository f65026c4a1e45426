/* the few functions of string.h that compilers expect to exist */
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>

void *memset(void *to, int byte, size_t length);
void *memcpy(void *restrict to, const void *restrict from, size_t length);
int memcmp(const void *a, const void *b, size_t length);
int strcmp(const char *a, const char *b);
size_t strlen(const char *text);

#endif
