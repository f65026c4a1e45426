/* 4 KiB frames of the machine's RAM (twin: machine/memory.py, FrameAllocator) */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdint.h>

void frames_init(uint64_t start, uint64_t end);
/* the spa of `count` zeroed contiguous frames (align in frames), or 0 */
uint64_t frames_alloc(uint64_t count, uint64_t align);
void frames_free(uint64_t spa, uint64_t count);

#endif
