"""The end of a run for programs: what the `--json` document says of a VM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class EndedVm(Protocol):
    """What the report reads of a VM."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def failed(self) -> bool: ...
    @property
    def instructions(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def cpu_share(self) -> float: ...
    @property
    def exit_counts(self) -> Mapping[str, int]: ...
    @property
    def virtual_ns(self) -> int: ...


def vm_document(vm: EndedVm, console: str) -> dict[str, Any]:
    """One VM in the `--json` document."""
    return {
        "name": vm.name,
        "state": vm.state,
        "reason": vm.reason,
        "failed": vm.failed,
        "instructions": vm.instructions,
        "steps": vm.steps,
        "cpu_share": round(vm.cpu_share, 6),
        "exits": dict(sorted(vm.exit_counts.items())),
        "virtual_ns": vm.virtual_ns,
        "console": console,
    }
