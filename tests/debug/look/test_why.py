"""Why: every kind of trap, made by a tiny program, and the sentence that names what refused it."""

from __future__ import annotations

import json

import pytest

from rvhv.core.registry import ISA
from rvhv.debug.look.refused import CHANGED, refused
from rvhv.debug.look.saved import save
from rvhv.debug.look.taken import with_mode
from rvhv.debug.look.usual import USUAL
from rvhv.debug.look.why import why
from rvhv.debug.target import Context, MachineTarget
from rvhv.errors import DebugError
from rvhv.hext.walks.rules import LEAF_RULES, PTE_RULES
from tests.debug.look.programs import ASSEMBLER, BASE, RAM, SCRATCH, bare, frozen, guest, put, text_of, vm
from tests.hext.test_virtual_instructions import CASES

TABLES = RAM + 0x20_0000  # of the programs below
SV39 = 8 << 60
MASK64 = (1 << 64) - 1
PAGE_FLAGS = {"V": 1, "R": 2, "W": 4, "X": 8, "U": 16, "A": 64, "D": 128}


def trapped(text: str, *, mode: str = "S", level: str = "s", **slots: int) -> MachineTarget:
    """A bare hart that executes one instruction in a mode and traps into a handler of M-, HS- or VS-mode."""
    delegated = {"m": {}, "s": {"medeleg": MASK64, "mideleg": MASK64}, "vs": {"medeleg": MASK64, "hedeleg": MASK64}}[level]
    vector = {f"{level}tvec": RAM + 0x400}
    target = bare(text, 0, mode=mode, **{"mcounteren": MASK64, **delegated, **vector, **slots})
    target.machine.memory.write(RAM + 0x400, ASSEMBLER.program("end: j end", RAM + 0x400))
    target.run(1)
    return target


def said(context: Context, hint: str | None = None) -> str:
    before = frozen(context)
    found = why(context, hint)
    json.dumps(found.json())
    text = text_of(found)
    assert frozen(context) == before
    return text


def mapped(flags: str, *, gva: int = 0x4000_0000, superpage: bool = False) -> dict[int, int]:
    """Words of memory: Sv39 tables that map the program's gigabyte to itself, and one page or superpage with these flags."""
    bits = sum(PAGE_FLAGS[f] for f in flags)
    middle, last = TABLES + 0x1000, TABLES + 0x2000
    words = {TABLES + 8 * 2: RAM >> 12 << 10 | 0xCF, TABLES + 8 * (gva >> 30): middle >> 12 << 10 | 1}
    leaf = (SCRATCH >> 12 << 10) | bits
    if superpage:
        return words | {middle: leaf}
    return words | {middle: last >> 12 << 10 | 1, last: leaf}


@pytest.mark.parametrize(
    ("flags", "superpage", "text", "expected", "rule"),
    [
        ("", False, "lw a0, 0(a1)", "V=0: nothing is mapped here, in the level 0 PTE", "valid"),
        ("RA", False, "sw a0, 0(a1)", "W=0: the page is not writable, in the level 0 PTE", "writable"),
        ("XA", False, "lw a0, 0(a1)", "R=0: the page is execute-only, and sstatus.MXR=0", "readable"),
        ("RWAD", False, "jr a1", "X=0: the page is not executable", "executable"),
        ("RWUAD", False, "lw a0, 0(a1)", "U=1 with sstatus.SUM=0: S-mode may not touch a user page", "user"),
        ("RW", False, "lw a0, 0(a1)", "A=0: the hart does not set it itself", "accessed"),
        ("RWA", False, "sw a0, 0(a1)", "D=0: the hart does not set it itself", "dirty"),
        ("WAD", False, "lw a0, 0(a1)", "W=1 with R=0: a reserved combination", "write-only"),
        ("RWAD", True, "lw a0, 0(a1)", "misaligned superpage", "aligned"),
        ("", True, "lw a0, 0(a1)", "V=0", "valid"),
    ],
)
def test_page_faults(flags: str, superpage: bool, text: str, expected: str, rule: str) -> None:
    target = trapped(f"nop\n{text}", x11=0x4000_0000, satp=SV39 | TABLES >> 12)
    context = target.contexts[0]
    for spa, word in mapped("V" + flags if flags else "", superpage=superpage).items():
        target.memory.write_u64(spa, word)
    put(context.hart.state, "pc", RAM)
    put(context.hart.state, "prv", 1)
    target.run(4)
    found = why(context)
    told = said(context)
    assert found.rule == rule and expected in told, told
    access = {"l": "loads from", "s": "stores to", "j": "fetches an instruction from"}[text[0]]
    assert f"It {access} 0x40000000" in told and "Usually:" in told and "Rule: " in told
    assert found.walk is not None and found.walk.fault is not None


