"""Object code of regions into this process, and out of it again."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm


class Loader:
    """Keeps an LLJIT: what it has loaded goes when the last reference to its tracker does."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._jit = llvm.create_lljit_compiler(llvm.Target.from_default_triple().create_target_machine(jit=True))
        self._count = 0

    def load(self, code: bytes) -> tuple[int, Any]:
        """(address of the function `region`, tracker)."""
        self._count += 1
        tracker = llvm.JITLibraryBuilder().add_object_img(code).export_symbol("region").link(self._jit, f"region{self._count}")
        return tracker["region"], tracker
