"""F6: the hypervisor. Python is the HS-mode software: what is done here a C hypervisor would do at stvec."""

from rvhv.hv.exits import (
    GuestPageFaultExit,
    MmioExit,
    SbiExit,
    VirtualInstructionExit,
    VmExit,
    WfiExit,
)
from rvhv.hv.gstage import GStage, Sv39x4
from rvhv.hv.hypervisor import EXIT_COST, Hypervisor
from rvhv.hv.scheduler import RoundRobin, Scheduler, Weighted
from rvhv.hv.stopped import GuestStopped
from rvhv.hv.vcpu import VCPU
from rvhv.hv.vm import VM

__all__ = [
    "EXIT_COST",
    "VCPU",
    "VM",
    "GStage",
    "GuestPageFaultExit",
    "GuestStopped",
    "Hypervisor",
    "MmioExit",
    "RoundRobin",
    "SbiExit",
    "Scheduler",
    "Sv39x4",
    "VirtualInstructionExit",
    "VmExit",
    "Weighted",
    "WfiExit",
]
