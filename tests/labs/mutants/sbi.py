"""Lab 3."""

from __future__ import annotations

from tests.labs.mutants import mutant

ALL = "base probe unknown write read ranges reset hosts-guests"
CHECK = "    if base_addr_hi or not caller.ram.covers(base_addr_lo, num_bytes):\n        return ERR_INVALID_PARAM, 0\n"
WRITE, READ = CHECK + "    n = min(", CHECK + "    data = caller.console"
PARTIAL = "    n = min(num_bytes, MOST_BYTES)\n"
RESUME = "self.guest.resume((pc + ECALL_LENGTH) & MASK64)"

MUTANTS = [
    mutant("the version's halves at bit 16", ("3 << 24 | 0", "3 << 16 | 0"), loses="base hosts-guests", says="0x3000000"),
    mutant("another's number", ("IMPL_ID = 0x7276_6876", "IMPL_ID = 3"), loses="base hosts-guests", says="get_impl_id"),
    mutant("everything is there", ("int(extension_id in caller.sbi)", "1"), loses="probe", says="there is no such extension"),
    mutant(
        "what is absent is not supported",
        (
            "return SUCCESS, int(extension_id in caller.sbi)",
            "return (0, 1) if extension_id in caller.sbi else (-2 & (1 << 64) - 1, 0)",
        ),
        loses="probe",
        says="SBI_ERR_NOT_SUPPORTED",
    ),
    mutant(
        "unknown calls succeed",
        ("error, value = ERR_NOT_SUPPORTED,", "error, value = SUCCESS,"),
        loses="unknown",
        says="0, SBI_SUCCESS",
    ),
    mutant(
        "unknown calls fail",
        ("ERR_NOT_SUPPORTED = -2 & MASK64", "ERR_NOT_SUPPORTED = -1 & MASK64"),
        loses="unknown",
        says="SBI_ERR_FAILED",
    ),
    mutant(
        "errors of 32 bits",
        ("ERR_NOT_SUPPORTED = -2 & MASK64", "ERR_NOT_SUPPORTED = -2 & 0xFFFF_FFFF"),
        loses="unknown",
        says="0xfffffffe",
    ),
    mutant(
        "errors are negative",
        ("ERR_NOT_SUPPORTED = -2 & MASK64", "ERR_NOT_SUPPORTED = -2"),
        loses="unknown registers",
        says="not -2",
    ),
    mutant(
        "FID not looked at",
        ("0 if eid < LEGACY_END else state[A6]", "0"),
        loses="base probe unknown write read hosts-guests",
        says="get_",
    ),
    mutant("EID and FID swapped", ("eid = state[A7]", "eid = state[A6]"), loses=ALL, says="a1 is"),
    mutant(
        "no value",
        ("            state[A1] = value", "            pass"),
        loses="base probe write read ranges hosts-guests",
        says="a1 is",
    ),
    mutant("base_addr_hi not looked at", (WRITE, WRITE.replace("base_addr_hi or ", "")), loses="ranges", says="upper 64 bits"),
    mutant("the first byte only", (WRITE, WRITE.replace(", num_bytes)", ")")), loses="ranges", says="behind the RAM"),
    mutant("the last byte forgotten", (READ, READ.replace("num_bytes)", "num_bytes - 1)")), loses="ranges", says="last byte"),
    mutant(
        "the range is cut before it is looked at",
        (WRITE, PARTIAL + WRITE.replace("num_bytes)", "n)")),
        loses="ranges",
        says="the first 4096 bytes are not",
    ),
    mutant(
        "not RAM is a failure",
        (READ, READ.replace("ERR_INVALID_PARAM", "(1 << 64) - 1")),
        loses="ranges",
        says="SBI_ERR_FAILED",
    ),
    mutant(
        "read before the range was looked at",
        (READ, "    caller.console.read(num_bytes)\n" + READ),
        loses="read ranges",
        says="typed",
    ),
    mutant("all of it at once", (PARTIAL, "    n = num_bytes\n"), loses="write", says="4096 of"),
    mutant(
        "a part is written, all of it is claimed",
        ("return SUCCESS, n\n", "return SUCCESS, num_bytes\n"),
        loses="write",
        says="a1 is",
    ),
    mutant(
        "a part is read, all of it is claimed",
        ("return SUCCESS, len(data)", "return SUCCESS, num_bytes"),
        loses="read",
        says="a1 is",
    ),
    mutant(
        "what was not typed is zeros",
        (
            "caller.ram.write(base_addr_lo, data)",
            "caller.ram.write(base_addr_lo, data.ljust(min(num_bytes, MOST_BYTES), bytes(1)))",
        ),
        loses="read",
        says="leave what follows",
    ),
    mutant(
        "a register is printed for a byte",
        ("caller.console.write(bytes((byte & 0xFF,)))", 'caller.console.write(byte.to_bytes(8, "little"))'),
        loses="write",
        says="the low byte",
    ),
    mutant(
        "shutdown only",
        (
            'RESET_TYPES = {0: "powered off", 1: "asked for a cold reboot", 2: "asked for a warm reboot"}',
            'RESET_TYPES = {0: "powered off"}',
        ),
        loses="reset",
        says="to power the machine off",
    ),
    mutant(
        "reserved types power off",
        ("how = RESET_TYPES.get(reset_type & MASK32)", 'how = RESET_TYPES.get(reset_type & MASK32, "powered off")'),
        loses="reset",
        says="reserved",
    ),
    mutant(
        "reserved reasons are failures",
        ("failed = RESET_REASONS.get(reset_reason & MASK32)", "failed = reset_reason & MASK32 != 0"),
        loses="reset",
        says="reserved",
    ),
    mutant(
        "type and reason are swapped",
        ("reset_type: int, reset_reason: int", "reset_reason: int, reset_type: int"),
        loses="reset",
        says="to be",
    ),
    mutant(
        "failures are forgotten",
        ("if failed else how, failed, ", "if failed else how, False, "),
        loses="reset",
        says="failed=False",
    ),
    mutant(
        "reset_type of 64 bits",
        ("RESET_TYPES.get(reset_type & MASK32)", "RESET_TYPES.get(reset_type)"),
        loses="reset",
        says="32 bits wide",
    ),
    mutant(
        "the guest calls again and again",
        (RESUME, "self.guest.resume(pc)"),
        loses="registers hosts-guests",
        says="behind the ecall",
    ),
    mutant("a compressed ecall", ("ECALL_LENGTH = 4", "ECALL_LENGTH = 2"), loses="registers hosts-guests", says="4 bytes long"),
    mutant("nobody lets the guest go on", (RESUME, "pass"), loses="registers hosts-guests", says="not called"),
    mutant("a2 is used up", (RESUME, RESUME + "; self.guest.x[12] = 0"), loses="registers", says="x12 to stay"),
]
