"""Labs and their grader: a part of the hypervisor is replaced by a student's, and judged by what the machine does."""
