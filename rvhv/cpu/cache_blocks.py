"""Instructions on cache blocks: Zicbom, Zicboz and Zicbop (Unprivileged ISA, "CMO").

Every access of every agent goes to one memory in order, so cleaning, flushing and invalidating change nothing: what is left of
them is who may execute them and on which addresses. A block has 64 bytes (Zic64b).
"""

from __future__ import annotations

from rvhv.isa.rows import Registry

BLOCK_BYTES = 64
# the fields of menvcfg, senvcfg and henvcfg that enable them; CBIE is zero or a kind of invalidation, which are all the same here
CBIE, CBCFE, CBZE = 3 << 4, 1 << 6, 1 << 7


def add_rows(isa: Registry) -> None:
    def cbo(extension, name, operation, enable):  # type: ignore[no-untyped-def]
        isa.insn(
            extension, name, f"{operation:012b} rs1 010 00000 0001111", "(rs1)",
            lambda m, rs1: m.call("cache_block", rs1, enable, memory=True), hot=False, privileged=True,
        )  # fmt: skip

    cbo("Zicbom", "cbo.inval", 0, CBIE)
    cbo("Zicbom", "cbo.clean", 1, CBCFE)
    cbo("Zicbom", "cbo.flush", 2, CBCFE)
    cbo("Zicboz", "cbo.zero", 4, CBZE)
    for letter, number in (("i", "00000"), ("r", "00001"), ("w", "00011")):
        # norm:cbp_unperm_noexcep: a prefetch never traps; there is no cache to bring anything into
        isa.insn(
            "Zicbop", f"prefetch.{letter}", f"imm[11:5] {number} rs1 110 00000 0010011", "imm(rs1)", lambda: None,
            hot=False, overrides="ori",
        )  # fmt: skip
