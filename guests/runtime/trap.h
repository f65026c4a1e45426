/* traps: the frame that trap.S saves, and the handler a guest may provide */
#ifndef TRAP_H
#define TRAP_H

/* trap.S knows these offsets: x0's slot holds sepc, sstatus comes last */
#define FRAME_SEPC 0
#define FRAME_SSTATUS 256
#define FRAME_SIZE 272

#ifndef __ASSEMBLER__
#include <stdint.h>

enum { RA = 1, SP = 2, A0 = 10, A1 = 11, A2 = 12, A7 = 17 };

struct trap_frame {
    union {
        uint64_t x[32];
        uint64_t sepc; /* x0 needs no slot */
    };
    uint64_t sstatus;
    uint64_t pad; /* keeps the stack aligned to 16 bytes */
};
_Static_assert(sizeof(struct trap_frame) == FRAME_SIZE, "trap.S relies on this");

/* a guest's handler: returns the frame to go on with. without one, a trap ends the guest */
struct trap_frame *on_trap(struct trap_frame *frame);

/* leaves the kernel for the code that this frame describes */
_Noreturn void trap_resume(struct trap_frame *frame);

const char *cause_name(uint64_t scause);
#endif

#endif
