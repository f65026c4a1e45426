"""rvhv: a see-through RISC-V hypervisor. `from rvhv import Hypervisor` is the whole Python API to begin with.

Importing this package loads nothing else: names are looked up when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rvhv.hv import Hypervisor

__version__ = "0.1.0"
__all__ = ["Hypervisor", "__version__"]

_HOME = {"Hypervisor": "rvhv.hv"}  # public name -> the module that defines it


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rvhv' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
