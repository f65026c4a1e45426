"""Submissions that are not meant to solve the lab: each is a grade with a reason, and harms nobody."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rvhv.grade.cell import START, Limits
from rvhv.grade.check import Bench, Checks, Lost
from rvhv.grade.judge import Grade, Judge, confined
from rvhv.grade.lab import Lab
from rvhv.grade.part import Offered, attribute, items, method, u64, whole

LINUX = sys.platform == "linux"
SECRET_SEED = "a-seed-that-nobody-may-know"
CHECKS = Checks()


@CHECKS.add("adds one, after asking the machine", 1)
def adds(bench: Bench) -> None:
    """The machine is a number; a part adds to it."""
    value = bench.rng.randrange(1000)
    cells = {1: value}
    machine = Offered(
        "machine",
        {
            "value": attribute(lambda: value),
            "add": method(lambda a, b=1: a + b, 1, a=u64, b=whole(0, 9)),
            "x": items(cells.__getitem__, cells.__setitem__, whole(1, 1)),
        },
    )
    bench.part.make(bench.part.offer(machine))
    got = bench.part.call("next")
    if got != value + 1:
        raise Lost(f"next() to be {value + 1}", f"it is {got!r:.50}")
    if cells[1] != value:
        raise Lost("x[1] to stay", "it changed")


@CHECKS.add("is there", 1)
def is_there(bench: Bench) -> None:
    bench.part.make(bench.part.offer(Offered("machine", {})))


class OneLab(Lab):
    @property
    def checks(self):  # type: ignore[no-untyped-def]
        return CHECKS


LAB = OneLab(
    number=99, name="one", title="One", summary="", folder=Path(), files=("one.py",), main="one", made="One", gives=(),
    reference=("", ""), limits=Limits(requests=500, output=1000, memory=256 << 20),
)  # fmt: skip

GOOD = """
class One:
    def __init__(self, machine):
        self.machine = machine
    def next(self):
        return self.machine.add(self.machine.value)
"""


class FixedCpu(Judge):
    """Does not ask what a reference would take."""

    def reference_cpu(self, check):  # type: ignore[no-untyped-def]
        return 0.0


def grade(source: str | dict[str, str]) -> Grade:
    return FixedCpu(LAB, SECRET_SEED).grade(source if isinstance(source, dict) else {"one.py": source})


def in_next(*lines: str) -> str:
    body = "\n".join(f"        {line}" for line in lines)
    return f"{GOOD}\n    def next(self):\n{body}\n"


def reason(source: str | dict[str, str]) -> str:
    """Why the first check was lost; that the second one passes, if the part can be loaded."""
    result = grade(source)
    assert not result.results[0].passed
    if not result.refused:
        assert result.results[1].passed, result.results[1].happened
    return result.results[0].happened


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield
    assert list(tmp_path.iterdir()) == []


def test_a_good_one() -> None:
    result = grade(GOOD)
    assert result.points == 2 and not result.refused


class TestWhatIsNoPart:
    @pytest.mark.parametrize(
        ("source", "says"),
        [
            ("", "AttributeError: one.py has no One"),
            ("class One:\n  def", "SyntaxError: one.py, line 2"),
            ("(" * 10_000, "one.py, line 1"),
            ("import socket\n", "may not import socket"),
            ("from os import fork\n", "may not import os"),
            ("from . import secrets\n", "may not import ."),
            ("import nothing_like_that\n", "may not import nothing_like_that"),
            ("raise ValueError('\\x1b[31mred')", "ValueError: \\x1b[31mred"),
            ("class One:\n    pass\n1/0", "ZeroDivisionError"),
            ("x = 0\nwhile True: x += 1", "100 times the CPU time"),
            ("exit()", "exit"),
            ("\0", "null bytes"),
        ],
        ids=range(12),
    )
    def test_it_is_refused(self, source: str, says: str) -> None:
        result = grade(source)
        assert says in result.refused
        assert result.points == 0
        assert result.results[1].happened == "not tried: the part cannot be loaded"

    def test_its_own_files(self) -> None:
        assert grade({"one.py": "from two import One", "two.py": GOOD}).points == 2
        assert (
            "two.py, line 1: a part may not import pytest" in grade({"one.py": "import two", "two.py": "import pytest"}).refused
        )

    def test_files_that_it_does_not_use(self) -> None:
        """A student's own tests, and what was tried once."""
        assert grade({"one.py": GOOD, "test_one.py": "import pytest", "old.py": "print 'x'"}).points == 2

    def test_a_file_with_the_name_of_a_module_of_pythons(self) -> None:
        assert grade({"one.py": GOOD, "struct.py": "x = 1"}).points == 2
        refused = grade({"one.py": f"import struct\n{GOOD}", "struct.py": "x = 1"}).refused
        assert "one.py, line 1: struct.py has the name of a module of Python's" in refused


