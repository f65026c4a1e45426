/* what the hypervisor does for each trap (twin: hv/handlers.py) */
#ifndef HANDLERS_H
#define HANDLERS_H

struct vm;

/* handles the exit that the VM's vcpu describes; it may end its slice, or stop it */
void handle_exit(struct vm *vm);

#endif
