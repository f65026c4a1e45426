"""Why an instruction is illegal, or virtual, in the mode that tried it: the rules of `rvhv.core.privileged`, in words.

The hart decides; this looks afterwards, with the CSRs as they are, which is as they were unless somebody changed them since.
"""

from __future__ import annotations

from dataclasses import dataclass

from rvhv.core.registry import ISA
from rvhv.cpu.state import Prv
from rvhv.debug.look.saved import Saved
from rvhv.isa.effects import CsrAccess, Load, Store, UseFloat
from rvhv.isa.expr import E
from rvhv.isa.rows import Insn

DYNAMIC_ROUNDING = 7
RESERVED_ROUNDING = (5, 6)
OPCODES = {
    0x03: "LOAD", 0x07: "LOAD-FP", 0x0F: "MISC-MEM", 0x13: "OP-IMM", 0x17: "AUIPC", 0x1B: "OP-IMM-32", 0x23: "STORE",
    0x27: "STORE-FP", 0x2F: "AMO", 0x33: "OP", 0x37: "LUI", 0x3B: "OP-32", 0x43: "MADD", 0x47: "MSUB", 0x4B: "NMSUB",
    0x4F: "NMADD", 0x53: "OP-FP", 0x57: "OP-V", 0x63: "BRANCH", 0x67: "JALR", 0x6F: "JAL", 0x73: "SYSTEM",
}  # fmt: skip


@dataclass(frozen=True)
class Refusal:
    """`rule` names the kind of reason for the table of usual causes; `source` is the manual's tag; `virtual`: with V=1, a virtual
    instruction and not an illegal one."""

    rule: str
    text: str
    source: str
    virtual: bool = False


CHANGED = Refusal("changed", "it would be legal there now: what refused it has changed since", "norm:exc_priority")


def refused(word: int, now: Saved) -> Refusal:
    """What is wrong with an instruction for the mode in `now`."""
    found = ISA.decode(word)
    if found is None:
        return _unknown(word)
    insn, fields, _ = found
    reason = _system(insn, now)
    if reason is None and any(isinstance(effect, CsrAccess) for effect in insn.effects):
        reason = _csr(insn, fields, now)
    if reason is None and any(isinstance(effect, UseFloat) for effect in insn.effects):
        reason = _float(fields, now)
    if reason is None and insn.name.startswith("cbo."):
        reason = _cache_block(insn, now)
    return reason or CHANGED


# bits that are no instruction


def _unknown(word: int) -> Refusal:
    source = "norm:ssstrict_unimplemented_opcodes_csr_exception"
    if word & 0xFFFF == 0:
        text = "all 16 bits are 0, which is illegal on purpose: this is memory that nobody put code into, or data"
        return Refusal("zeros", text, "norm:Zca_illegal")
    if word & 3 != 3:
        text = f"no compressed instruction of this hart is {word & 0xFFFF:#06x} (quadrant {word & 3}, funct3 {word >> 13 & 7})"
        return Refusal("encoding", text, source)
    if word == 0xFFFF_FFFF:
        return Refusal("ones", "all bits are 1: this is erased or missing memory, or data", source)
    opcode = word & 0x7F
    name = OPCODES.get(opcode)
    if name is None:
        return Refusal("encoding", f"opcode {opcode:#09b} (bits 6:0) is none that this hart knows", source)
    if name == "OP-V":
        return Refusal("extension", "it is a vector instruction (opcode OP-V), and this hart has no V extension", source)
    near = [i for i in ISA.insn_list if i.encoding.match & 0x7F == opcode]
    for low, high, field in ((12, 14, "funct3"), (25, 31, "funct7"), (20, 24, "rs2")):
        mask = (1 << high + 1) - (1 << low)
        fitting = [i for i in near if not (word ^ i.encoding.match) & mask & i.encoding.mask]
        if not fitting:
            value = (word & mask) >> low
            return Refusal("encoding", f"{field}={value:#x} (bits {high}:{low}) means nothing with opcode {name}", source)
        near = fitting
    hint = f"; close to {near[0].name}" if near else ""
    return Refusal("encoding", f"its bits are no instruction of this hart (opcode {name}{hint})", source)


# privileged instructions


def _mode(now: Saved) -> str:
    virtual = bool(now["v"])
    return {Prv.U: "VU" if virtual else "U", Prv.S: "VS" if virtual else "HS", Prv.M: "M"}[Prv(now["prv"])]


