"""Lab 4."""

from __future__ import annotations

from tests.labs.mutants import mutant

ALL = "loads stores zero short fetched address refused hosts-a-guest"
LONG = "loads stores zero short address refused hosts-a-guest"
LOAD = "        value = self.devices.load(gpa, access.size)\n"
CAUSES = "FETCH_GUEST_PAGE: 1, LOAD_GUEST_PAGE: 5, STORE_GUEST_PAGE: 7"
PAGE_FAULTS = "FETCH_GUEST_PAGE: 12, LOAD_GUEST_PAGE: 13, STORE_GUEST_PAGE: 15"
REFUSED = "        if value is None:\n            return False\n"

MUTANTS = [
    mutant(
        "no sign extension",
        ("if self.signed and", "if False and"),
        loses="loads fetched hosts-a-guest",
        says="sign-extended",
    ),
    mutant(
        "everything sign-extended",
        ("funct3 < 4, word >> 7", "True, word >> 7"),
        loses="loads hosts-a-guest",
        says="zero-extended",
    ),
    mutant(
        "the whole register is stored",
        ("x[access.register] & (1 << 8 * access.size) - 1", "x[access.register]"),
        loses="stores short fetched address",
        says="the low",
    ),
    mutant("x0 is written", ("        if access.register:\n", "        if True:\n"), loses="zero", says="x0 to stay zero"),
    mutant("four bytes further, always", ("4 if tinst & 2 else 2", "4"), loses="short hosts-a-guest", says="2 bytes long"),
    mutant(
        "bit 1 of htinst the wrong way round",
        ("4 if tinst & 2 else 2", "2 if tinst & 2 else 4"),
        loses=LONG,
        says="4 bytes long",
    ),
    mutant(
        "bit 1 of htinst left as it is",
        ("decode(tinst | 2,", "decode(tinst,"),
        loses="short hosts-a-guest",
        says="exception 5",
    ),
    mutant("htinst is relied upon", ("low = fetch(trap.sepc)", "low = None"), loses="fetched", says="exception"),
    mutant(
        "four bytes further after a fetch too",
        ("not store, register, 2)", "not store, register, 4)"),
        loses="fetched",
        says="2 bytes long",
    ),
    mutant("short registers from x0 on", ("register = 8 + (half", "register = (half"), loses="fetched", says="x"),
    mutant("words are double words", ("8 if funct3 & 1 else 4", "4 if funct3 & 1 else 8"), loses="fetched", says="it was a"),
    mutant("no loads and stores by sp", ("if quadrant == 1 or", "if quadrant != 0 or"), loses="fetched", says="exception"),
    mutant("halves in the wrong order", ("upper << 16 | low", "low << 16 | upper"), loses="fetched", says="exception"),
    mutant("stval is the address", ("    gpa = trap.htval << 2\n", "    return trap.stval\n"), loses="address", says="at gpa"),
    mutant(
        "the low two bits are lost",
        ("return gpa if trap.htinst in PSEUDO else gpa | trap.stval & 3", "return gpa"),
        loses="address refused",
        says="at gpa",
    ),
    mutant("htval is the address", ("gpa = trap.htval << 2", "gpa = trap.htval"), loses=ALL, says="at gpa"),
    mutant("always a load access fault", ("ACCESS_FAULT[trap.scause]", "5"), loses="refused others", says="exception 7"),
    mutant("page faults", (CAUSES, PAGE_FAULTS), loses="refused others", says="page fault"),
    mutant(
        "no stval",
        ("ACCESS_FAULT[trap.scause], trap.stval", "ACCESS_FAULT[trap.scause], 0"),
        loses="refused others",
        says="with stval 0x0",
    ),
    mutant("misaligned accesses are done", ("if gpa & access.size - 1:", "if False:"), loses="refused", says="it is misaligned"),
    mutant(
        "nothing there reads as zero",
        (REFUSED, "        value = value or 0\n"),
        loses="refused",
        says="as if nothing had been",
    ),
    mutant(
        "a refused store is forgotten",
        ("(1 << 8 * access.size) - 1)\n        value", "(1 << 8 * access.size) - 1) or True\n        value"),
        loses="refused",
        says="as if nothing had been",
    ),
    mutant("the device is asked twice", (LOAD, LOAD + LOAD), loses=ALL.replace("stores ", ""), says="devices notice each"),
    mutant(
        "page tables like anything else",
        ("trap.scause == FETCH_GUEST_PAGE or tinst in PSEUDO", "trap.scause == FETCH_GUEST_PAGE"),
        loses="others",
        says="page table",
    ),
    mutant("half an access is done whole", ("if tinst & ADDRESS_OFFSET:", "if False:"), loses="others", says="one half"),
    mutant(
        "atomics are loads",
        ("if opcode == LOAD and", "if opcode in (LOAD, 0x2F) and"),
        loses="others",
        says="no device can do that",
    ),
]
