"""The state of a hart: one `uint64` array, laid out by the one table of names below.

numba code, LLVM code, Python and snapshots all use this table. The architectural block comes first: it is what a VCPU is, and
what a world switch copies. What follows belongs to the hart. Numbers are plain ints here (nothing imports numba or numpy);
`rvhv.cpu.slots` gives the same numbers as `np.uint64` constants to njit code.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

TRIGGERS = 4  # of Sdtrig

ARCH_NAMES = (
    *(f"x{i}" for i in range(32)),
    "x_sink",  # where writes to x0 go: predecoded instructions name it instead of 0
    *(f"f{i}" for i in range(32)),
    *"pc prv v fcsr".split(),
    # CSRs that have storage; a CSR row whose value is computed from others has no slot
    *"mstatus medeleg mideleg mie mip mtvec mcounteren menvcfg mscratch mepc mcause mtval mtval2 mtinst".split(),
    # the counters hold offsets to what is counted below, or, while mcountinhibit stops them, their values
    *"mcountinhibit mcycle minstret".split(),
    *"pmpcfg0 pmpcfg2".split(),
    *(f"pmpaddr{i}" for i in range(16)),
    "tselect",
    *(f"tdata{n}_{i}" for n in (1, 2) for i in range(TRIGGERS)),  # of each trigger
    *"stvec scounteren senvcfg sscratch sepc scause stval satp stimecmp".split(),
    *"hstatus hedeleg hideleg hvip hcounteren henvcfg htimedelta htval htinst hgatp hgeie".split(),
    "hgeip",  # level of the guest external interrupt lines; nothing but a test drives them yet
    *(f"{level}stateen{i}" for level in "mh" for i in range(4)),
    *"vsstatus vstvec vsscratch vsepc vscause vstval vsatp vstimecmp".split(),
    "reservation",  # spa of the LR reservation, or NO_RESERVATION
    "reservation_size",
    "irq_lines",  # level of the hardware interrupt lines, in mip's bits
    "vm_steps",  # steps executed by this VCPU
    "trap_steps",  # of these, traps and interrupts taken: vm_steps - trap_steps instructions retired
    "traps_in_a_row",  # traps since the last retired instruction
)


class Leaving(IntEnum):
    """Why a translated region was left."""

    BUDGET = 0  # few steps are left until something else may happen: what is next might need more
    PAGE = 1  # it goes on in a page that this context has not executed lately
    UNTRANSLATED = 2  # no region can be entered where it goes on
    INSTRUCTION = 3  # the interpreter always does what is next
    REFUSED = 4  # what is next cannot be done in the region this time: it faults, is for a device, changes what may be taken


HART_NAMES = (
    *"steps clock hs_hook m_hook trace_vm mhartid".split(),
    "mtimecmp",  # of this hart's machine timer, in ticks: mip.MTIP is the comparison with time
    # an access outside RAM that left run() with Exit.MMIO, and what Python answered (an Answer); bus: 1 when a bus answers there
    *"bus mmio_spa mmio_size mmio_write mmio_value mmio_answer".split(),
    "left",  # steps left in the chunk being interpreted; valid while a slow path runs
    "chunk",  # steps the chunk began with
    "raw",  # the instruction that trapped, as fetched
    "raw_packed",  # and as predecoded
    "value",  # result of a slow load, AMO or CSR read
    # the trap about to be taken; trap_offset: how far the faulting part is from the access's first byte
    *"trap_cause trap_tval trap_gpa trap_tinst trap_gva trap_offset".split(),
    "pte_written",  # a walk has set A or D since the slot was cleared
    *"walk_spa walk_rights walk_pte".split(),  # result of a translation
    "walk_gpa",  # of a data access that V=1 makes, where the page was walked to; else NO_GPA
    "fetch_once",  # 1: the page of pc was entered for one instruction only, because protection differs within it
    *"ram_base ram_size".split(),
    "pmp_epoch",  # counts writes to the PMP CSRs: translations made under other entries are not found again
    # stops: the guest's triggers and the host's breakpoints and watchpoints, a table below (`rvhv.cpu.stops`)
    *"stops_epoch stops_seen".split(),  # counts changes to what may stop, and the count that is in effect
    # entries: where the host's watchpoints end, its breakpoints, its catches of traps, its watches of CSRs
    *"stops_watches stops_end stops_traps stops_csrs".split(),
    # how many entries there are for data and for execution, and of these how many are the guest's, and of physical addresses
    *"stops_data stops_exec stops_triggers stops_physical".split(),  # 0: nothing is looked at
    *"stops_low stops_high".split(),  # between these addresses lie all that are virtual and for data
    # a bit for each line of 64 bytes of a page in which a data access may stop, in whatever space: translation keeps it
    "stop_lines",
    "exec_epoch",  # counts changes to where execution may stop
    "stopped",  # ACCESS bits of the stops that the instruction at pc has already had; it goes on as if they were not there
    *"stop_entry stop_kind stop_address stop_pc stop_steps".split(),  # the last one; steps: the VCPU's then
    "exec_pc",  # of the last instruction that may have changed a CSR, or that a trap was taken at
    *"stop_old stop_new".split(),  # what the CSR was that the last stop was for, and what it is now
    "trap_caught",  # 1: the trap that Exit.HS or Exit.M is about matches a catch
    # a CSR_FLAG each: watches of CSRs that floating-point instructions may change
    "csr_floats",
    "csrs_left",  # 1: there may be more to say about the last instruction; the next run looks again before it begins
    "tlb_mask",  # entries of a bank minus one
    *"tlb_data tlb_fetch".split(),  # where the current bank's entries start in the state
    # of the current bank: its linear addend; the addend of the last entry that had another; how many had, less those that had it
    *"linear linear_next linear_misses".split(),
    "second",  # where the TLB's second level starts in the state
    "serial",  # of the current bank: entries of the second level that have another are of another context, or were dropped
    "last_serial",
    "bank_clock",  # counts bank selections: the stamp of the least recently used bank is the lowest
    "shared",  # index into the frame table of the words that the harts of a memory share
    "generation",  # of the memory's derived data, as far as this hart's TLB is up to date
    *"trace_base trace_head".split(),  # the ring's first word and its number of records
    # translated regions: addresses of the context, of this state and of RAM, and of the door to `rvhv.core.assist`
    *"context_address state_address ram_address assist".split(),
    "sample",  # steps after which the run loop looks where pc is; 0: nothing is translated
    # value of `steps` when it looks next; value of `region_steps` when it looked last
    *"next_sample sampled_steps".split(),
    "wanted",  # number of entries in the ring of code that is hot
    "run_end",  # value of `steps` at which run() is over
    "cover",  # the lines of the region that is being installed
    "code_address",  # of the predecoded words
    *"region_entries region_steps".split(),  # how often the interpreter entered a region, and steps made in regions
    "leaving",  # the Leaving of the last time that a region was left; how often it was for each:
    *(f"left_{leaving.name.lower()}" for leaving in Leaving),
    "ready",  # interrupts that pend and are enabled in mie: no other does until the chunk ends
    "attention",  # not 0: run() leaves with Exit.SERVICE at the next chunk
    *"log_head log_end".split(),  # where the next record of the log goes, and where its room ends; both 0: nothing is logged
    # SBI calls that the machine answers for the software that Python plays, a table below (`rvhv.core.calls`): how many rows it
    # has (0: Python answers all), how many harts a hart mask may name, and what a call costs, on `clock` and off `slice_end`
    *"calls call_harts call_cost".split(),
    "slice_end",  # value of `steps` at which the slice of the VM on the hart is over; it may be below zero. Unused at no cost
)

# Of these, what is state between two runs. The others are caches, scratch, places of things in this process, or the host's.
HART_STATE = (
    *"steps clock hs_hook m_hook trace_vm mhartid mtimecmp bus".split(),
    *"mmio_spa mmio_size mmio_write mmio_value mmio_answer".split(),
)

SLOT = {name: i for i, name in enumerate((*ARCH_NAMES, *HART_NAMES))}
ARCH_WORDS = len(ARCH_NAMES)
ARCH_BYTES = 8 * ARCH_WORDS

# TLB banks follow: a context key a bank, then the entries of all banks
BANKS = 16
CONTEXT_WORDS = 8  # stamp (0: free), mode bits, satp, vsatp, hgatp, pmp_epoch, linear addend, serial
CONTEXTS_BASE = (len(SLOT) + 7) & ~7

# then what may stop: the guest's triggers as entries 0 to 3, the host's watchpoints, the host's breakpoints
STOPS_BASE = CONTEXTS_BASE + BANKS * CONTEXT_WORDS
STOP_ENTRIES = 512
STOP_WORDS = 8
# first and last address; the roots it is bound to. Of a catch of traps: codes of exceptions and of interrupts as bits; of a
# watch of a CSR: its number, the bits that count, and what it was when somebody looked
STOP_FLAGS, STOP_LOW, STOP_HIGH, STOP_HGATP, STOP_ATP, STOP_SEEN = range(6)
# flags: ACCESS_R, ACCESS_W and ACCESS_X, then
STOP_MODES_SHIFT = 8  # a bit for each mode, number prv + 4 * v
STOP_SPACE = 3 << 16  # what its addresses are: 0 virtual
STOP_GUEST_PHYSICAL, STOP_HOST_PHYSICAL = 1 << 16, 2 << 16
STOP_BY_HGATP, STOP_BY_ATP = 1 << 18, 1 << 19  # only while hgatp, and satp or vsatp, have the values given
STOP_INTO_SHIFT = 20  # of a catch of traps: a bit for each mode it goes to, M, HS and VS
CSR_SEES_FS, CSR_SEES_FCSR = 1, 2  # in slot csr_floats

# then the SBI calls that need no Python: EID, FID, what the call does (a `Call`, and CALL_LEGACY)
CALLS_BASE = STOPS_BASE + STOP_ENTRIES * STOP_WORDS
CALL_ROWS = 16
CALL_WORDS = 3
CALL_LEGACY = 1 << 8  # it has no FID and no hart mask, and returns in a0 alone
ALL_HARTS = (1 << 64) - 1  # as hart_mask_base

TLB_BASE = (CALLS_BASE + CALL_ROWS * CALL_WORDS + 7) & ~7
# R tag, W tag, addend (offset into RAM minus gva), and a W tag for frames with flags: the store is allowed but
# takes the slow path
DATA_WORDS = 8
# The linear tags are those of R and W where the addend is the bank's linear one, which most pages of a guest have: translated
# code then needs no addend.
# The last one is that of a page on which something may stop, for stores to other lines of a frame without flags.
TLB_R, TLB_W, TLB_ADDEND, TLB_W_FLAGGED, TLB_LINEAR_R, TLB_LINEAR_W, TLB_W_BESIDE = range(7)
FETCH_WORDS = 2  # X tag, index of the page's first predecoded instruction
# behind the banks: a second level that all contexts share, asked before anything is walked
SECOND_ENTRIES = 4096
SECOND_WORDS = 4
SECOND_PAGE, SECOND_SERIAL, SECOND_OFFSET, SECOND_RIGHTS = range(SECOND_WORDS)
NO_TAG = (1 << 64) - 1
NO_ADDEND = 1  # addends are made of whole pages
LINEAR_PATIENCE = 32  # entries with another addend, until the bank takes that one
# beside a page's address in an R tag and a flagged W tag: something on the page may stop, so that no access hits. The slow path
# still knows the translation: the W tag is the guest physical address with the same bit, or NO_TAG
STOP_TAG = 1 << 11
NO_GPA = (1 << 64) - 1
NO_RESERVATION = (1 << 64) - 1


def state_words(tlb_bits: int, log_records: int = 0) -> int:
    """Length of the state array for TLB banks of 2**tlb_bits entries and a log of so many records."""
    return log_base(tlb_bits) + log_records * LOG_WORDS


def log_base(tlb_bits: int) -> int:
    """Index of the log in such a state: behind the ring of wanted code."""
    return wanted_base(tlb_bits) + WANTED_RECORDS


def wanted_base(tlb_bits: int) -> int:
    """Index of the ring of wanted code in such a state, a physical byte offset into RAM each: behind the trace ring."""
    return trace_base(tlb_bits) + TRACE_RECORDS * TRACE_WORDS


def second_base(tlb_bits: int) -> int:
    """Index of the TLB's second level in such a state."""
    return TLB_BASE + BANKS * (DATA_WORDS + FETCH_WORDS << tlb_bits)


