#include "scheduler.h"

uint64_t scheduler_pick(const bool *ready, uint64_t count) {
    static uint64_t next;
    while (!ready[next % count])
        next++;
    return next++ % count;
}