class TestEnds:
    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("raise KeyError(5)", "when next() was called: KeyError: 5"),
            ("exit(0)", "exit"),
            ("raise SystemExit", "it called exit()"),
            ("import os; os._exit(0)", "may not import os"),
            ("__import__('os')._exit(3)", "its process ended in the middle: exit code 3"),
            ("while True: pass", "more than 100 times the CPU time"),
            ("while True: self.machine.value", "asked the machine for more than 500 things"),
            ("return self.next()", "RecursionError"),
            ("x = [0]\n        while True: x += x", "MemoryError"),
            ("return 'x' * (1 << 21)", "TypeError: a value of over a megabyte"),
            ("return object()", "TypeError: a value of type object"),
            ("return 1 << 200", "more than 128 bits"),
            ("return 1.5", "a value of type float"),
            ("return [[]]", "next() to be"),
            ("import threading; threading.Lock()", "may not import threading"),
            ("import _thread; l = _thread.allocate_lock(); l.acquire(); l.acquire()", "may not import _thread"),
            ("l = __import__('_thread').allocate_lock(); l.acquire(); l.acquire()", "waits for something that never comes"),
            ("raise type('\\x1b[2J', (Exception,), {})('x')", "\\x1b[2J: x"),
        ],
    )
    def test_is_a_reason(self, line: str, says: str) -> None:
        result = grade(in_next(*line.split("\n        ")))
        first = result.results[0]
        assert not first.passed
        assert says in f"{first.expected} {first.happened} {result.refused}"

    @pytest.mark.skipif(not LINUX, reason="how a crash looks is the system's")
    def test_a_crash(self) -> None:
        code = "f.__code__ = f.__code__.replace(co_code=b'\\xff\\xff' * 9)"
        source = in_next("f = self.next.__func__", code, "return f(self)")
        assert "its process ended in the middle" in reason(source) or "Error" in reason(source)


class TestTheReference:
    """It is asked for its CPU time once, while the part goes on."""

    def test_a_slow_part_has_its_time(self) -> None:
        class Slow(Judge):
            asked = 0

            def reference_cpu(self, check):  # type: ignore[no-untyped-def]
                self.asked += 1
                return 0.1

        source = in_next(
            "p = __import__('time').process_time; end = p() + 1.5", "while p() < end: pass", "return self.machine.value + 1"
        )
        judge = Slow(LAB, SECRET_SEED)
        assert judge.grade({"one.py": source}).points == 2
        assert judge.asked == 1


class TestPatience:
    """What takes long and is no endless loop for whoever looks only when nothing comes."""

    def test_thinking_between_requests(self) -> None:
        line = "for _ in range(400): [x for x in range(300_000)]; self.machine.value"  # 5 ms each
        assert "100 times the CPU time" in reason(in_next(line))

    def test_much_to_read(self) -> None:
        source = in_next(
            "os = __import__('os')",
            'body = b\'["ask","machine","value","get",[\' + b\'0,\' * 500_000 + b\'0],{}]\'',
            "while True:",
            "    rest = len(body).to_bytes(4, 'little') + body",
            "    while rest: rest = rest[os.write(4, rest):]",
            "    os.read(3, 4096)",
        )
        first = grade(source).results[0]
        assert first.happened == "it sent more than 32 MiB to the machine" and first.endless

    @pytest.mark.skipif(not LINUX, reason="seccomp")
    def test_sleeping_a_little_again_and_again(self) -> None:
        """No CPU time, and never long: a lock that is waited for a while."""
        source = in_next(
            "lock = __import__('_thread').allocate_lock()",
            "lock.acquire()",
            "for _ in range(3): lock.acquire(timeout=0.5); self.machine.value",
            "return self.machine.value + 1",
        )
        assert "its process ended in the middle" in reason(source)