def trace_base(tlb_bits: int) -> int:
    """Index of the trace ring in such a state."""
    return second_base(tlb_bits) + SECOND_ENTRIES * SECOND_WORDS


# the frame table: four words for each 4 KiB frame of RAM
FRAME_WORDS = 4
FRAME_FLAGS, FRAME_CODE_LINES, FRAME_TABLE_LINES, FRAME_CODE = range(4)
# behind the last frame: what the harts of a memory share
SHARED_WORDS = 4
SHARED_GENERATION = 0  # rises with each change that every hart's TLB must follow: a hart that is behind flushes before it runs
SHARED_CODE_NEXT = 1  # first free page of predecoded code
SHARED_DIRTY = 2  # length of the list that follows these words: frames, in order, whose FLAG_CLEAN a store has cleared
FLAG_CODE = 1  # instructions were decoded from it
FLAG_TABLE = 2  # page tables were read from it, of any level and stage
FLAG_LEAF_TABLE = 4  # page tables of level 0 of the first stage, and nothing else, were read from it
FLAG_WATCH = 8  # a store to it ends run() with Exit.WATCH
FLAG_CLEAN = 16  # nothing was stored to it since somebody looked: the next store clears the flag and notes the frame

# predecoded code: pages of one word a halfword, two end marks, and the frame the page was decoded from
CODE_END = 2048
CODE_FRAME = 2050
CODE_REGIONS = 2051  # not 0: something of the page is translated or hot
CODE_MARKED = 2052  # not 0: execution may stop somewhere in the page, which is left to the interpreter
CODE_SEEN = 2053  # not 0: something is counted in the page; its virtual page then | trace_vm << 1 | 1, or 1 where none is known
CODE_QUIET = 2054  # value of `steps` until which nothing of the page is asked for
CODE_STRIDE = 2056
CODE_PAGES = 2048
# beside each word, in more planes of the same shape: the address of the translated region that can be entered there (below
# LEAST_ENTRY it is none, but how hot the instruction is), the lines that the region covers, how often regions were entered
# there, and how often the interpreter went on there when one was left
CODE_ENTRIES, CODE_COVER, CODE_HITS, CODE_LEFT, CODE_WORDS = (n * CODE_PAGES * CODE_STRIDE for n in range(1, 6))
LEAST_ENTRY = 4096
HEAT_WANTED = 64  # an instruction this hot is put into the ring
HEAT_AGAIN = 2048  # and again each time that it has got so much hotter, or a chunk has ended there
HEAT_NEVER = LEAST_ENTRY - 1  # nothing can be translated of what is there
HEAT_SAMPLE = 64  # for being where a chunk ended; leaving a region for it is 1
WANTED_SAMPLED = 1 << 63  # flag of a record: it was where a chunk ended, and need not be a place to enter at
WANTED_AGAIN = 1 << 62  # the same was in the ring before
WANTED_RECORDS = 512

