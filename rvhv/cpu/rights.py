"""What an access needs and what a translation or a protection entry allows, as bits. For njit code in `rvhv.cpu.slots`."""

from __future__ import annotations

# ACCESS_HLVX is a load that needs execute permission of the translation instead of read permission
ACCESS_R, ACCESS_W, ACCESS_X, ACCESS_HLVX = (1 << n for n in range(4))
ALL_RIGHTS = 15
IN_PART = 1 << 8  # beside rights: other bytes of the page have others, so they must not be cached
