"""Missing fences: what a hart may have cached, and accesses that could have gone otherwise because of it."""
