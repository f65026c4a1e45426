"""The run loop: interrupts, chunks of interpretation, traps; and the one entry point that Python calls.

Time is counted in steps: a chunk ends at the budget or at the next timer comparison, whichever is nearer, so that
both are exact to the step.
"""

from __future__ import annotations

from typing import Any

from rvhv.core.access import code_page, fetch_page, reset_code
from rvhv.core.calls import answer, charge
from rvhv.core.ops import Op
from rvhv.core.privileged import csr_word, return_from_hs, return_from_m
from rvhv.cpu.clock import pending_now, steps_to_timer
from rvhv.cpu.frames import flag_frame, follow_generation, forget_range, store_phys
from rvhv.cpu.njit import jit
from rvhv.cpu.regions import code_at, heat, install_entry
from rvhv.cpu.slots import (
    ACCESS_X,
    ANSWER_NONE,
    ATTENTION,
    CHUNK,
    CLOCK,
    COVER,
    CSR_FLOATS,
    CSRS_LEFT,
    EXEC_PC,
    EXIT_BUDGET,
    EXIT_MMIO,
    EXIT_SERVICE,
    EXIT_STOP,
    EXIT_TRACE_FULL,
    EXIT_TRAP_LOOP,
    EXIT_WATCH,
    EXIT_WFI,
    FAULT_CROSS,
    FAULT_MMIO,
    FAULT_NONE,
    FAULT_STOP,
    FAULT_TRAP,
    FAULT_WATCH,
    FAULT_WFI,
    FETCH_ONCE,
    FLAG_CODE,
    FLAG_WATCH,
    FRAME_CODE_LINES,
    FRAME_WORDS,
    HEAT_SAMPLE,
    LEFT,
    MIE,
    MMIO_ANSWER,
    NEXT_SAMPLE,
    NO_TAG,
    PC,
    PRV,
    READY,
    REGION_STEPS,
    RUN_END,
    SAMPLE,
    SAMPLED_STEPS,
    STEPS,
    STOP_ADDRESS,
    STOP_ENTRY,
    STOP_HIGH,
    STOP_KIND,
    STOP_LOW,
    STOP_NEW,
    STOP_OLD,
    STOP_PC,
    STOP_SEEN,
    STOP_STEPS,
    STOP_WORDS,
    STOPPED,
    STOPS_BASE,
    STOPS_CSRS,
    STOPS_END,
    STOPS_EPOCH,
    STOPS_SEEN,
    STOPS_TRAPS,
    TRACE_HEAD,
    TRACE_RECORDS,
    TRAP_CAUGHT,
    TRAP_CAUSE,
    TRAP_LOOP_LIMIT,
    TRAP_STEPS,
    TRAPS_IN_A_ROW,
    U64,
    VM_STEPS,
    WALK_SPA,
    WANTED_SAMPLED,
    V,
)
from rvhv.cpu.stops import arm, find_catch, floats_may_change, is_in_context
from rvhv.cpu.tlb import flush_all, select_bank
from rvhv.cpu.trap import interrupt_to_take, set_trap
from rvhv.hext.deliver import deliver, target_mode
from rvhv.hext.two_stage import VIA_DATA, VIA_HLV, translate_data, translate_fetch

U0, U1, U12 = U64(0), U64(1), U64(12)
PAGE_OFFSET = U64(4095)
ALL = U64((1 << 64) - 1)
(
    OP_RUN, OP_READ_CSR, OP_WRITE_CSR, OP_SRET, OP_STORE, OP_FORGET, OP_FLUSH, OP_WATCH, OP_TRANSLATE, OP_MRET, OP_FIND, OP_COVER,
    OP_INSTALL,
) = (U64(op) for op in Op)  # fmt: skip


