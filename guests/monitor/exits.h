/* exits: their names, how many there were, and what they cost us (twins: hv/exits.py, hv/trace.py) */
#ifndef EXITS_H
#define EXITS_H

#include "registers.h"

struct vm;

#define EXIT_KINDS (CAUSES + 1) /* exceptions by code, and the timer's interrupt */

/* what a value of scause means, in the manual's words */
const char *cause_text(uint64_t scause);

/* the VM on the hart has just trapped to us */
void exits_note(struct vm *vm);

/* its guest, or a neighbour, was entered since: what lies between was the last exit's handling */
void exits_charge(const struct vm *vm);

/* one line a cause: how many by VM, and the instructions that handling one took us */
void exits_report(const struct vm *vms, uint64_t count);

#endif
