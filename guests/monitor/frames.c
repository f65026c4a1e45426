#include "frames.h"

#include "riscv.h"

static uint64_t next, end;  /* never used so far */
static uint64_t given_back; /* the first of a list: each free frame begins with the spa of the next */

void frames_init(uint64_t start, uint64_t limit) {
    next = (start + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    end = limit & ~(PAGE_SIZE - 1);
}

static void zero(uint64_t spa, uint64_t bytes) {
    for (uint64_t *at = (uint64_t *)spa; at < (uint64_t *)(spa + bytes); at += 4)
        at[0] = at[1] = at[2] = at[3] = 0;
}

uint64_t frames_alloc(uint64_t count, uint64_t align) {
    uint64_t spa = given_back;
    if (count == 1 && spa != 0) {
        given_back = *(uint64_t *)spa;
    } else {
        while (next % (align * PAGE_SIZE) != 0 && next < end)
            frames_free(next, 1), next += PAGE_SIZE;
        spa = next;
        if (spa >= end || end - spa < count * PAGE_SIZE)
            return 0;
        next += count * PAGE_SIZE;
    }
    zero(spa, count * PAGE_SIZE);
    return spa;
}

void frames_free(uint64_t spa, uint64_t count) {
    for (; count > 0; count--, spa += PAGE_SIZE) {
        *(uint64_t *)spa = given_back;
        given_back = spa;
    }
}
