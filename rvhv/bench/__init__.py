"""F7: measurements. Each figure is a median of several rounds; QEMU, where it is installed, runs the same bytes in turn."""
