"""Plausible wrong solutions of each lab: the reference with one mistake in it. One file a lab, with `MUTANTS`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`edits` are made in the reference's sources; `loses` names the checks that find the mistake, all of them; each of `says` is
    in what the first of these tells."""

    name: str
    edits: tuple[tuple[str, str], ...]
    loses: frozenset[str]
    says: tuple[str, ...]

    def files(self, reference: dict[str, str]) -> dict[str, str]:
        """Of the submission that makes this mistake."""
        files = dict(reference)
        for old, new in self.edits:
            times = sum(text.count(old) for text in files.values())
            assert times == 1, f"{self.name}: {old!r} is in the reference {times} times"
            files = {name: text.replace(old, new) for name, text in files.items()}
        return files


def mutant(name: str, *edits: tuple[str, str], loses: str, says: str | tuple[str, ...]) -> Mutant:
    """`loses`: names with spaces between."""
    return Mutant(name, edits, frozenset(loses.split()), (says,) if isinstance(says, str) else says)
