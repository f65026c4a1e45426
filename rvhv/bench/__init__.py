"""F7: measurements. Each figure is a median of several rounds; QEMU and Spike, where installed, run the same bytes in turn."""

PARTS = ("programs", "costs", "vms", "commands")  # what `rvhv bench` can be asked for
OTHERS = ("QEMU", "Spike")  # what it is compared with, where they are installed
