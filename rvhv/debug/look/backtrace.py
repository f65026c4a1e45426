"""Who called whom, as a view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rvhv.debug.look.places import source
from rvhv.debug.look.table import hexadecimal
from rvhv.debug.look.unwind import Frame, unwind
from rvhv.debug.target import Context
from rvhv.debug.view import Line

MOST = 64
GUESSED = ("ra", "frame pointer")


@dataclass(frozen=True)
class Backtrace:
    """Frames, innermost first, with symbol and source line of each. `ended`: why there are no more, "" at the outermost."""

    context: str
    frames: tuple[Frame, ...]
    places: tuple[tuple[str, str], ...]
    ended: str

    def lines(self) -> list[Line]:
        rows: list[Line] = []
        for n, (frame, (name, at)) in enumerate(zip(self.frames, self.places, strict=True)):
            if frame.trap:
                rows.append([("warn", f"    -- {frame.trap}, taken at:")])
            row: Line = [("key", f"#{n:<2}"), ("", " "), ("address", f"{frame.pc:#x}")]
            if name:
                row += [("", " "), ("symbol", name)]
            if at:
                row.append(("dim", f" ({at})"))
            if frame.how in GUESSED:
                row.append(("dim", f", found by {frame.how}"))
            rows.append(row)
        if self.ended:
            rows.append([("dim", f"    {self.ended}")])
        return rows

    def json(self) -> Any:
        return {
            "context": self.context,
            "frames": [
                {
                    "pc": hexadecimal(f.pc), "symbol": name or None, "source": at or None, "sp": hexadecimal(f.sp),
                    "cfa": hexadecimal(f.cfa), "how": f.how or None, "trap": f.trap or None,
                }
                for f, (name, at) in zip(self.frames, self.places, strict=True)
            ],
            "ended": self.ended or None,
        }  # fmt: skip


def backtrace(context: Context, most: int = MOST) -> Backtrace:
    """The calls that lead to pc, at most `most`."""
    frames, ended = unwind(context, max(1, most))
    places = tuple((_name(context, f), source(context, f.call)) for f in frames)
    return Backtrace(context.name, tuple(frames), places, ended)


def _name(context: Context, frame: Frame) -> str:
    """The function that made the call, even where the call was its last instruction."""
    nearest = context.symbols.nearest(frame.call)
    if nearest is None:
        return ""
    return f"{nearest[1]}+{frame.pc - nearest[0]:#x}" if frame.pc > nearest[0] else nearest[1]


def frames_of(context: Context) -> tuple[Frame, ...]:
    """The frames alone: the second one's pc is where `finish` stops, when its sp is the first one's `cfa`."""
    return tuple(unwind(context, MOST)[0])
