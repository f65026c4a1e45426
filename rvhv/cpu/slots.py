"""The constants of `rvhv.cpu.state` and `rights` as `np.uint64` for njit code: plain ints would make guest values signed."""

from __future__ import annotations

import numpy as np

from rvhv.cpu import rights as _rights
from rvhv.cpu import state as _state

U64 = np.uint64
I64 = np.int64

for _name, _slot in _state.SLOT.items():
    globals()[_name.upper()] = U64(_slot)
for _name, _value in (vars(_state) | vars(_rights)).items():
    if isinstance(_value, int) and _name.isupper():
        globals()[_name] = U64(_value)
for _enum in (_state.Exit, _state.Fault, _state.Answer, _state.Call, _state.Log, _state.LogStage, _state.Fence):
    for _member in _enum:
        globals()[f"{_enum.__name__.upper()}_{_member.name}"] = U64(_member.value)
PRV_U, PRV_S, PRV_M = (U64(p) for p in _state.Prv)


def __getattr__(name: str) -> np.uint64:  # for type checkers: the names above are made in loops
    raise AttributeError(name)
