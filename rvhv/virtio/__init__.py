"""virtio 1.2: split virtqueues, the MMIO transport, and one file per device."""
