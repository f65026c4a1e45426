/* who runs next, and for how long (twin: hv/scheduler.py) */
#ifndef SCHEDULER_H
#define SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#define SLICE_TICKS 10000 /* 1 ms: the million steps of the Python hypervisor */

/* round robin: the index of one of `ready`, of which at least one is true */
uint64_t scheduler_pick(const bool *ready, uint64_t count);

#endif
