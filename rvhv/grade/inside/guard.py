"""What keeps a student's process to itself: an audit hook, behind limits and a filter of system calls (`platform_posix.py`).

The judge does not rely on it for the grade, which nothing in this process can change: it protects the computer, the seeds and
other people's work. Linux with seccomp is a wall; elsewhere the limits and the audit hook are a fence that keeps out what is not
determined to break out of Python.
"""

from __future__ import annotations

import _thread
import sys
import time
from typing import Any

# events of Python's audit hook that a part may cause; all others are refused
ALLOWED_EVENTS = frozenset(
    {
        "array.__new__", "builtins.id", "code.__new__", "compile", "cpython._PySys_ClearAuditHooks", "exec",
        "function.__new__",
        "gc.get_objects", "gc.get_referents", "gc.get_referrers",
        "object.__delattr__", "object.__getattr__", "object.__setattr__",
        "sys._current_exceptions", "sys._current_frames", "sys._getframe", "sys._getframemodulename", "sys.excepthook",
        "sys.set_asyncgen_hooks_finalizer", "sys.set_asyncgen_hooks_firstiter", "sys.setprofile", "sys.settrace",
        "sys.unraisablehook", "import",
    }
)  # fmt: skip
SAID = {"open": "open files", "os.": "use the operating system", "socket.": "use the network", "subprocess.": "start programs",
        "ctypes.": "use ctypes", "signal.": "use signals"}  # fmt: skip

def watch(may_import: frozenset[str]) -> None:
    """Refuse, from now on, what Python itself reports and a part has no business with."""
    packages = {".".join(name.split(".")[:depth]) for name in may_import for depth in range(1, name.count(".") + 1)}
    allowed, said, loaded = ALLOWED_EVENTS, tuple(SAID.items()), sys.modules

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in allowed:
            if event != "import" or args[0] in may_import or args[0] in packages or args[0] in loaded:
                return
            raise ImportError(f"a part may import its own files and {', '.join(sorted(may_import))}: not {args[0]}")
        for start, what in said:
            if event.startswith(start):
                raise PermissionError(f"a part may not {what} ({event})")
        raise PermissionError(f"a part may not do that ({event})")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("a part may not sleep or start threads")

    time.sleep = _thread.start_new_thread = refuse  # type: ignore[assignment]  # older Pythons do not report them
    sys.addaudithook(hook)