def make_entry(interpret: Any, csr_read: Any, csr_write: Any) -> Any:
    """The njit entry point over the generated functions: entry(st, ram, fr, code, tab, op, a, b)."""

    @jit
    def advance(st, steps):  # type: ignore[no-untyped-def]
        st[STEPS] += steps
        st[CLOCK] += steps
        st[VM_STEPS] += steps
        st[CHUNK] = U0
        st[LEFT] = U0

    @jit
    def csr_row_of(tab, number):  # type: ignore[no-untyped-def]
        return (csr_word(tab, number) & U64(0xFFFF)) - U1

    @jit
    def csrs_changed(st, tab, tell):  # type: ignore[no-untyped-def]
        """Whether a CSR that is watched is not what it was when somebody looked: the stop slots say which. Without `tell`, only
        look. One is told at a time: the others wait for the next call."""
        i = st[STOPS_TRAPS]
        while i < st[STOPS_CSRS]:
            at = STOPS_BASE + i * STOP_WORDS
            old, new = st[at + STOP_SEEN], csr_read(st, tab, csr_row_of(tab, st[at + STOP_LOW]))
            st[at + STOP_SEEN] = new
            if tell and (old ^ new) & st[at + STOP_HIGH] != U0 and is_in_context(st, at, st[PRV], st[V]):
                st[STOP_ENTRY], st[STOP_OLD], st[STOP_NEW], st[CSRS_LEFT] = i, old, new, U1
                return True
            i += U1
        st[CSRS_LEFT] = U0
        return False

    @jit
    def take_trap(st, tab):  # type: ignore[no-untyped-def]
        st[EXEC_PC] = st[PC]
        caught = st[STOPS_TRAPS]
        if caught != st[STOPS_END]:
            caught = find_catch(st, st[TRAP_CAUSE], target_mode(st, st[TRAP_CAUSE]))
        leave = deliver(st, tab)
        advance(st, U1)
        st[TRAP_STEPS] += U1
        st[TRAPS_IN_A_ROW] += U1
        st[STOPPED] = U0
        if caught != st[STOPS_TRAPS]:
            st[STOP_ENTRY], st[STOP_ADDRESS] = caught, st[TRAP_CAUSE]
            if leave == EXIT_BUDGET:
                st[CSRS_LEFT] = U1
                return EXIT_STOP
            st[TRAP_CAUGHT] = U1  # whoever plays the mode says so
        elif leave == EXIT_BUDGET and st[STOPS_CSRS] != st[STOPS_TRAPS] and csrs_changed(st, tab, True):
            return EXIT_STOP
        return leave

    @jit(inline="always")
    def run(st, ram, fr, code, tab, budget):  # type: ignore[no-untyped-def]
        follow_generation(st, fr)
        if st[STOP_PC] != st[PC] or st[STOP_STEPS] != st[VM_STEPS]:
            st[STOPPED] = U0  # somebody else goes on, or elsewhere
        end = st[STEPS] + budget
        st[RUN_END] = end
        st[TRAP_CAUGHT] = U0
        watching = st[STOPS_CSRS] != st[STOPS_TRAPS]
        if watching and csrs_changed(st, tab, st[CSRS_LEFT] != U0):
            return EXIT_STOP
        st[CHUNK] = U0
        st[LEFT] = U0
        while True:
            left = end - st[STEPS]
            if left == U0:
                return EXIT_BUDGET
            if st[MMIO_ANSWER] != ANSWER_NONE:
                left = U1  # an instruction whose access was done is finished before anything else happens
                st[READY] = ALL
            else:
                if st[ATTENTION] != U0:
                    return EXIT_SERVICE
                if st[TRACE_HEAD] == TRACE_RECORDS:
                    return EXIT_TRACE_FULL
                if st[TRAPS_IN_A_ROW] >= TRAP_LOOP_LIMIT:
                    return EXIT_TRAP_LOOP
                pending = pending_now(st)
                st[READY] = pending & st[MIE]
                cause = interrupt_to_take(st, pending)
                if cause != U0:
                    set_trap(st, cause, U0)
                    leave = take_trap(st, tab)
                    if leave != EXIT_BUDGET:
                        return leave
                    continue
            # where the host stopped one instruction passes, and only one
            left = U1 if st[FETCH_ONCE] | st[STOPPED] != U0 else min(left, steps_to_timer(st))
            if st[SAMPLE] != U0:
                if st[STEPS] >= st[NEXT_SAMPLE]:
                    st[NEXT_SAMPLE] = st[STEPS] + st[SAMPLE]
                    st[SAMPLED_STEPS] = st[REGION_STEPS]
                left = min(left, st[NEXT_SAMPLE] - st[STEPS])
            if st[CSR_FLOATS] != U0 and floats_may_change(st):
                left, st[EXEC_PC] = U1, st[PC]
            if st[STOPS_SEEN] != st[STOPS_EPOCH]:
                if arm(st):
                    reset_code(st, fr, code)
                flush_all(st)
            select_bank(st)
            st[CHUNK] = left
            st[LEFT] = left
            fault = interpret(st, ram, fr, code, tab)
            remaining = st[LEFT]
            if remaining != left:
                st[TRAPS_IN_A_ROW] = U0
                st[STOPPED] = U0
            advance(st, left - remaining)
            if st[FETCH_ONCE] != U0:
                st[FETCH_ONCE] = U0
                flush_all(st)
            if st[SAMPLE] != U0 and st[STEPS] >= st[NEXT_SAMPLE] and (st[REGION_STEPS] - st[SAMPLED_STEPS]) << U1 < st[SAMPLE]:
                base = code_at(st, st[PC])
                if base != NO_TAG:
                    heat(st, code, base, st[PC], HEAT_SAMPLE, WANTED_SAMPLED)
            if watching and remaining != left and csrs_changed(st, tab, True):
                return EXIT_STOP  # what changed it ended the chunk
            if fault == FAULT_CROSS and remaining != U0:
                fault = fetch_page(st, ram, fr, code, st[PC])
            if fault == FAULT_TRAP:
                leave = take_trap(st, tab)
                if leave != EXIT_BUDGET:
                    if st[TRAP_CAUGHT] != U0 or not answer(st, leave):
                        return leave
                    if watching:
                        csrs_changed(st, tab, False)  # a call changed it, as one that Python answers would have
                    end = charge(st, end)
                    st[RUN_END] = end
            elif fault == FAULT_MMIO:
                return EXIT_MMIO
            elif fault == FAULT_STOP:
                st[STOPPED] |= st[STOP_KIND]
                st[STOP_PC] = st[PC]
                st[STOP_STEPS] = st[VM_STEPS]
                return EXIT_STOP
            elif fault == FAULT_WFI:
                return EXIT_WFI
            elif fault == FAULT_WATCH:
                return EXIT_WATCH

    @jit(inline="always")
    def entry(st, ram, fr, code, tab, op, a, b):  # type: ignore[no-untyped-def]
        if op == OP_RUN:
            return run(st, ram, fr, code, tab, a)
        st[CHUNK] = U0
        st[LEFT] = U0
        if op == OP_READ_CSR:
            return csr_read(st, tab, csr_row_of(tab, a))
        if op == OP_WRITE_CSR:
            csr_write(st, tab, csr_row_of(tab, a), b)
        elif op == OP_SRET:
            return_from_hs(st)
        elif op == OP_MRET:
            return_from_m(st)
        elif op == OP_STORE:
            return store_phys(st, ram, fr, code, a, b, U64(8))
        elif op == OP_FORGET:
            forget_range(st, ram, fr, code, a, b)
        elif op == OP_FLUSH:
            flush_all(st)
            reset_code(st, fr, code)
        elif op == OP_COVER:
            flag_frame(st, fr, a, FLAG_CODE)
            fr[a * FRAME_WORDS + FRAME_CODE_LINES] |= b
            st[COVER] = b
        elif op == OP_INSTALL:
            install_entry(code, code_page(st, fr, code, a >> U12), a & PAGE_OFFSET, b, st[COVER])
        elif op == OP_WATCH:
            flag_frame(st, fr, a, FLAG_WATCH)
        elif op == OP_TRANSLATE:
            fault = translate_data(st, ram, fr, code, a, U1, b, VIA_HLV)
            return st[WALK_SPA] if fault == FAULT_NONE else NO_TAG
        elif op == OP_FIND:
            if b == ACCESS_X:
                fault = translate_fetch(st, ram, fr, code, a)
            else:
                fault = translate_data(st, ram, fr, code, a, U1, b, VIA_DATA)
            return st[WALK_SPA] if fault == FAULT_NONE or fault == FAULT_MMIO else NO_TAG
        return U0

    return entry

