/* a VM's RAM by guest physical address: what devices, SBI calls and the image loader read and write (twin: hv/ram.py)
 */
#ifndef RAM_H
#define RAM_H

#include <stdbool.h>
#include <stdint.h>

struct vm;

/* whether all `n` bytes at `gpa` are RAM; `n` is any number a guest may come up with */
bool ram_covers(const struct vm *vm, uint64_t gpa, uint64_t n);

/* false, with nothing done, when any byte is not RAM; a read of an untouched page gives zeros */
bool ram_read(const struct vm *vm, uint64_t gpa, void *to, uint64_t n);

/* the same; a write gives untouched pages a frame, and stops the VM when there are none left */
bool ram_write(struct vm *vm, uint64_t gpa, const void *from, uint64_t n);

#endif
