"""How a VM ends: a reason that is data, never an error of ours."""

from __future__ import annotations


class GuestStopped(Exception):
    """The VM cannot or will not go on. Raised below an exit's handler, kept by the hypervisor as `VM.stopped`; it never
    leaves `Hypervisor`. `reason` is one plain phrase; `failed` says whether the guest ended badly."""

    def __init__(self, reason: str, *, failed: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.failed = failed
