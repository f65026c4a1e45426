"""F1: rows rendered to numba source, LLVM IR, a Python oracle, an assembler and a disassembler."""
