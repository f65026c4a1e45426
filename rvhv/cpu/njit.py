"""The one module that calls numba's decorators, and the few operations that numba has no words for.

`jit` marks a function of the machine's inner loop: guest values are `uint64`, nothing is raised, nothing is allocated. Functions
compile when something calls them; only `rvhv.build` keeps results. With NUMBA_BOUNDSCHECK=1 every access to emulated RAM is
made of indexed bytes, so that numba checks it.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import callconv, cgutils
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target
from numba.core.typed_passes import NopythonRewrites
from numba.core.untyped_passes import InlineClosureLikes
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from rvhv.cpu.context import ASSIST_DOOR, DOOR, Context
from rvhv.cpu.host_float import host_float


class LeanCompiler(CompilerBase):  # type: ignore[misc]
    """numba's pipeline without the passes that look for closures and array expressions: there are none here, and in the
    interpreter's thousands of blocks looking takes a quarter of the time.
    """

    SKIPPED = (InlineClosureLikes, NopythonRewrites)

    def define_pipelines(self) -> list[Any]:
        lean = PassManager("lean")
        for step, description in DefaultPassBuilder.define_nopython_pipeline(self.state).passes:
            if step not in self.SKIPPED:
                lean.add_pass(step, description)
        lean.finalize()
        return [lean]


BOUNDSCHECK = os.environ.get("NUMBA_BOUNDSCHECK") == "1"
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "pipeline_class": LeanCompiler}
if not BOUNDSCHECK:
    # nothing but `compile_machine` calls these, so no wrappers for Python and C are made
    OPTIONS.update(_nrt=False, boundscheck=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def jit(function: Any = None, **more: Any) -> Any:
    """Compile for the inner loop. `inline="always"`: into its only caller, as numba code, which saves compiling it twice."""
    if function is None:
        return lambda f: jit(f, **more)
    return njit(**{**OPTIONS, **more})(function)


def _raw_access(bits: int, store: bool) -> Any:
    """An intrinsic that reads or writes `bits` little-endian bits at a byte offset of a uint8 array, at any alignment."""

    def build(typingctx: Any, array: Any, offset: Any, value: Any = None) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            pointer = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(bits).as_pointer())
            if store:
                narrow = builder.trunc(args[2], ir.IntType(bits)) if bits < 64 else args[2]
                builder.store(narrow, pointer).align = 1
                return context.get_dummy_value()
            loaded = builder.load(pointer)
            loaded.align = 1
            return builder.zext(loaded, ir.IntType(64)) if bits < 64 else loaded

        if store:
            return types.void(array, types.uint64, types.uint64), codegen
        return types.uint64(array, types.uint64), codegen

    if store:

        @intrinsic
        def store_raw(typingctx, array, offset, value):  # type: ignore[no-untyped-def]
            return build(typingctx, array, offset, value)

        return store_raw

    @intrinsic
    def load_raw(typingctx, array, offset):  # type: ignore[no-untyped-def]
        return build(typingctx, array, offset)

    return load_raw


def _checked_access(size: int, store: bool) -> Any:
    """The same out of single bytes, for the bounds-checked run."""
    count, eight, one = np.uint64(size), np.uint64(8), np.uint64(1)
    zero, byte = np.uint64(0), np.uint64(0xFF)

    if store:

        @jit
        def store_bytes(ram, offset, value):  # type: ignore[no-untyped-def]
            i = zero
            while i < count:
                ram[offset + i] = np.uint8((value >> (i * eight)) & byte)
                i += one

        return store_bytes

    @jit
    def load_bytes(ram, offset):  # type: ignore[no-untyped-def]
        value, i = zero, zero
        while i < count:
            value |= np.uint64(ram[offset + i]) << (i * eight)
            i += one
        return value

    return load_bytes


_access = _checked_access if BOUNDSCHECK else (lambda size, store: _raw_access(8 * size, store))
ld8, ld16, ld32, ld64 = (_access(n, False) for n in (1, 2, 4, 8))
st8, st16, st32, st64 = (_access(n, True) for n in (1, 2, 4, 8))


def _wide_multiply(sign_a: bool, sign_b: bool) -> Any:
    """The high 64 bits of a 64 x 64 product, through LLVM's i128."""

    @intrinsic
    def high(typingctx, a, b):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            wide = ir.IntType(128)
            left = (builder.sext if sign_a else builder.zext)(args[0], wide)
            right = (builder.sext if sign_b else builder.zext)(args[1], wide)
            product = builder.mul(left, right)
            return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

        return types.uint64(types.uint64, types.uint64), codegen

    return high