TRACE_WORDS = 5  # vm, cause, pc, gpa, vm_steps
TRACE_RECORDS = 8192

# the log: what a checker must know of translations, fences and code, a Log kind, pc and six words a record
LOG_WORDS = 8

STEPS_PER_TICK = 100  # 1 step = 1 ns; the time base is 10 MHz
TIMEBASE_HZ = 10_000_000
TRAP_LOOP_LIMIT = 1000


class Prv(IntEnum):
    U = 0
    S = 1
    M = 3


class Exit(IntEnum):
    """Why `Hart.run` returned."""

    BUDGET = 0  # the budget is used up
    HS = 1  # a trap into HS-mode was taken and hs_hook is set
    WFI = 2  # wfi retired and nothing is pending
    WATCH = 3  # a store to a watched frame was done
    TRAP_LOOP = 4  # TRAP_LOOP_LIMIT traps without one retired instruction
    TRACE_FULL = 5  # the trace ring is full: drain it and go on
    MMIO = 6  # an access outside RAM waits for its answer: see the mmio slots; nothing of the instruction was done yet
    M = 7  # a trap into M-mode was taken and m_hook is set
    STOP = 8  # a breakpoint or watchpoint of the host, before the instruction: see the stop slots; the next run executes it
    SERVICE = 9  # the translator has something to do: nothing of the guest's