class TestOutput:
    def test_is_shown_with_escapes_and_cut(self) -> None:
        result = grade(in_next("print('\\x1b[2Jhi \\u202e')", "print('x' * 100_000)", "return super().next()")).results[0]
        assert result.output.startswith("\\x1b[2Jhi \\u202e\nxxxx") and len(result.output) < 2100

    def test_a_flood_changes_nothing(self) -> None:
        source = in_next("for _ in range(3000): print('y')", "return self.machine.value + 1")
        assert grade(source).points == 2

    def test_what_is_not_text(self) -> None:
        assert grade(in_next("__import__('os').write(1, b'z' * 100)", "return self.machine.value + 1")).points == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("open('x', 'w')", "PermissionError: a part may not open files"),
        ("open('/etc/passwd').read()", "PermissionError: a part may not open files"),
        ("open('/proc/self/environ').read()", "PermissionError"),
        ("__import__('os').listdir('..')", "PermissionError"),
        ("__import__('os').fork()", "PermissionError"),
        ("__import__('os').system('true')", "PermissionError"),
        ("__import__('os').kill(__import__('os').getppid(), 9)", "PermissionError"),
        ("__import__('subprocess')", "may import"),
        ("__import__('ctypes')", "may import"),
        ("__import__('_ctypes')", "may import"),
        ("__import__('time').sleep(100)", "a part may not sleep"),
        ("__import__('_thread').start_new_thread(print, ())", "threads"),
        ("__import__('_socket')", "may import"),
        ("__import__('sys').addaudithook(print); open('x', 'w')", "PermissionError"),
        ("input()", "PermissionError"),
        ("breakpoint()", "PermissionError"),
        ("__import__('signal')", "may import"),
        ("__import__('posix').fork()", "PermissionError"),
    ],
)
def test_the_guard(line: str, says: str) -> None:
    assert says in reason(in_next(line))


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts without the audit hook: who has patience gets past it."""
    without = "setattr(__import__('rvhv.grade.inside.guard', fromlist=['x']), 'watch', lambda names: None)"
    monkeypatch.setattr("rvhv.grade.cell.START", START.replace("main()", f"({without}, main())"))


class TestCheating:
    """Whatever is done over there, there is nothing in it about points."""

    def test_patching_its_own_process(self) -> None:
        source = in_next(
            "sys = __import__('sys')",
            "for name, module in list(sys.modules.items()):",
            "    for key in list(vars(module)) if name.startswith('rvhv') else ():",
            "        setattr(module, key, lambda *a, **k: True)",
            "return True",
        )
        assert "it is True" in reason(source)

    def test_tracing(self) -> None:
        source = in_next("__import__('sys').settrace(lambda *a: None)", "return -1")
        assert "it is -1" in reason(source)

    @pytest.mark.usefixtures("unguarded")
    def test_garbage_collector(self) -> None:
        source = in_next(
            "gc = __import__('gc')",
            "for thing in gc.get_objects():",
            "    if type(thing).__name__ == 'Servant': thing.serve = None",
            "return [str(x) for x in gc.get_objects() if 'seed' in str(type(x))]",
        )
        assert "it is []" in reason(source)

    @pytest.mark.usefixtures("unguarded")
    def test_the_seed_is_not_there(self) -> None:
        """Not in any object, argument or variable of the process."""
        source = in_next(
            "gc, sys, os = __import__('gc'), __import__('sys'), __import__('os')",
            "texts = [repr(sys.argv), repr(dict(os.environ)), repr(sys.orig_argv)]",
            "texts += [x for y in gc.get_objects() for x in gc.get_referents(y) if type(x) is str]",
            f"if any({SECRET_SEED[::-1]!r}[::-1] in text for text in texts): return 'found'",
            "return 'nothing'",
        )
        assert "nothing" in reason(source)

    @pytest.mark.parametrize(
        "message",
        [
            '["points",100]', '["value",1,2]', "[]", "5", "nonsense", '["ask","machine","value","call",[],{}]',
            '["ask","x","y","get",[],{}]', '["ask",1,2,3,4,5]', '["ask","machine","add","call",{},[]]',
            '["value",{"object":"judge"}]', '["value",{"pickle":"x"}]', '["value",NaN]', '["raised"]', '["raised",1,2,3,4]',
            '["say",5]', "[" * 100_000, '["value",' + "[" * 900 + "]" * 900 + "]",
        ],
    )  # fmt: skip
    def test_forged_messages(self, message: str) -> None:
        source = in_next(
            "os = __import__('os')",
            f"d = {message!r}.encode()",
            "def put(fd):",
            "    try: os.write(fd, len(d).to_bytes(4, 'little') + d)",
            "    except OSError: pass",
            "[put(fd) for fd in range(3, 9)]",
            "return 5",
        )
        first = grade(source).results[0]
        assert not first.passed
        assert first.happened.startswith(("it wrote to the judge's pipe itself", "it is ")), first.happened

    def test_a_huge_length(self) -> None:
        source = in_next(
            "os = __import__('os')",
            "def put(fd):",
            "    try: os.write(fd, b'\\xff' * 8)",
            "    except OSError: pass",
            "[put(fd) for fd in range(3, 9)]",
            "return 5",
        )
        assert "over a megabyte" in reason(source)

    def test_a_right_answer_of_a_forged_message_is_no_more_than_a_right_answer(self) -> None:
        """Who knows what a part has to answer may as well answer it."""
        source = in_next("os = __import__('os')", "value = self.machine.value", "return value + 1")
        assert grade(source).points == 2

    def test_arguments_are_checked(self) -> None:
        for line, says in (
            ("self.machine.add()", "got no a"),
            ("self.machine.add(1, 2, 3)", "takes (a, b)"),
            ("self.machine.add(1, b='x')", "b must be a whole number from 0x0 to 0x9, not 'x'"),
            ("self.machine.add(-1)", "a must be a whole number"),
            ("self.machine.add(True)", "a must be a whole number"),
            ("self.machine.add(1, c=2)", "takes (a, b)"),
            ("self.machine.x[2]", "key must be"),
            ("self.machine.nothing", "machine has no nothing; it has value, add, x"),
            ("self.machine.add(self)", "a value of type One"),
        ):
            assert says in reason(in_next(line)), line

    def test_one_submission_does_not_change_the_next(self) -> None:
        judge = FixedCpu(LAB, SECRET_SEED)
        before = judge.grade({"one.py": GOOD}).document()
        for bad in (in_next("__import__('os')._exit(1)"), in_next("while True: pass"), "", in_next("raise MemoryError")):
            judge.grade({"one.py": bad})
        assert judge.grade({"one.py": GOOD}).document() == before


@pytest.mark.skipif(not LINUX, reason="seccomp")
@pytest.mark.usefixtures("unguarded")
class TestTheWall:
    """System calls are refused by the kernel too: without the audit hook."""

    @pytest.mark.parametrize(
        "line",
        [
            "open('/etc/passwd')", "open('x', 'w')", "__import__('os').fork()", "__import__('os').listdir('/')",
            "__import__('os').kill(1, 0)", "__import__('os').execv('/bin/true', ['true'])", "__import__('os').stat('/')",
            "__import__('os').pipe()",
        ],
    )  # fmt: skip
    def test_refused(self, line: str) -> None:
        assert "[Errno 1] Operation not permitted" in reason(in_next(line))

    def test_the_judge_knows(self) -> None:
        assert confined()

    def test_threads(self) -> None:
        assert "can't start new thread" in reason(in_next("__import__('_thread').start_new_thread(print, ())"))
