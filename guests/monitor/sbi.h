/* the SBI that a guest sees (twins: hv/sbi.py and rvhv/sbi, one file an extension) */
#ifndef GUEST_SBI_H
#define GUEST_SBI_H

struct vm;

/* serve the ecall that trapped: arguments in a0.., FID in a6, EID in a7; error in a0, value in a1 */
void sbi_call(struct vm *vm);

#endif
