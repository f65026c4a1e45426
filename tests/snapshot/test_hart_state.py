"""Each word of a hart is state or is none: a new one has to be decided about."""

from __future__ import annotations

import random

from rvhv import Hypervisor
from rvhv.cpu.state import HART_NAMES, HART_STATE, SLOT
from rvhv.snapshot import History
from rvhv.snapshot.digest import digest

# what only lives while `run` does, or within one instruction
SCRATCH = set(
    """left chunk raw raw_packed value trap_cause trap_tval trap_gpa trap_tinst trap_gva trap_offset pte_written
    walk_spa walk_rights walk_pte walk_gpa fetch_once run_end cover ready slice_end""".split()
)
# caches and their sizes, the translator's, places in this process, the host's breakpoints and log, what software wants answered
HOSTS = set(
    """ram_base ram_size pmp_epoch stops_epoch stops_seen stops_watches stops_end stops_data stops_exec stops_triggers
    stops_traps stops_csrs stop_lines stop_old stop_new trap_caught csr_floats csrs_left exec_pc
    stops_physical stops_low stops_high exec_epoch stopped stop_entry stop_kind stop_address stop_pc stop_steps tlb_mask tlb_data
    tlb_fetch linear linear_next linear_misses second serial last_serial bank_clock shared generation trace_base trace_head
    context_address state_address ram_address assist sample next_sample sampled_steps wanted code_address region_entries
    region_steps leaving left_budget left_page left_untranslated left_instruction left_refused
    attention log_head log_end calls call_harts call_cost""".split()
)


def test_every_word_is_state_or_not() -> None:
    assert set(HART_STATE) | SCRATCH | HOSTS == set(HART_NAMES)
    assert len(HART_STATE) + len(SCRATCH) + len(HOSTS) == len(HART_NAMES)


def test_scratch_changes_nothing() -> None:
    """Going on with other words there is going on."""
    digests = []
    for spoil in (False, True):
        with Hypervisor("17M", tier="interp") as hv:
            hv.create("tasks", memory="16M")
            history = History(hv)
            history.run(100_000)
            history.goto(50_000)
            if spoil:
                for name in sorted(SCRATCH - {"fetch_once"}):
                    hv.hart.state[SLOT[name]] = random.Random(name).getrandbits(64)
            history.run(30_000)
            digests.append(digest(hv))
            history.close()
    assert digests[0] == digests[1]
