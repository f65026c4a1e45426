/* what the runtime asks of a guest, and the symbols of its linker script */
#ifndef GUEST_H
#define GUEST_H

#include <stdint.h>

/* the guest: returns 0 to power off, anything else to power off as a failure */
int guest_main(uint64_t hartid, const void *fdt);

extern char _image_start[], _user_text_start[], _user_text_end[], _rodata_start[], _user_rodata_start[],
    _user_rodata_end[], _data_start[], _image_end[];

#endif
