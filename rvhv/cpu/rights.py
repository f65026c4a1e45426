"""What an access needs and what a translation or a protection entry allows, as bits."""

from __future__ import annotations

from rvhv.cpu.slots import U64

# ACCESS_HLVX is a load that needs execute permission of the translation instead of read permission
ACCESS_R, ACCESS_W, ACCESS_X, ACCESS_HLVX = (U64(n) for n in (1, 2, 4, 8))
ALL_RIGHTS = U64(15)
IN_PART = U64(1 << 8)  # beside rights: other bytes of the page have others, so they must not be cached
