"""The machine around the harts: memory, the bus and its devices, device trees, guest images, disk images."""