def test_a_page_that_was_mapped_since() -> None:
    target = trapped("lw a0, 0(a1)", x11=0x4000_0000, satp=SV39 | TABLES >> 12)
    for spa, word in mapped("").items():
        target.memory.write_u64(spa, word)
    put(target.contexts[0].hart.state, "pc", RAM)
    put(target.contexts[0].hart.state, "prv", 1)
    target.run(1)
    target.memory.write_u64(TABLES + 0x2000, SCRATCH >> 12 << 10 | 0xCF)
    assert "allow that now: they were changed since" in said(target.contexts[0])


def test_pmp_and_missing_memory() -> None:
    context = trapped("lw a0, 0(a1)", x11=RAM + 0x30_0000, pmpaddr1=MASK64, pmpcfg0=0).contexts[0]
    assert "no PMP entry matches" in said(context)  # the fetch of the first instruction
    context = trapped("lw a0, 0(a1)", x11=0x4000_0000).contexts[0]
    told = said(context)
    assert "load access fault (cause 5)" in told and "it is neither RAM nor a device" in told
    assert "a wrong constant for a device" in told
    context = trapped("lw a0, 0(a1)", x11=RAM - 0x7000_0000 + 1).contexts[0]
    assert "access fault" in said(context) or "misaligned" in said(context)


@pytest.mark.parametrize(
    ("word", "mode", "slots", "expected", "rule"),
    [
        (".half 0", "S", {}, "all 16 bits are 0", "zeros"),
        (".word 0xffffffff", "S", {}, "All bits are 1", "ones"),
        (".word 0x0000007f", "S", {}, "opcode 0b1111111", "encoding"),
        (".word 0x02007057", "S", {}, "this hart has no V extension", "extension"),
        (".word 0x0000705b", "S", {}, "opcode", "encoding"),
        ("mret", "S", {}, "mret is for M-mode, and this is HS-mode", "privilege"),
        ("sret", "U", {}, "sret is for supervisors, and this is U-mode", "privilege"),
        ("sret", "S", {"mstatus": 1 << 22}, "mstatus.TSR=1", "tsr"),
        ("wfi", "S", {"mstatus": 1 << 21}, "mstatus.TW=1", "tw"),
        ("sfence.vma", "S", {"mstatus": 1 << 20}, "mstatus.TVM=1", "tvm"),
        ("csrr a0, satp", "S", {"mstatus": 1 << 20}, "satp is withheld from HS-mode: mstatus.TVM=1", "guard"),
        ("csrr a0, 0x5c0", "S", {}, "there is no CSR 0x5c0", "no-csr"),
        ("csrw time, a0", "S", {}, "time (0xc01) is read-only", "read-only"),
        ("csrr a0, mstatus", "S", {}, "mstatus (0x300) is M-mode's, and this is HS-mode", "csr-privilege"),
        ("csrr a0, sstatus", "U", {}, "sstatus (0x100) is S-mode's, and this is U-mode", "csr-privilege"),
        ("csrr a0, time", "S", {"mcounteren": 0}, "time is withheld from HS-mode: mcounteren.TM=0", "guard"),
        ("csrr a0, instret", "U", {"scounteren": 0}, "scounteren.IR=0", "guard"),
        ("csrr a0, stimecmp", "S", {"menvcfg": 0}, "menvcfg.STCE=0", "guard"),
        ("fadd.s fa0, fa1, fa2", "S", {}, "sstatus.FS=0 (Off): floating point is switched off for HS-mode", "fs-off"),
        ("csrr a0, fcsr", "S", {}, "mstatus.FS=0", "guard"),
        ("fadd.s fa0, fa1, fa2", "S", {"mstatus": 1 << 13, "fcsr": 5 << 5}, "frm=5 is reserved", "rounding"),
        ("cbo.zero (a0)", "S", {"menvcfg": 0}, "menvcfg.CBZE=0", "envcfg"),
        ("hlv.d a0, (a1)", "U", {}, "this is U-mode (hstatus.HU=0)", "privilege"),
        ("hfence.gvma", "U", {}, "hfence.gvma is the hypervisor's, and this is U-mode", "privilege"),
    ],
)
def test_illegal_instructions(word: str, mode: str, slots: dict[str, int], expected: str, rule: str) -> None:
    context = trapped(word, mode=mode, **slots).contexts[0]
    told = said(context)
    found = why(context)
    assert found.name == "illegal instruction", told
    assert expected.lower() in told.lower() and found.rule == rule, told
    assert found.usually and found.source.startswith("norm:")


