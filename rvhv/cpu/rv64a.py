"""A and Zacas: load-reserved, store-conditional, atomic memory operations and compare-and-swap (Unprivileged ISA, "A", "Zacas").

aq and rl order accesses between harts; harts are interleaved on one host thread, so every access is ordered already.
"""

from __future__ import annotations

from rvhv.isa.expr import eq, lts, ltu, select, sext32
from rvhv.isa.rows import Registry


def add_rows(isa: Registry) -> None:
    def amo(name, funct5, update):  # type: ignore[no-untyped-def]
        def word(m, rs1, rs2):  # type: ignore[no-untyped-def]
            # both sides sign-extended keep the order of unsigned words too
            return m.amo(rs1, 4, lambda old: update(old, sext32(rs2)))

        def double(m, rs1, rs2):  # type: ignore[no-untyped-def]
            return m.amo(rs1, 8, lambda old: update(old, rs2))

        isa.insn("A", f"{name}.w", f"{funct5} aqrl:2 rs2 rs1 010 rd 0101111", "rd, rs2, (rs1)", word, hot=False)
        isa.insn("A", f"{name}.d", f"{funct5} aqrl:2 rs2 rs1 011 rd 0101111", "rd, rs2, (rs1)", double, hot=False)

    for suffix, funct3, size in ((".w", "010", 4), (".d", "011", 8)):
        isa.insn(
            "A", f"lr{suffix}", f"00010 aqrl:2 00000 rs1 {funct3} rd 0101111", "rd, (rs1)",
            lambda m, rs1, size=size: m.lr(rs1, size), hot=False,
        )  # fmt: skip
        isa.insn(
            "A", f"sc{suffix}", f"00011 aqrl:2 rs2 rs1 {funct3} rd 0101111", "rd, rs2, (rs1)",
            lambda m, rs1, rs2, size=size: m.sc(rs1, rs2, size), hot=False,
        )  # fmt: skip
    amo("amoswap", "00001", lambda old, src: src)
    amo("amoadd", "00000", lambda old, src: old + src)
    amo("amoxor", "00100", lambda old, src: old ^ src)
    amo("amoand", "01100", lambda old, src: old & src)
    amo("amoor", "01000", lambda old, src: old | src)
    amo("amomin", "10000", lambda old, src: select(lts(old, src), old, src))
    amo("amomax", "10100", lambda old, src: select(lts(old, src), src, old))
    amo("amominu", "11000", lambda old, src: select(ltu(old, src), old, src))
    amo("amomaxu", "11100", lambda old, src: select(ltu(old, src), src, old))

    def cas_word(m, rs1, rs2, rd_value):  # type: ignore[no-untyped-def]
        return m.amo(rs1, 4, lambda old: select(eq(old, sext32(rd_value)), rs2, old))

    def cas_double(m, rs1, rs2, rd_value):  # type: ignore[no-untyped-def]
        return m.amo(rs1, 8, lambda old: select(eq(old, rd_value), rs2, old))

    def cas_quad(m, rs1, rd_index, rs2_index):  # type: ignore[no-untyped-def]
        m.call("amocas_q", rs1, rd_index, rs2_index, memory=True)

    # a compare that fails writes the old value back
    for name, encoding, semantics in (
        ("amocas.w", "rs2 rs1 010 rd", cas_word),
        ("amocas.d", "rs2 rs1 011 rd", cas_double),
        ("amocas.q", "rs2[4:1] 0 rs1 100 rd[4:1] 0", cas_quad),  # pairs of registers: odd numbers are reserved
    ):
        isa.insn("Zacas", name, f"00101 aqrl:2 {encoding} 0101111", "rd, rs2, (rs1)", semantics, hot=False)