mulhu = _wide_multiply(False, False)
mulh = _wide_multiply(True, True)
mulhsu = _wide_multiply(True, False)


def _division(name: str) -> Any:
    """LLVM's own division; the rows guard the divisor, so nothing is checked again here."""

    @intrinsic
    def divide(typingctx, a, b):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return getattr(builder, name)(*args)

        return types.uint64(types.uint64, types.uint64), codegen

    return divide


udiv, urem, sdiv, srem = (_division(n) for n in ("udiv", "urem", "sdiv", "srem"))


def _bit_operation(name: str) -> Any:
    @intrinsic
    def count(typingctx, a):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            i64 = ir.IntType(64)
            if name in ("ctlz", "cttz"):
                function = cgutils.get_or_insert_function(
                    builder.module, ir.FunctionType(i64, [i64, ir.IntType(1)]), f"llvm.{name}.i64"
                )
                return builder.call(function, [args[0], ir.Constant(ir.IntType(1), 0)])
            function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(i64, [i64]), f"llvm.{name}.i64")
            return builder.call(function, [args[0]])

        return types.uint64(types.uint64), codegen

    return count


clz, ctz, cpop, bswap, brev = (_bit_operation(n) for n in ("ctlz", "cttz", "ctpop", "bswap", "bitreverse"))


def _host_float(bits: int, name: str) -> Any:
    """The host's own operation (round to nearest, no exceptions) on bit patterns of `bits` bits at the low end of a uint64.

    "sitofp" takes a signed integer."""
    width, number = ir.IntType(bits), ir.DoubleType() if bits == 64 else ir.FloatType()

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        patterns = [builder.trunc(a, width) if bits < 64 else a for a in args]
        numbers = [builder.bitcast(p, number) for p in patterns]
        if name == "sitofp":
            result = builder.sitofp(patterns[0], number)
        elif name == "sqrt":
            root = cgutils.get_or_insert_function(builder.module, ir.FunctionType(number, [number]), f"llvm.sqrt.f{bits}")
            result = builder.call(root, numbers)
        else:
            result = getattr(builder, name)(*numbers)
        pattern = builder.bitcast(result, width)
        return builder.zext(pattern, ir.IntType(64)) if bits < 64 else pattern

    if name in ("sqrt", "sitofp"):

        @intrinsic
        def one(typingctx, a):  # type: ignore[no-untyped-def]
            return types.uint64(types.uint64), codegen

        return one
    if name == "fma":

        @intrinsic
        def three(typingctx, a, b, c):  # type: ignore[no-untyped-def]
            return types.uint64(types.uint64, types.uint64, types.uint64), codegen

        return three

    @intrinsic
    def two(typingctx, a, b):  # type: ignore[no-untyped-def]
        return types.uint64(types.uint64, types.uint64), codegen

    return two


host_add64, host_sub64, host_mul64, host_div64, host_sqrt64, host_fma64 = (
    _host_float(64, n) for n in ("fadd", "fsub", "fmul", "fdiv", "sqrt", "fma")
)
host_add32, host_sub32, host_mul32, host_div32, host_sqrt32, host_fma32 = (
    _host_float(32, n) for n in ("fadd", "fsub", "fmul", "fdiv", "sqrt", "fma")
)


host_from_int64 = _host_float(64, "sitofp")


# how regions call each other: no register is saved, so that going from one to the next is a jump
REGION_CONVENTION = "ccc" if sys.platform == "win32" else "preserve_nonecc"


