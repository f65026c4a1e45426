"""F4: the composition. The rows of cpu and hext become one registry, one interpreter, one compiled object."""
