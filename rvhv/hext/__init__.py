"""F3: the H extension, whole, in one place: its rows and its runtime."""