def _system(insn: Insn, now: Saved) -> Refusal | None:
    mode, virtual = _mode(now), bool(now["v"])
    user = now["prv"] == Prv.U

    def bit(csr: str, name: str) -> bool:
        return bool(now.field(csr, name))

    name = insn.name
    if name == "mret" and mode != "M":
        return Refusal("privilege", f"mret is for M-mode, and this is {mode}-mode", "norm:Zicsr_higher_priv")
    if name == "sret":
        if virtual and user:
            return Refusal("virtual", "sret is for supervisors, and this is VU-mode", "norm:H_virtinst_vu_sret_sfence", True)
        if virtual and bit("hstatus", "VTSR"):
            return Refusal(
                "vtsr", "hstatus.VTSR=1: the hypervisor wants to see every sret of VS-mode", "norm:hstatus_vtsr_op", True
            )
        if mode == "U":
            return Refusal("privilege", "sret is for supervisors, and this is U-mode", "norm:Zicsr_higher_priv")
        if mode == "HS" and bit("mstatus", "TSR"):
            return Refusal("tsr", "mstatus.TSR=1: M-mode wants to see every sret of S-mode", "norm:mstatus_tsr_op")
    if name in ("wfi", "wrs.nto") and mode != "M":
        if bit("mstatus", "TW"):
            return Refusal("tw", f"mstatus.TW=1: {name} outside M-mode is illegal here", "norm:mstatus_tw_op")
        if virtual and user and name == "wfi":
            return Refusal("virtual", "wfi in VU-mode is the hypervisor's to see", "norm:H_virtinst_vu_wfi_tw0", True)
        if virtual and bit("hstatus", "VTW"):
            text = f"hstatus.VTW=1: a {name} of the guest traps, so that the hypervisor can let others run"
            return Refusal("vtw", text, "norm:hstatus_vtw_op", True)
        if mode == "U" and name == "wfi":
            return Refusal("privilege", "wfi in U-mode traps on this hart, which has S-mode", "norm:mstatus_tw_umode_op")
    if name in ("sfence.vma", "sinval.vma", "sfence.w.inval", "sfence.inval.ir"):
        bounded = name in ("sfence.vma", "sinval.vma")
        if virtual and user:
            return Refusal("virtual", f"{name} is for supervisors, and this is VU-mode", "norm:H_virtinst_vu_sret_sfence", True)
        if virtual and bounded and bit("hstatus", "VTVM"):
            text = f"hstatus.VTVM=1: the hypervisor wants to see {name} and satp of VS-mode"
            return Refusal("vtvm", text, "norm:hstatus_vtvm_op", True)
        if mode == "U":
            return Refusal(
                "privilege", f"{name} is for supervisors, and this is U-mode", "norm:Svinval_illegal_instruction_u_mode"
            )
        if mode == "HS" and bounded and bit("mstatus", "TVM"):
            return Refusal("tvm", f"mstatus.TVM=1: M-mode wants to see {name} and satp of S-mode", "norm:mstatus_tvm_hs")
    if name.startswith(("hfence", "hinval")) or _hypervisor_access(insn):
        if virtual:
            text = f"{name} is the hypervisor's, and this is {mode}-mode of a guest"
            return Refusal("virtual", text, "norm:H_virtinst_vu_vs_hinst", True)
        if mode == "U" and not (_hypervisor_access(insn) and bit("hstatus", "HU")):
            hint = " (hstatus.HU=0)" if _hypervisor_access(insn) else ""
            return Refusal("privilege", f"{name} is the hypervisor's, and this is U-mode{hint}", "norm:hlsv_illegalinst")
        if mode == "HS" and name.endswith("gvma") and bit("mstatus", "TVM"):
            return Refusal("tvm", f"mstatus.TVM=1: M-mode wants to see {name}", "norm:hgatp_tvm_illegal")
    return None


def _hypervisor_access(insn: Insn) -> bool:
    return any(isinstance(effect, Load | Store) and effect.via != "data" for effect in insn.effects)


# CSRs


def _csr(insn: Insn, fields: dict[str, int], now: Saved) -> Refusal | None:
    number = fields["csr"]
    row = ISA.csr_by_number.get(number)
    mode, virtual = _mode(now), bool(now["v"])
    if row is None:
        text = f"there is no CSR {number:#x} on this hart"
        return Refusal("no-csr", text, "norm:Zicsr_illegal_acc")
    source = fields.get("rs1", fields.get("uimm", 0))
    if row.read_only and (not insn.name.startswith(("csrrs", "csrrc")) or source):
        return Refusal(
            "read-only", f"{row.name} ({number:#x}) is read-only: bits 11:10 of its number are 3", "norm:Zicsr_write_ro"
        )
    level = {0: "U", 1: "S", 2: "HS", 3: "M"}[row.privilege]
    if row.privilege == Prv.M and mode != "M":
        return Refusal(
            "csr-privilege", f"{row.name} ({number:#x}) is M-mode's, and this is {mode}-mode", "norm:Zicsr_illegal_mode"
        )
    reached = ISA.csrs[row.vs] if virtual and row.vs is not None else row
    for guard, kind in row.guards:
        if now.evaluate(guard):
            what = guard_text(guard, now)
            return Refusal("guard", f"{row.name} is withheld from {mode}-mode: {what}", _guard_source(what), kind == "virtual")
    if reached.privilege and now["prv"] != Prv.M:
        if virtual and (row.privilege == 2 or now["prv"] == Prv.U):
            who = "the hypervisor's" if row.privilege == 2 else "a supervisor's"
            text = f"{row.name} ({number:#x}) is {who}, and this is {mode}-mode of a guest"
            tag = "norm:H_virtinst_vu_vs_nonhigh_allowedhs_tvm0"
            return Refusal("virtual", text, tag, True)
        if now["prv"] == Prv.U:
            text = f"{row.name} ({number:#x}) is {level}-mode's, and this is U-mode"
            return Refusal("csr-privilege", text, "norm:Zicsr_illegal_mode")
    return None


