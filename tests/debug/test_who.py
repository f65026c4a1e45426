"""who: the last store, change or claim before now."""

from __future__ import annotations

import pytest

from rvhv.debug.view import plain
from rvhv.errors import DebugError
from rvhv.snapshot import history
from tests.debug.machines import bare, hosted
from tests.debug.test_session import START, STORES, guest, said

pytestmark = pytest.mark.usefixtures("compiled")
VALUE = START + 0x2000


def test_the_last_store_and_the_one_before() -> None:
    with guest(STORES, {"value": VALUE}) as session:
        said(session, "run 10000")
        told = said(session, "who value")
        last = session.context.x[10]
        assert told.startswith(f"`sd a0, 0(a1)` writes {last:#x} to v:{VALUE:#x}, 8 bytes, where {last - 1:#x} was")
        first = session.target.steps
        said(session, "who value")
        assert session.context.x[10] == last - 1 and session.target.steps < first
        assert session.repeats("who value") == "who value"


@pytest.mark.parametrize("place", ["g:{gpa:#x}", "h:{spa:#x}", "u32[{gpa:#x}]", "{gpa:#x} length=1"])
def test_each_kind_of_address(place: str) -> None:
    with guest(STORES) as session:
        said(session, "run 10000")
        spa = session.context.walk(VALUE).spa
        assert spa is not None
        said(session, "who " + place.format(gpa=VALUE, spa=spa))
        assert said(session, "x/i pc").endswith("sd        a0, 0(a1)")


def test_breakpoints_do_not_count_and_stay() -> None:
    with guest(STORES, {"value": VALUE}) as session:
        said(session, "run 10000")
        said(session, f"break *{START + 0x18:#x}")
        said(session, f"watch {VALUE:#x}")
        said(session, "who value")
        entries = list(session.breakpoints)
        assert [(one.hits, one.enabled) for one in entries] == [(0, True)] * 2 and len(session.breakpoints) == 2


def test_nobody_wrote_it_and_it_stays() -> None:
    with guest(STORES) as session:
        said(session, "run 10000")
        said(session, "back 100")
        before = session.target.steps
        assert "no guest stored there since step 0" in said(session, f"who {START:#x}")
        assert "there were none since step 0" in said(session, "who vsatp")
        assert session.target.steps == before and session.in_the_past


def test_a_csr() -> None:
    with guest("li a0, 2; csrrs x0, sstatus, a0; addi a1, a1, 1; addi a1, a1, 1; addi a1, a1, 1") as session:
        said(session, "run 4")
        told = said(session, "who vsstatus.SIE")
        assert told.startswith("vsstatus was 0x200000000 and became 0x200000002: `csrs sstatus, a0` at ")
        assert session.context.steps == 2


def test_a_trap_changes_csrs_too() -> None:
    with hosted("broken-irq") as session:
        said(session, "continue")
        told = said(session, "who vscause")
        assert "became 0x8000000000000009: by the trap taken at 0x" in told and "guest_main" in told


def test_what_a_device_wrote_later_is_said() -> None:
    with hosted("broken-ring") as session:
        said(session, "continue")
        queue = next(d for d in session.context.bus.devices if d.name == "virtio entropy").queues[0]
        told = said(session, f"who g:{queue.used:#x}")
        assert "a device, the hypervisor or `set` wrote it" in told or "the hypervisor or a device wrote it" in told


WRONG = ("who", "who irq", "who irq 9", "who irq -1", "who irq a b", "who main if a0 == 1", "who sstatus", "who main ignore=3")


@pytest.mark.parametrize("line", WRONG)
def test_wrong_words(line: str) -> None:
    with hosted("hello") as session:
        with pytest.raises(DebugError):
            session.command(line)


def test_a_bare_machine() -> None:
    with bare("smp", 2) as session:
        said(session, "run 20000")
        with pytest.raises(DebugError, match="for VMs"):
            session.command("who irq 1")
        spa = session.context.x[2] - 8
        assert "writes" in said(session, f"who h:{spa:#x}") or "no guest stored" in said(session, f"who h:{spa:#x}")


def three(name: str, first: str) -> tuple[str, str]:
    """What `why` names, and what that says."""
    with hosted(name, memory="32M") as session:
        said(session, "continue")
        why = session.command("why")
        assert why.json()["next"].startswith(first)
        found = session.command(why.json()["next"])
        assert found.json()["backtrace"]
        return plain(why.lines()), plain(found.lines())


def test_the_page_table_is_found() -> None:
    why, who = three("broken-page", "who h:0x")
    assert "W=0: the page is not writable" in why and "broken/page/main.c:51" in who and "7 was" in who


def test_the_ring_is_found() -> None:
    why, who = three("broken-ring", "who g:0x")
    assert "that is at g:0x" in why and "<memcpy+" in who and "#1" in who and "broken/ring/main.c:31" in who


def test_the_interrupt_is_found() -> None:
    why, who = three("broken-irq", "who irq 3")
    assert "claimed and not completed" in why and "returned from the trap without completing it" in who
    assert "if (queue.used.idx == answered)" in who and "runtime/virtio.c" not in who
    with hosted("broken-irq") as session:
        said(session, "continue")
        said(session, "who irq entropy")
        assert "it was completed" in said(session, "who irq entropy")


def test_a_long_past_is_looked_at_only_where_the_page_was_stored_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "SPACING", 0.0)
    monkeypatch.setattr(history, "COST_SHARE", 0)
    first = f"li a1, {VALUE}; sd x0, 0(a1); sd a1, 0(a1); sd a1, 0(a1)"
    rare = f"{first}; li a2, {VALUE + 4096}; again: addi a0, a0, 1; sd a0, 0(a2); j again"
    with guest(rare) as session:
        for _ in range(30):
            said(session, "run 1000")
            session.history._remember_now()
        spa = session.context.walk(VALUE).spa
        assert spa is not None and len(session.history.snapshots) > 20
        restored = []
        restore = session.history._restore
        monkeypatch.setattr(session.history, "_restore", lambda snapshot: (restored.append(snapshot), restore(snapshot)))
        told = said(session, f"who h:{spa:#x}")
        assert f"where {VALUE:#x} was" in told  # the second one, which changed nothing
        assert len(restored) < 10
        for where in (f"h:{spa:#x}", f"g:{VALUE:#x}"):
            said(session, "goto end")
            steps = session.target.steps
            assert said(session, f"who {where}") == told.replace(f"h:{spa:#x}", where) and session.target.steps < steps
        assert "where 0x0 was" in said(session, f"who g:{VALUE:#x}")
        assert "writes 0x0 to" in said(session, f"who g:{VALUE:#x}")
