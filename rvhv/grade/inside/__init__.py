"""What runs inside the student's process. Nothing here imports more than the standard library: it starts for every check."""
