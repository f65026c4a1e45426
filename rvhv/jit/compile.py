"""LLVM assembly to object code for this host."""

from __future__ import annotations

import platform
from functools import cache

import llvmlite.binding as llvm

PASSES = ("sroa", "simplify_cfg")
CODEGEN_LEVEL = 1


class Compiler:
    """Makes relocatable objects that refer to nothing outside themselves."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.set_option("", "-disable-lsr")  # it makes more induction variables than the host has registers to spare
        self._machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=host_features(), opt=CODEGEN_LEVEL, reloc="pic", jit=True
        )
        self._builder = llvm.create_pass_builder(self._machine, llvm.create_pipeline_tuning_options(speed_level=1))

    def optimised(self, assembly: str) -> llvm.ModuleRef:
        module = llvm.parse_assembly(assembly)
        passes = llvm.create_new_module_pass_manager()
        for name in PASSES:
            getattr(passes, f"add_{name}_pass")()
        passes.run(module, self._builder)
        return module

    def object_code(self, assembly: str) -> bytes:
        return bytes(self._machine.emit_object(self.optimised(assembly)))

    def assembly(self, assembly: str) -> str:
        """The host's instructions, for people; with `.loc` where the LLVM assembly has locations."""
        llvm.set_option("", "-use-unknown-locations=Enable")  # line 0 for what has none, instead of the line before it
        self._machine.set_asm_verbosity(True)  # it says which block of the LLVM assembly a label is
        return str(self._machine.emit_assembly(self.optimised(assembly)))


@cache
def host_features() -> str:
    return str(llvm.get_host_cpu_features().flatten())


@cache
def host_has_fma() -> bool:
    """Whether a fused multiply-add is one instruction; a C library's may be wrong or slow."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    return bool(llvm.get_host_cpu_features().get("fma"))
