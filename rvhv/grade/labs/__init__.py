"""The checks of each lab: one module a lab, with `CHECKS`."""
