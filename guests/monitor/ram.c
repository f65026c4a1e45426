#include "ram.h"

#include "memory.h"
#include "vm.h"

static uint64_t min(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t rest_of_page(uint64_t gpa) { return PAGE_SIZE - gpa % PAGE_SIZE; }

bool ram_covers(const struct vm *vm, uint64_t gpa, uint64_t n) {
    return gpa >= RAM_BASE && gpa - RAM_BASE <= vm->memory_size && n <= vm->memory_size - (gpa - RAM_BASE);
}

bool ram_read(const struct vm *vm, uint64_t gpa, void *to, uint64_t n) {
    if (!ram_covers(vm, gpa, n))
        return false;
    for (uint64_t take; n > 0; gpa += take, n -= take) {
        uint64_t spa = gstage_frame(&vm->gstage, gpa);
        take = min(n, rest_of_page(gpa));
        if (spa == 0)
            memset(to, 0, take);
        else
            memcpy(to, (const void *)(spa + gpa % PAGE_SIZE), take);
        to = (uint8_t *)to + take;
    }
    return true;
}

bool ram_write(struct vm *vm, uint64_t gpa, const void *from, uint64_t n) {
    if (!ram_covers(vm, gpa, n))
        return false;
    for (uint64_t take; n > 0; gpa += take, n -= take) {
        uint64_t spa = gstage_map(&vm->gstage, gpa);
        take = min(n, rest_of_page(gpa));
        if (spa == 0) {
            vm_stop(vm, true, "out of host frames: all of the machine's memory is in use");
            return false;
        }
        memcpy((void *)(spa + gpa % PAGE_SIZE), from, take);
        from = (const uint8_t *)from + take;
    }
    return true;
}
