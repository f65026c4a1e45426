/* giving a guest an exception: the trap entry to VS-mode that the hart would have made (twin: hv/inject.py) */
#ifndef INJECT_H
#define INJECT_H

#include "vcpu.h"

/* the instruction at sepc traps into VS-mode; the next entry goes to vstvec (norm:H_trap_vs_csrwrites) */
void inject_exception(struct vcpu *vcpu, uint64_t cause, uint64_t tval);

/* what a guest gets for an instruction that we do not emulate */
void inject_illegal_instruction(struct vcpu *vcpu);

#endif
