"""rvhv: a see-through RISC-V hypervisor. `from rvhv import Hypervisor` is the whole Python API to begin with.

Importing this package loads nothing else: a name is looked up when it is first used.
"""

TYPE_CHECKING = False  # as in `typing`, without importing it
if TYPE_CHECKING:
    from rvhv.hv import Hypervisor

__version__ = "0.1.0"
__all__ = ["Hypervisor", "__version__"]

_HOME = {"Hypervisor": "rvhv.hv"}  # public name -> the module that defines it


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'rvhv' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
