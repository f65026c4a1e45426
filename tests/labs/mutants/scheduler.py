"""Lab 6."""

from __future__ import annotations

from tests.labs.mutants import mutant

ALL = "round-robin comings-and-goings weights smooth starvation early sleepers newcomers"
LEVEL = "self.passes[vm.number] = max(self.now, self.passes.get(vm.number, 0))"
KEY = "key=lambda vm: (self.passes[vm.number], vm.number)"
PICKED = "self.now = self.passes[vm.number]\n        return vm, self.slice_steps"
IN_A_ROW = """
        if self.left > 0 and self.last in [vm.number for vm in ready]:
            self.left -= 1
            return next(vm for vm in ready if vm.number == self.last), self.slice_steps
"""

MUTANTS = [
    mutant("always the first", (KEY, "key=lambda vm: vm.number"), loses=ALL, says="to have one of"),
    mutant("who had most is next", ("vm = min(ready, key", "vm = max(ready, key"), loses=ALL, says="to have one of"),
    mutant("weights forgotten", ("// vm.weight", "// 1"), loses="weights starvation", says="of the time"),
    mutant("weights upside down", ("* SCALE // vm.weight", "* vm.weight"), loses="weights starvation", says="of the time"),
    mutant(
        "a whole slice charged",
        ("+= steps * SCALE", "+= self.slice_steps * SCALE"),
        loses="early",
        says=("uses 1/", "the same time"),
    ),
    mutant(
        "sleep saves up",
        (LEVEL, "self.passes.setdefault(vm.number, self.now)"),
        loses="sleepers",
        says=("which slept", "about 4 of the next 12"),
    ),
    mutant(
        "newcomers begin at zero",
        (LEVEL, "self.passes[vm.number] = max(self.now, self.passes[vm.number]) if vm.number in self.passes else 0"),
        loses="newcomers",
        says="which was not there",
    ),
    mutant(
        "nobody is ever let in level",
        (LEVEL, "self.passes[vm.number] = self.passes.get(vm.number, 0)"),
        loses="sleepers newcomers",
        says="which slept",
    ),
    mutant(
        "who was away goes to the end",
        (LEVEL, "self.passes[vm.number] = max(max(self.passes.values(), default=0), self.passes.get(vm.number, 0))"),
        loses=ALL,
        says="to have one of",
    ),
    mutant(
        "whom it remembers, ready or not",
        ("vm = min(ready, " + KEY + ")", "vm = min({**self.known, **{vm.number: vm for vm in ready}}.values(), " + KEY + ")"),
        ("self.now = self.passes[vm.number]", "self.now = self.passes[vm.number]; self.known = {vm.number: vm for vm in ready}"),
        ("self.passes: dict[int, int] = {}", "self.known = {}; self.passes = {}"),
        loses="comings-and-goings sleepers",
        says="one of the ready machines",
    ),
    mutant(
        "time in one piece, by weight",
        (PICKED, PICKED + " * vm.weight"),
        loses="weights smooth starvation",
        says="as long as `slice_steps` says",
    ),
    mutant(
        "as many slices in a row as its weight",
        ("        vm = min(ready", IN_A_ROW + "        vm = min(ready"),
        (PICKED, "self.left, self.last = vm.weight - 1, vm.number\n        " + PICKED),
        ("        self.passes: dict", "        self.left = self.last = 0\n        self.passes: dict"),
        loses="smooth",
        says="did not",
    ),
]
