"""Right solutions that are not the reference: each was written from the handout, and must have all points."""
