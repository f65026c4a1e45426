#include "vm.h"

#include <stdarg.h>

#include "ram.h"

#define TREE_ROOM 8192

static bool load(struct vm *vm, const struct image *image) {
    for (uint64_t i = 0; i < image->segments; i++) {
        const struct segment *segment = &image->segment[i];
        if (!ram_covers(vm, segment->addr, segment->memsz)) {
            vm_stop(vm, true, "a segment of its image at %x lies outside its memory", segment->addr);
            return false;
        }
        if (!ram_write(vm, segment->addr, segment->data, segment->filesz))
            return false;
    }
    return true;
}

bool vm_power_on(struct vm *vm, const struct image *image, const void *machine_tree) {
    static uint8_t tree[TREE_ROOM];
    console_init(&vm->console, vm->name);
    if (!gstage_init(&vm->gstage)) {
        vm_stop(vm, true, "out of host frames");
        return false;
    }
    uint64_t size = guest_device_tree(vm, machine_tree, tree, sizeof tree);
    if (size == 0) {
        vm_stop(vm, true, "its device tree does not fit into %u bytes", sizeof tree);
        return false;
    }
    if (!ram_write(vm, RAM_BASE, tree, size) || !load(vm, image))
        return false;
    virtio_reset(&vm->virtio_console);
    vcpu_setup(&vm->vcpu, gstage_hgatp(&vm->gstage, vm->number), image->entry, RAM_BASE);
    return true;
}

void vm_stop(struct vm *vm, bool failed, const char *format, ...) {
    va_list args;
    if (vm->stopped)
        return; /* the first reason counts */
    va_start(args, format);
    format_text(vm->reason, sizeof vm->reason, format, args);
    va_end(args);
    vm->stopped = true;
    vm->failed = failed;
}

void vm_finish(struct vm *vm) {
    console_finish(&vm->console);
    if (vm->gstage.root != 0)
        gstage_release(&vm->gstage);
}