@intrinsic
def _call_region(typingctx, function, state, linear, tlb, pc, left):  # type: ignore[no-untyped-def]
    """Call the translated region at an address; see `rvhv.jit.translate`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        i64, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
        type_ = ir.FunctionType(i64, [pointer, pointer, pointer, i64, i64])
        addresses = [builder.inttoptr(a, pointer) for a in args[1:4]]
        target = builder.inttoptr(args[0], type_.as_pointer())
        return builder.call(target, [*addresses, args[4], args[5]], cconv=REGION_CONVENTION)

    u64 = types.uint64
    return u64(u64, u64, u64, u64, u64, u64), codegen


call_region: Any = _call_region


def _has_fma() -> bool:
    """Whether a fused multiply-add is one instruction of the CPU that is compiled for; a C library's may be wrong or slow."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    return bool(llvm.get_host_cpu_features().get("fma"))


HOST_FMA = _has_fma()


def _array_at(dtype: Any) -> Any:
    """An intrinsic: the array of `dtype` whose address and length lie at words `i` and `i + 1` of the context."""
    array_type = types.Array(dtype, 1, "C")

    @intrinsic
    def array_at(typingctx, context_address, i):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            i64 = ir.IntType(64)
            words = builder.inttoptr(args[0], i64.as_pointer())
            address = builder.load(builder.gep(words, [args[1]]))
            length = builder.load(builder.gep(words, [builder.add(args[1], ir.Constant(i64, 1))]))
            array = context.make_array(array_type)(context, builder)
            itemsize = context.get_constant(types.intp, dtype.bitwidth // 8)
            populate_array(
                array,
                data=builder.inttoptr(address, array.data.type),
                shape=[length],
                strides=[itemsize],
                itemsize=itemsize,
                meminfo=None,
            )
            return array._getvalue()

        return array_type(types.uint64, types.uint64), codegen

    return array_at


u64_array_at, u8_array_at = _array_at(types.uint64), _array_at(types.uint8)


# the interpreter's loop keeps its registers to itself: what it calls off the hot path stays out of it (three times faster)
APART = ("interpret", "exec_", "decode_at", "fetch_cross", "load_slow", "store_slow", "illegal", "enter_region", "decode_word")
# and what is rarely done is compiled once, whoever calls it
RARE = ("find_stop", "check_data", "check_physical", "check_fetch", "page_may_stop", "mark_page", "fill_stopping")


CODEGEN_LEVEL = 2


class _CallSlots:
    """numba's `cgutils` as its calling convention sees it.

    It zeroes the slot of every call's result when a function is entered, and again before the call: only the second counts, but
    in a function of many calls LLVM does not find that out."""

    def __getattr__(self, name: str) -> Any:
        return getattr(cgutils, name)

    @staticmethod
    def alloca_once(builder: Any, ty: Any, **more: Any) -> Any:
        if more.get("zfill"):
            return cgutils.alloca_once(builder, ty, **more)
        with builder.goto_entry_block():
            return builder.alloca(ty, **more)


@contextmanager
def _only_ir(codegen: Any) -> Iterator[None]:
    """Keep numba from generating native code for every function on the way to the one that is wanted.

    Its library objects are finished by handing them to an execution engine; here each is only linked into its callers.
    """
    engine = codegen._engine
    codegen._add_module = lambda module: None
    codegen.set_env = lambda name, environment: None
    engine.finalize_object = lambda: None
    callconv.cgutils = _CallSlots()
    try:
        yield
    finally:
        del codegen._add_module, codegen.set_env, engine.finalize_object
        callconv.cgutils = cgutils


# `door`: a C function of one pointer, which is what ctypes calls fastest; op, a and b are read from the context, the result is
# put there. `assist`: what translated regions call
DOORS = """
{declare}
declare i32 @{target}(ptr, ptr, i64, i64, i64, i64)
define void @{door}(ptr %context) {{
  {enter}
  %op_at = getelementptr i64, ptr %context, i64 {op}
  %a_at = getelementptr i64, ptr %context, i64 {a}
  %b_at = getelementptr i64, ptr %context, i64 {b}
  %result_at = getelementptr i64, ptr %context, i64 {result}
  %error_at = getelementptr i64, ptr %context, i64 {error}
  %op = load i64, ptr %op_at
  %a = load i64, ptr %a_at
  %b = load i64, ptr %b_at
  %address = ptrtoint ptr %context to i64
  %status = call i32 @{target}(ptr %result_at, ptr %error_at, i64 %address, i64 %op, i64 %a, i64 %b)
  {leave}
  ret void
}}

declare i32 @{helper}(ptr, ptr, i64, i64, i64, i64, i64)
define {convention} i64 @{assist}(ptr %context, i64 %what, i64 %a, i64 %b, i64 %c) {{
  %result_at = alloca i64
  %error_at = alloca ptr
  %address = ptrtoint ptr %context to i64
  %status = call i32 @{helper}(ptr %result_at, ptr %error_at, i64 %address, i64 %what, i64 %a, i64 %b, i64 %c)
  %result = load i64, ptr %result_at
  ret i64 %result
}}
"""
# how regions call `assist`: what they keep in registers stays there
ASSIST_CONVENTION = "ccc" if sys.platform == "win32" else "preserve_mostcc"


def _functions(entry: Any, assist: Any) -> tuple[Any, Any]:
    """The two functions behind the doors, with the context's address in place of the arrays."""
    at_st, at_ram, at_fr = (np.uint64(word) for word in (Context.STATE, Context.RAM, Context.FRAMES))
    at_code, at_tab = np.uint64(Context.CODE), np.uint64(Context.TABLES)

    def native(context, op, a, b):  # type: ignore[no-untyped-def]
        st = u64_array_at(context, at_st)
        ram = u8_array_at(context, at_ram)
        fr = u64_array_at(context, at_fr)
        code = u64_array_at(context, at_code)
        tab = u64_array_at(context, at_tab)
        return entry(st, ram, fr, code, tab, op, a, b)

    def helper(context, what, a, b, c):  # type: ignore[no-untyped-def]
        st = u64_array_at(context, at_st)
        ram = u8_array_at(context, at_ram)
        fr = u64_array_at(context, at_fr)
        code = u64_array_at(context, at_code)
        tab = u64_array_at(context, at_tab)
        return assist(st, ram, fr, code, tab, what, a, b, c)

    u64 = types.uint64
    return njit(u64(u64, u64, u64, u64), **OPTIONS)(native), njit(u64(u64, u64, u64, u64, u64), **OPTIONS)(helper)


def compile_machine(entry: Any, assist: Any) -> bytes:
    """Compile entry(st, ram, fr, code, tab, op, a, b) and assist(st, ram, fr, code, tab, what, a, b, c) as the C functions
    `rvhv.cpu.context.DOOR` and `ASSIST_DOOR`, whose first argument points to a context.

    Returns a relocatable object that needs nothing but the C library. Meant for a process of its own with NUMBA_OPT=0, where
    nothing is optimised until everything is in one module.
    """
    with _only_ir(cpu_target.target_context.codegen()):
        compiled = [next(iter(d.overloads.values())) for d in _functions(entry, assist)]
    module = compiled[0].library._final_module
    module.link_in(compiled[1].library._final_module)
    target, helper = (f'"{c.fndesc.llvm_func_name}"' for c in compiled)
    words = {word.name.lower(): word.value for word in Context}
    doors = {"door": DOOR, "assist": ASSIST_DOOR, "convention": ASSIST_CONVENTION}
    floating = vars(host_float())
    module.link_in(llvm.parse_assembly(DOORS.format(target=target, helper=helper, **floating, **doors, **words)))
    for function in module.functions:
        if any(name in function.name for name in (*APART, *RARE)):
            function.add_function_attribute("noinline")
        if function.name not in (DOOR, ASSIST_DOOR) and not function.is_declaration:
            function.linkage = "internal"
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=CODEGEN_LEVEL,
        reloc="pic",
        jit=True,
    )
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    return machine.emit_object(module)
