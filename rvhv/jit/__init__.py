"""The second tier: hot code becomes LLVM regions, exact to the instruction."""
