"""Lab 1."""

from __future__ import annotations

from tests.labs.mutants import mutant

SWITCH = "switch-registers switch-csrs switch-modes side-by-side"
HSTATUS = 'cpu.write_csr("hstatus", cpu.mask("hstatus", "SPV") | cpu.mask("hstatus", "VTW"))'
SSTATUS = 'cpu.write_csr("sstatus", cpu.read_csr("sstatus") | cpu.mask("sstatus", "SPP"))'
CLEAN_X = "for n in range(1, 32):\n            cpu.x[n] = 0"
SAVED = "self.saved[guest.vmid]"

MUTANTS = [
    mutant(
        "no SPV",
        (HSTATUS, 'cpu.write_csr("hstatus", cpu.mask("hstatus", "VTW"))'),
        loses=f"enter {SWITCH}",
        says="hstatus.SPV to be 1",
    ),
    mutant(
        "WFI does not trap",
        (HSTATUS, 'cpu.write_csr("hstatus", cpu.mask("hstatus", "SPV"))'),
        loses="status",
        says="hstatus.VTW to be 1",
    ),
    mutant(
        "hstatus keeps what another guest had",
        (HSTATUS, HSTATUS.replace(", cpu.mask", ', cpu.read_csr("hstatus") | cpu.mask', 1)),
        loses="status side-by-side",
        says=("hstatus.V", "another guest's is still there"),
    ),
    mutant("no SPP", (SSTATUS, "pass"), loses="enter switch-modes side-by-side", says="sstatus.SPP=1"),
    mutant(
        "sstatus written whole",
        (SSTATUS, 'cpu.write_csr("sstatus", cpu.mask("sstatus", "SPP"))'),
        loses="status",
        says="sstatus.FS to stay on",
    ),
    mutant("the root's address as PPN", ("root >> PAGE_SHIFT", "root"), loses="root side-by-side", says="hgatp.PPN to be"),
    mutant("the next frame", ("root >> PAGE_SHIFT", "root + 0x4000 >> PAGE_SHIFT"), loses="root side-by-side", says="hgatp.PPN"),
    mutant("no translation", ("MODE_SV39X4 << 60 | ", ""), loses="root side-by-side", says="hgatp.MODE to be 0x8"),
    mutant("everybody is VMID 1", ("(vmid & 0x3FFF) << 44", "1 << 44"), loses="root", says="hgatp.VMID to be 0x2"),
    mutant(
        "the entry in physical memory",
        ('("sepc", guest.entry)', '("sepc", guest.root)'),
        loses="enter side-by-side",
        says="the first pc to be the entry",
    ),
    mutant(
        "no device tree",
        ("cpu.x[A0], cpu.x[A1] = guest.hart_id, guest.device_tree", "cpu.x[A0] = guest.hart_id"),
        loses="enter side-by-side",
        says="the device tree's gpa",
    ),
    mutant("the timer at zero", ('NEVER if csr == "vstimecmp" else 0', "0"), loses="clean-csrs", says="vstimecmp to be"),
    mutant(
        "another guest's tables are still in vsatp",
        ("for csr in GUEST_CSRS:\n", 'for csr in GUEST_CSRS:\n            if csr == "vsatp":\n                continue\n'),
        loses="clean-csrs side-by-side",
        says="vsatp to be 0x0",
    ),
    mutant("registers of another guest", (CLEAN_X, "pass"), loses="clean-registers", says="which another guest left there"),
    mutant(
        "floating point is not switched",
        ("        for n in range(32):\n            cpu.f[n] = f[n]\n", ""),
        loses="switch-registers",
        says=("f0 (ft0) to be", "'s"),
    ),
    mutant(
        "x31 is forgotten",
        ("range(1, 32):\n            cpu.x[n] = x[n]", "range(1, 31):\n            cpu.x[n] = x[n]"),
        loses="switch-registers",
        says="x31 (t6) to be",
    ),
    mutant("time is not switched", ("hie hvip htimedelta", "hie hvip"), loses="clean-csrs switch-csrs", says="htimedelta to be"),
    mutant(
        "interrupts are not switched",
        ("hie hvip htimedelta", "hie htimedelta"),
        loses="clean-csrs switch-csrs side-by-side",
        says="hvip to be",
    ),
    mutant(
        "the mode is not kept",
        ('"hgatp", "hstatus", "sstatus", "sepc"', '"hgatp", "hstatus", "sepc"'),
        loses="switch-modes side-by-side",
        says=("to go on in V", "sstatus.SPP"),
    ),
    mutant(
        "one place for all",
        (SAVED + " = [", "self.saved[0] = ["),
        ("x, f, csrs = " + SAVED, "x, f, csrs = self.saved[0]"),
        loses=SWITCH,
        says="when it is on the hart again",
    ),
]
