/* a VM: its RAM, G-stage, devices and VCPU, and how it ended (twin: hv/vm.py) */
#ifndef VM_H
#define VM_H

#include "console.h"
#include "exits.h"
#include "gstage.h"
#include "image.h"
#include "plic.h"
#include "vcpu.h"
#include "virtio.h"

#define MOST_VMS 4
#define VM_MEMORY (32UL << 20)
#define RAM_BASE                                                                                                       \
    0x80000000UL /* gpa; the device tree lies there, and guest images 2 MiB above (twin: machine/board.py) */
#define NAME_SIZE 17

struct vm {
    uint64_t number; /* from 1 on; also its VMID */
    char name[NAME_SIZE];
    uint64_t memory_size;
    struct vcpu vcpu;
    struct gstage gstage;
    struct console console;
    struct plic plic;
    struct virtio_console virtio_console;
    uint64_t instructions; /* retired */
    uint64_t exits[EXIT_KINDS];
    bool stopped, failed;
    char reason[160];
};

/* RAM with its image and device tree in it, and a VCPU about to start; false: it came stopped, with the reason */
bool vm_power_on(struct vm *vm, const struct image *image, const void *machine_tree);

/* how it ends: `format` is one plain phrase. it leaves the hart when its exit is handled (twin: GuestStopped) */
void vm_stop(struct vm *vm, bool failed, const char *format, ...);

/* gives its frames back */
void vm_finish(struct vm *vm);

/* device_tree.c: writes the tree of this VM to `to`; its size in bytes. `machine` is our own tree */
uint64_t guest_device_tree(const struct vm *vm, const void *machine, uint8_t *to, uint64_t room);

#endif
