"""Hints that have names: Zihintpause and Zihintntl (Unprivileged ISA). They do nothing: no hart competes for anything."""

from __future__ import annotations

from rvhv.isa.rows import Registry


def add_rows(isa: Registry) -> None:
    isa.insn("Zihintpause", "pause", "000000010000 00000 000 00000 0001111", "", lambda: None, hot=False, overrides="fence")
    for name, rs2 in (("p1", 2), ("pall", 3), ("s1", 4), ("all", 5)):
        word = f"0000000 {rs2:05b} 00000 000 00000 0110011"
        isa.insn("Zihintntl", f"ntl.{name}", word, "", lambda: None, hot=False, overrides="add")
        isa.c(f"c.ntl.{name}", f"100 1 00000 {rs2:05b} 10", "", f"ntl.{name}")
