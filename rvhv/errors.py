"""The errors rvhv raises; guest misbehaviour is never one of them (it is data: a fault, an error code, a stop reason)."""

from __future__ import annotations


class RvhvError(Exception):
    """Base of everything rvhv raises on purpose; its text is one line that says what is wrong and what to do."""


class ConfigError(RvhvError):
    """A size, an option or a combination of options makes no sense."""


class ImageError(RvhvError):
    """A guest image is missing, is not a RISC-V ELF, is truncated or does not fit."""


class DeviceError(RvhvError):
    """A device cannot be made: a disk image is missing, read-only, of an odd size or in use."""


class DebugError(RvhvError):
    """What was asked of the debugger cannot be done: a command, an expression or an address is no good."""


class SnapshotError(RvhvError):
    """A moment cannot be remembered or gone back to."""


class InternalError(RvhvError):
    """Our own bug: an invariant of rvhv does not hold."""