class Fault(IntEnum):
    """What a slow path tells the interpreter."""

    NONE = 0
    TRAP = 1  # trap_* slots describe it
    REFRESH = 2  # the instruction retired and set pc; translation or interrupts may have changed
    CROSS = 3  # control goes to another page
    WFI = 4  # retired, pc set, leave
    WATCH = 5  # a store to a watched frame was done: retired, leave
    MMIO = 6  # an access outside RAM: not retired, leave
    STORED = 7  # retired; what it stored may have changed where the next instruction is
    STOP = 8  # a breakpoint or watchpoint of the host: not retired, leave


class Answer(IntEnum):
    """What became of the access that a hart waits for (slot mmio_answer)."""

    NONE = 0  # it does not wait
    DONE = 1  # the device did it; mmio_value is what a load gets
    REFUSED = 2  # an access fault


class Call(IntEnum):
    """What an SBI call does that the compiled machine can answer."""

    NONE = 0  # it cannot
    SET_TIMER = 1
    SEND_IPI = 2
    FENCE = 3  # harts; as no cache is state, it only looks at the arguments


class Log(IntEnum):
    """A record of the log, and its words behind kind and pc. Records of PTEs come before that of the access they are for."""

    PTE = 0  # a walk read a PTE: a LogStage, level, spa, PTE, address that the stage translates, the PTE's gpa (VS-stage)
    USE = 1  # a translation that walked: va, access | prv << 8 | v << 16, HOW bits, the G-stage's, (v)satp, hgatp
    STORE = 2  # a store to bytes that PTEs or instructions were read from: spa, size, 1 instructions | 2 PTEs, v
    DECODE = 3  # an instruction that was not decoded, or had been dropped, is about to run: spa, size in bytes
    FENCE = 4  # a Fence, numbers of rs1 | rs2 << 8, rs1, rs2, hgatp, v
    ATP = 5  # a write to a CSR that may be satp, vsatp or hgatp: its number, and what these three are now; v


class How(IntFlag):
    """How a stage is walked: who asks, and which extensions are on."""

    USER = 1
    SUM = 2
    MXR = 4
    ADUE = 8
    PBMTE = 16
    WIDE = 32  # the G-stage: its root has four pages


class LogStage(IntEnum):
    """Which stage read a PTE."""

    S = 0  # satp's
    VS = 1
    G = 2


class Fence(IntEnum):
    """The instructions that order what a hart may have cached."""

    FENCE_I = 0
    SFENCE_VMA = 1
    SINVAL_VMA = 2
    SFENCE_W_INVAL = 3
    SFENCE_INVAL_IR = 4
    HFENCE_VVMA = 5
    HINVAL_VVMA = 6
    HFENCE_GVMA = 7
    HINVAL_GVMA = 8
