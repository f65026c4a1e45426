"""What usually causes a trap: for people who meet it for the first time. By what happened and which rule refused."""

from __future__ import annotations

# (kind of trap, rule that refused): what to look for. A kind alone is the answer for rules that have none of their own.
# kinds: page, guest-page, access, illegal, virtual, misaligned, breakpoint, ecall, interrupt; with the access where that matters
USUAL: dict[tuple[str, str], str] = {
    ("page", "valid"): (
        "a pointer that is NULL, was never set or is used after its memory was unmapped; a page that the kernel "
        "forgot to map; or satp points to another task's tables"
    ),
    ("page fetch", "valid"): (
        "a call through a bad function pointer, a return address overwritten on the stack, or code that was not "
        "mapped in this address space (the kernel itself, just after satp was written)"
    ),
    ("page", "write-only"): (
        "the permission bits of the PTE were put together wrongly: every writable page must be readable too"
    ),
    ("page", "reserved"): (
        "a PTE made of the wrong number: a physical address where the page number belongs (shift it right by 12, then "
        "left by 10), or a pointer stored into a table"
    ),
    ("page", "pbmt-off"): ("the PTE asks for a memory type (Svpbmt), but menvcfg.PBMTE or henvcfg.PBMTE was not switched on"),
    ("page", "pointer-bits"): (
        "a leaf was meant: with R, W and X all 0 a PTE points to the next table, and must have A, D and U 0"
    ),
    ("page", "no-leaf"): "the last level has a PTE without R, W or X: the permission bits were left out",
    ("page", "aligned"): (
        "a leaf was written one level too high, so that it maps 2 MiB or 1 GiB: its page number must be aligned to "
        "that size. Often the loop over the levels stops too early"
    ),
    ("page", "user"): (
        "a user program touched kernel memory (U=0), or the kernel touched user memory without setting sstatus.SUM; a "
        "page of the kernel with U=1 cannot be executed by it"
    ),
    ("page", "readable"): "the page was mapped without R: execute-only code, or wrong permission bits",
    ("page", "writable"): (
        "a store into read-only memory: code, constants, or a copy-on-write page whose fault should be handled"
    ),
    ("page", "executable"): (
        "a jump into data or onto the stack: a bad function pointer or an overwritten return address; or the "
        "program's segments were mapped without X"
    ),
    ("page", "accessed"): (
        "the PTE was made without the A bit, and the hart leaves setting it to software: set A (and D) when mapping, "
        "or set it in the page fault handler"
    ),
    ("page", "dirty"): (
        "the PTE was made without the D bit, and the hart leaves setting it to software: set D when mapping writable "
        "pages, or set it in the page fault handler"
    ),
    ("page", "canonical"): (
        "a wild pointer: no address looks like that. An integer used as a pointer, or a structure overwritten"
    ),
    ("page", "pma"): "the root table or a table on the way is not in RAM: satp.PPN or a PTE's page number is wrong",
    ("page", "fine"): "the mapping was made right after the fault, or sfence.vma was forgotten before it",
    ("page", ""): "a bit of the PTE is not what the access needs: compare it with a page that works",
    ("guest-page", "ram"): "nothing is wrong: memory gets its pages when the guest touches it for the first time",
    ("guest-page", "device"): "nothing is wrong: this is how a driver talks to an emulated device",
    ("guest-page", "nothing"): ("a wrong address of a device, a wild pointer, or RAM beyond what the device tree says there is"),
    ("guest-page", "valid"): (
        "memory that the guest touches for the first time (the hypervisor then gives it a page: that is normal), a "
        "device register (it is then emulated), or an address at which the guest has nothing"
    ),
    ("guest-page", "g-user"): (
        "the hypervisor made a G-stage leaf without U=1. All accesses of a guest count as a user's in the G-stage, "
        "those of its kernel too: people have lost weeks to this bit"
    ),
    ("guest-page", "gpa-width"): (
        "a guest physical address too large: the guest's own PTE has a wrong page number, or vsatp does"
    ),
    ("guest-page", "accessed"): "the hypervisor made the G-stage leaf without A: set A and D when mapping",
    ("guest-page", "dirty"): (
        "the hypervisor made the G-stage leaf without D: set A and D when mapping, or track writes with it"
    ),
    ("guest-page", "aligned"): ("the hypervisor wrote a G-stage superpage whose page number is not aligned to its size"),
    ("guest-page", "pma"): (
        "hgatp.PPN or a pointer in the G-stage tables leads out of RAM. The root is 16 KiB and must be aligned so"
    ),
    ("guest-page", "fine"): "the hypervisor has mapped the page since: the guest tries again and gets on",
    ("guest-page", ""): (
        "a bit of a G-stage PTE is not what the access needs: G-stage leaves want V, R, W, X as needed, and U, A and D"
    ),
    ("access", "pmp"): (
        "PMP was not opened for the mode: after reset modes below M may access nothing, until M-mode sets an entry"
    ),
    ("access", "pma"): (
        "a physical address where there is neither RAM nor a device: a wrong constant for a device, a pointer used "
        "before paging was on, or a size of RAM that was not read from the device tree"
    ),
    ("access", "device"): ("a device register accessed with the wrong width or misaligned, or an atomic or fetch on a device"),
    ("access", ""): "an address that nothing answers at",
    ("illegal", "zeros"): (
        "a jump to memory that holds no code: a NULL or stale function pointer, a return address overwritten, or .bss "
        "or a page not loaded"
    ),
    ("illegal", "ones"): "a jump into erased or missing memory",
    ("illegal", "encoding"): ("data executed as code, a jump into the middle of an instruction, or code built for another ISA"),
    ("illegal", "extension"): "the program was compiled for more than this hart has: look at -march",
    ("illegal", "privilege"): (
        "the instruction belongs to a higher mode: a kernel that thinks it runs in M-mode, or user code that should "
        "make a system call"
    ),
    ("illegal", "no-csr"): "a CSR of an extension that this hart does not have, or a mistyped number",
    ("illegal", "read-only"): "a write to a counter or an identification register",
    ("illegal", "csr-privilege"): (
        "a kernel written for M-mode that runs in S-mode: use the s* registers (sstatus for mstatus), or ask the "
        "firmware by an SBI call"
    ),
    ("illegal", "guard"): ("a higher mode has not granted the register: firmware or hypervisor must set the bit named above"),
    ("illegal", "fs-off"): (
        "floating point used before it was switched on: set sstatus.FS to Initial (1) first; or a kernel compiled "
        "with floating point that should not be (-march, -mabi)"
    ),
    ("illegal", "rounding"): "fcsr.frm was written with a reserved value, or the instruction has one",
    ("illegal", "tw"): "M-mode traps WFI (mstatus.TW) to keep the hart busy or to see it",
    ("illegal", "tsr"): "M-mode traps sret (mstatus.TSR), as a monitor does that emulates a hypervisor",
    ("illegal", "tvm"): "M-mode traps satp and fences (mstatus.TVM), as a monitor does that emulates a hypervisor",
    ("illegal", "envcfg"): "the cache-block instruction was not enabled: set the bit named above in a higher mode",
    ("illegal", ""): "look at the instruction, the mode and the CSRs that control it",
    ("virtual", "vtw"): "nothing is wrong: the guest waits, and the hypervisor runs somebody else",
    ("virtual", "virtual"): (
        "a guest used what only a hypervisor may (the h* registers, HLV, hfence), or a user program of the guest used "
        "a supervisor's instruction; the hypervisor can emulate it or hand an illegal instruction down"
    ),
    ("virtual", "guard"): "the hypervisor has not granted the register: it must set the bit named above",
    ("virtual", ""): "the hypervisor asked to see this instruction, or has not granted it",
    ("misaligned", "atomic"): ("an atomic must be aligned to its size: a packed structure, or a cast of a byte pointer"),
    ("misaligned", "fetch"): "a jump to an odd address: a function pointer with its lowest bit set",
    ("misaligned", ""): "an access across the end of something that can only be accessed aligned",
    ("breakpoint", "ebreak"): (
        "an assertion, a panic or a debugger's breakpoint: compilers emit ebreak where code must not get to"
    ),
    ("breakpoint", "trigger"): "a trigger that the software itself set (tdata1, tdata2)",
    ("ecall", ""): "nothing is wrong: it asks the mode above for a service",
    ("interrupt", ""): "nothing is wrong: the device or timer asked for attention",
    ("loop", "vector"): (
        "the trap vector was set to an address that is not mapped or not executable in the new address space: map the "
        "handler before satp is written, at the same address"
    ),
    ("loop", ""): (
        "the handler returns without changing anything, so that the same instruction traps again: step over an "
        "emulated instruction (sepc += 4), or repair the cause"
    ),
}


def usual(kind: str, rule: str) -> str:
    """The sentence for a kind of trap and the rule that refused; "" where nothing is known."""
    first = kind.partition(" ")[0]
    for key in ((kind, rule), (first, rule), (kind, ""), (first, "")):
        if key in USUAL:
            return USUAL[key]
    return ""
