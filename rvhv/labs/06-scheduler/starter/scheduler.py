"""Lab 6: who runs next, and for how long.

Fill in what raises `NotImplementedError`; `rvhv lab check` says how far you are. You may add methods, functions and files of
your own. What the hypervisor tells you about a virtual machine:

  vm.number   1, 2, 3 ... in the order in which they were created; a number is never used again. Keep what you know of a
              machine under its number: the object is another one in each call, and cannot be the key of a dictionary
  vm.name     how the user calls it
  vm.weight   1 to 1000: with twice the weight comes twice the time

Time is counted in steps: an instruction is one step, an exit to the hypervisor is a thousand.
"""


class Scheduler:
    def __init__(self, slice_steps):
        self.slice_steps = slice_steps
        self.last = 0  # the number of the machine that ran last; 0 before the first one

    def pick(self, ready):
        """The hart is free. Return one of the list `ready`, and the length of its slice: (vm, steps).

        `ready` has the machines that could run now, at least one, by number. Who waits for something is not in it.
        """
        raise NotImplementedError("pick: begin with taking turns: the next number after the one that ran last (handout, step 1)")

    def ran(self, vm, steps):
        """The machine that was picked leaves the hart, and has used so many steps of its slice. Nothing is returned."""
