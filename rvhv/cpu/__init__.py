"""F2: RV64GC and the extensions of a modern profile: rows, and the numba runtime they need."""