def guard_text(guard: E, now: Saved) -> str:
    """The bits that a guard looks at, by the names of the rows, and their values: "mcounteren.TM=0"."""
    found: dict[str, int] = {}
    for name, mask in _bits(guard):
        row = ISA.csrs.get(name)
        for f in row.fields if row is not None else ():
            if f.mask & mask:
                found[f"{name}.{f.name}"] = (now[name] & f.mask) >> f.lo
    off = {name: value for name, value in found.items() if not value}
    return " and ".join(f"{name}={value}" for name, value in (off or found).items()) or "its guard"


def _bits(e: E) -> list[tuple[str, int]]:
    """(slot, mask) of every bit that an expression picks out of a slot: `slot & mask`, or `(slot >> n) & 1`."""
    if e.op == "and" and len(e.kids) == 2:
        left, right = e.kids
        for value, mask in ((left, right), (right, left)):
            if mask.op != "const":
                continue
            bits = mask.args[0]
            assert isinstance(bits, int)
            if value.op == "leaf":
                return [(str(value.args[0]), bits)]
            if value.op == "shr" and value.kids[0].op == "leaf" and value.kids[1].op == "const":
                shift = value.kids[1].args[0]
                assert isinstance(shift, int)
                return [(str(value.kids[0].args[0]), bits << shift)]
    return [one for kid in e.kids for one in _bits(kid)]


GUARD_SOURCES = {
    "mcounteren": "norm:mcounteren_clr_ill_inst_exc", "hcounteren": "norm:hcounteren_op", "scounteren": "norm:scounteren_op",
    "menvcfg.STCE": "norm:menvcfg_stce_op1", "henvcfg.STCE": "norm:henvcfg_stce", "mstateen": "norm:stateen_illegal_state_access",
    "hstateen": "norm:stateen_illegal_state_access", "mstatus.TVM": "norm:mstatus_tvm_hs", "hstatus.VTVM": "norm:hstatus_vtvm_op",
    "mstatus.FS": "norm:mstatus_fs_vs_xs_off_op", "vsstatus.FS": "norm:vsstatus_mstatus_FS_off_hypervisor_V_fp_ill",
}  # fmt: skip


def _guard_source(text: str) -> str:
    return next((tag for word, tag in GUARD_SOURCES.items() if word in text), "norm:Zicsr_illegal_acc")


# floating point and cache blocks


ENVCFG_SOURCES = {
    "CBIE": ("norm:menvcfg_cbie_cbo", "norm:henvcfg_cbie", "norm:senvcfg_cbie"),
    "CBCFE": ("norm:menvcfg_cbcfe_op", "norm:henvcfg_cbcfe", "norm:senvcfg_cbcfe"),
    "CBZE": ("norm:menvcfg_cbze_op", "norm:henvcfg_cbze", "norm:senvcfg_cbze"),
}


def _float(fields: dict[str, int], now: Saved) -> Refusal | None:
    for csr in ("mstatus", "vsstatus") if now["v"] else ("mstatus",):
        if not now.field(csr, "FS"):
            shown = "sstatus" if csr == "mstatus" else csr
            source = GUARD_SOURCES[f"{csr}.FS"]
            return Refusal("fs-off", f"{shown}.FS=0 (Off): floating point is switched off for {_mode(now)}-mode", source)
    rounding = fields.get("rm")
    if rounding == DYNAMIC_ROUNDING and now.csr("frm") >= RESERVED_ROUNDING[0]:
        text = f"it asks for the dynamic rounding mode, and frm={now.csr('frm')} is reserved"
        return Refusal("rounding", text, "norm:fcsr_rsv")
    if rounding in RESERVED_ROUNDING:
        return Refusal("rounding", f"its rounding mode rm={rounding} is reserved", "norm:fcsr_rsv")
    return None


def _cache_block(insn: Insn, now: Saved) -> Refusal | None:
    """menvcfg first, then henvcfg for a guest, then senvcfg for a user (CMO, "Control and Status Register Support")."""
    field = {"cbo.inval": "CBIE", "cbo.zero": "CBZE"}.get(insn.name, "CBCFE")
    if now["prv"] == Prv.M:
        return None
    user, virtual = now["prv"] == Prv.U, bool(now["v"])
    if not now.field("menvcfg", field):
        text = f"menvcfg.{field}=0: M-mode does not let others execute {insn.name}"
        return Refusal("envcfg", text, ENVCFG_SOURCES[field][0])
    if virtual and not now.field("henvcfg", field):
        text = f"henvcfg.{field}=0: the hypervisor does not let the guest execute {insn.name}"
        return Refusal("envcfg", text, ENVCFG_SOURCES[field][1], True)
    if user and not now.field("senvcfg", field):
        text = f"senvcfg.{field}=0: the supervisor does not let its programs execute {insn.name}"
        return Refusal("envcfg", text, ENVCFG_SOURCES[field][2], virtual)
    return None