@pytest.mark.parametrize("mode", ["VS", "VU"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_refusals_agree_with_the_hart(case: tuple[str, int | None, int | None], mode: str) -> None:
    """Illegal or virtual, as the hart decides; nothing where it executes it."""
    text, *causes = case
    expected = causes[mode == "VU"]
    target = bare(mcounteren=MASK64, menvcfg=MASK64, mstateen0=MASK64)
    now = with_mode(save(target.contexts[0]), 1 if mode == "VS" else 0, True)
    found = refused(int.from_bytes(ASSEMBLER.program(text, RAM), "little"), now)
    if expected is None:
        assert found is CHANGED
    else:
        assert found is not CHANGED and found.virtual == (expected == 22), found


def test_virtual_instructions() -> None:
    context = trapped("csrr a0, vsatp", mode="VS").contexts[0]
    told = said(context)
    assert "virtual instruction (cause 22)" in told and "vsatp (0x280) is the hypervisor's, and this is VS-mode" in told
    context = trapped("sret", mode="VS", hstatus=1 << 22).contexts[0]
    assert "hstatus.VTSR=1" in said(context)
    context = trapped("wfi", mode="VS", hstatus=1 << 21).contexts[0]
    assert "hstatus.VTW=1: a wfi of the guest traps" in said(context)
    context = trapped("csrr a0, time", mode="VS", hcounteren=0).contexts[0]
    assert "time is withheld from VS-mode: hcounteren.TM=0" in said(context)


def test_a_virtual_instruction_that_was_handed_down() -> None:
    target = vm("la t0, handler\ncsrw stvec, t0\ncsrr a0, hstatus\n.balign 4\nhandler: j handler", 6)
    told = said(target.contexts[0])
    assert "illegal instruction (cause 2)" in told and "hstatus (0x600) is the hypervisor's" in told
    assert "the hypervisor, which handed it down" in told


def test_breakpoints_calls_and_atomics() -> None:
    assert "it is an ebreak" in said(trapped("ebreak").contexts[0]).lower()
    assert "it is an ebreak" in said(trapped("c.ebreak").contexts[0]).lower()
    assert "environment call from U-mode" in said(trapped("ecall", mode="U").contexts[0])
    told = said(trapped("amoadd.w a0, a1, (a2)", x12=SCRATCH + 2).contexts[0])
    assert "2 bytes off its alignment" in told and "an atomic must be aligned" in told


def test_interrupts() -> None:
    target = trapped("end: j end", mideleg=MASK64, mie=1 << 5, menvcfg=1 << 63, stimecmp=0, mstatus=2)
    told = said(target.contexts[0])
    assert "supervisor timer interrupt (interrupt 5)" in told and "had reached stimecmp" in told
    target = trapped("end: j end", mideleg=MASK64, mie=1 << 1, mip=1 << 1, mstatus=2)
    assert "software sent it" in said(target.contexts[0]).lower()


def test_guest_page_faults_by_what_is_there() -> None:
    told = said(vm(f"li a0, {RAM + 0x30_0000:#x}\nsd a0, 0(a0)\nend: j end", 5).contexts[0])
    assert "store/AMO guest-page fault (cause 23)" in told and "RAM of the VM" in told and "nothing is wrong" in told
    told = said(vm("li a0, 0x10001000\nlw a1, 0(a0)\nend: j end", 5).contexts[0])
    assert "register 0x0 of virtio console" in told
    target = vm("la t0, handler\ncsrw stvec, t0\nli a0, 0x50000000\nlw a1, 0(a0)\n.balign 4\nhandler: j handler", 8)
    assert "neither RAM nor a device of the VM: the hypervisor gives the guest an access fault" in said(
        target.contexts[0], "exit"
    )
    told = said(target.contexts[0])
    assert "load access fault (cause 5)" in told and "g:0x50000000, where the VM has neither RAM nor a device" in told


def test_a_device_that_refuses_the_width() -> None:
    target = vm("la t0, handler\ncsrw stvec, t0\nli a0, 0x10001000\nlb a1, 0(a0)\n.balign 4\nhandler: j handler", 8)
    assert "register 0x0 of virtio console, which takes no such access" in said(target.contexts[0])


def test_the_g_stage_bit_that_costs_weeks() -> None:
    """A leaf of the G-stage without U, found by walking again."""
    target = vm("end: j end", 5)
    context = target.contexts[0]
    walk = context.walk(BASE, "fetch")
    leaf = walk.accesses[-1]
    hart = context.hart
    put(hart.state, "scause", 20)
    for name, value in (("stval", BASE), ("htval", BASE >> 2), ("sepc", BASE), ("htinst", 0)):
        put(hart.state, name, value)
    target.memory.write_u64(leaf.pte_spa, leaf.pte & ~16)
    target.hv.trace.append(1, b"".join(w.to_bytes(8, "little") for w in (1, 20, BASE, BASE, 5)))
    told = said(context, "exit")
    assert "U=0: a G-stage leaf needs U=1" in told and "people have lost weeks to this bit" in told


def test_nothing_yet_and_hints() -> None:
    target = vm("end: j end", 0)
    assert "has not trapped yet" in said(target.contexts[0])
    for hint in ("exit", "fault", "m"):
        with pytest.raises(DebugError, match="there has been no"):
            why(target.contexts[0], hint)
    with pytest.raises(DebugError, match="say one of exit, fault"):
        why(vm("ecall\nend: j end", 5).contexts[0], "nonsense")


def test_the_end_of_a_vm() -> None:
    told = said(guest("hello").contexts[0])
    assert told.startswith("hello has stopped: powered off.") and "system_reset (SRST)" in told


def test_a_guest_that_ended_badly_is_explained_by_its_fault() -> None:
    told = said(guest("broken-page").contexts[0])
    assert "store/AMO page fault (cause 15)" in told and "W=0: the page is not writable, in the level 0 PTE" in told
    assert "broken/page/user.c:" in told and "from VU-mode to VS-mode" in told and "Also: why exit" in told


def test_sections_without_tags_are_named() -> None:
    target = vm("la t0, handler\ncsrw stvec, t0\nli a0, 0x50000000\nlw a1, 0(a0)\n.balign 4\nhandler: j handler", 8)
    assert 'Rule: the section "Virtual Address Translation Process"' in said(target.contexts[0], "exit")


def test_every_rule_of_the_walker_has_a_usual_cause() -> None:
    """Or the general one of its kind; and each sentence is plain: no capital, no full stop."""
    for rule in (*PTE_RULES, *LEAF_RULES):
        assert ("page", rule.name) in USUAL or ("page", "") in USUAL
    for text in USUAL.values():
        assert text[0].islower() or text.split()[0].isupper() or text.startswith(("PMP", "M-mode")), text
        assert not text.endswith(".")


def test_every_cause_is_explained() -> None:
    """Whatever a cause register says, and whatever else it says with it."""
    target = bare()
    context = target.contexts[0]
    for cause in [
        *(c.code | c.interrupt << 63 for c in ISA.causes.values() if c.interrupt or c.code),
        24,
        63,
        1 << 63 | 60,
        MASK64,
    ]:
        for tval in (0, RAM, 1 << 63, MASK64):
            for name, value in (("mcause", cause), ("mtval", tval), ("mepc", RAM), ("mtval2", tval >> 2)):
                put(context.hart.state, name, value)
            assert said(context, "m")
