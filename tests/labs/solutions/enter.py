"""Lab 1: one list of CSRs for both directions, fields by their bit numbers."""

GUEST_CSRS = "vsstatus vstvec vsscratch vsepc vscause vstval vsatp hie hvip htimedelta scounteren senvcfg fcsr".split()
ALL = [*GUEST_CSRS, "vstimecmp", "hgatp", "hstatus", "sstatus", "sepc"]


class World:
    def __init__(self, cpu):
        self.cpu = cpu
        self.saved = {}

    def start(self, guest):
        cpu = self.cpu
        for name in GUEST_CSRS:
            cpu.write_csr(name, 0)
        cpu.write_csr("vstimecmp", (1 << 64) - 1)
        for n in range(32):
            cpu.x[n] = 0
            cpu.f[n] = 0
        cpu.x[10] = guest.hart_id
        cpu.x[11] = guest.device_tree
        cpu.write_csr("hgatp", 8 << 60 | guest.vmid << 44 | guest.root // 4096)
        cpu.write_csr("hstatus", 1 << 7 | 1 << 21)
        cpu.write_csr("sstatus", cpu.read_csr("sstatus") | 1 << 8)
        cpu.write_csr("sepc", guest.entry)

    def save(self, guest):
        cpu = self.cpu
        self.saved[guest.vmid] = [cpu.x[n] for n in range(32)], [cpu.f[n] for n in range(32)], {n: cpu.read_csr(n) for n in ALL}

    def restore(self, guest):
        x, f, csrs = self.saved[guest.vmid]
        for n in range(32):
            self.cpu.x[n] = x[n]
            self.cpu.f[n] = f[n]
        for name in ALL:
            self.cpu.write_csr(name, csrs[name])
