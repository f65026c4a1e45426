/* how the hart is set up to host guests (twin: hv/setup.py) */
#ifndef SETUP_H
#define SETUP_H

void host_guests_machine(void); /* M-mode's part */
void host_guests(void);         /* HS-mode's part */

#endif
