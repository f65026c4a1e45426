"""The process of a student's part: it makes the part from sources that the judge sends, and does what the judge calls.

`python -I -S -c "...; main()"`. Nothing that is sent from here says anything about points.
"""

from __future__ import annotations

import ast
import builtins
import os
import sys
from collections.abc import Callable, Container, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType, TracebackType
from typing import Any

from rvhv.grade.inside import guard, wire

if sys.platform == "win32":
    from rvhv.grade.inside.platform_windows import limit, lock
else:
    from rvhv.grade.inside.platform_posix import limit, lock

FRAMES_SHOWN = 4
LONGEST_TEXT = 400  # characters of an exception's text
LONGEST_LINE = 120


class HostError(RuntimeError):
    """The machine refused what the part asked for."""


class Channel:
    """Our ends of the two pipes."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write

    def send(self, message: list[Any]) -> None:
        data = wire.encode(message)
        if len(data) > wire.LONGEST:
            raise TypeError("a value of over a megabyte")
        while data:
            data = data[os.write(self._write, data) :]

    def receive(self) -> list[Any]:
        """Ends the process when the judge is gone."""
        return wire.decode(self._take(int.from_bytes(self._take(wire.HEADER), "little")))

    def _take(self, count: int) -> bytes:
        parts = b""
        while len(parts) < count:
            part = os.read(self._read, count - len(parts))
            if not part:
                os._exit(0)
            parts += part
        return parts


class Voice:
    """sys.stdout and sys.stderr: a limited number of characters goes to the judge."""

    encoding, errors = "utf-8", "backslashreplace"

    def __init__(self, channel: Channel, left: int) -> None:
        self._channel, self._left = channel, left

    def write(self, text: str) -> int:
        if self._left > 0 and text:
            self._channel.send(["say", str(text)[: self._left].encode("utf-8", "backslashreplace").decode()])
            self._left -= len(text)
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


class Items:
    """Something of an object of the machine that is indexed."""

    def __init__(self, ask: Callable[..., Any], member: str) -> None:
        self._ask, self._member = ask, member

    def __getitem__(self, key: object) -> Any:
        return self._ask(self._member, "item", key)

    def __setitem__(self, key: object, value: object) -> None:
        self._ask(self._member, "put", key, value)


class Remote(wire.Named):
    """An object of the machine, which is in the judge's process: what is done with it is asked for over the pipe."""

    def __init__(self, name: str, members: dict[str, str], ask: Callable[..., Any]) -> None:
        super().__init__(name)
        self._members, self._ask = members, ask

    def __getattr__(self, member: str) -> Any:
        members = self.__dict__.get("_members", {})
        kind = members.get(member)
        if kind is None:
            raise AttributeError(f"{self.name} has no {member}; it has {', '.join(members)}")
        if kind == "get":
            return self._ask(member, "get")
        if kind == "items":
            return Items(self._ask, member)
        return lambda *args, **named: self._ask(member, "call", *args, **named)

    def __call__(self, *args: object, **named: object) -> Any:
        return self._ask("", "call", *args, **named)

    def __repr__(self) -> str:
        return f"<{self.name} of the machine>"


class FromMemory(MetaPathFinder, Loader):
    """Imports the submission's files, and the modules that the lab gives, from sources in memory."""

    def __init__(self, sources: dict[str, tuple[str, str]]) -> None:
        self._sources = sources  # module -> file name, source

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in self._sources:
            return ModuleSpec(name, self, origin=self._sources[name][0])
        if any(module.startswith(f"{name}.") for module in self._sources):
            return ModuleSpec(name, self, is_package=True)
        return None

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ in self._sources:
            file, source = self._sources[module.__name__]
            exec(compile(source, file, "exec", dont_inherit=True), vars(module))


def imported(tree: ast.AST, modules: Container[str]) -> list[tuple[int, str]]:
    """(line, module) of each import, in order; `from a import b` is a.b where that is one of `modules`. What is for type checkers
    only does not count."""
    found = []
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            found += [(node.lineno, f"{name}.{a.name}" if f"{name}.{a.name}" in modules else name) for a in node.names]
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            todo += node.orelse
        else:
            todo += ast.iter_child_nodes(node)
    return sorted(set(found))


class Servant:
    """Does what the judge says, until it is gone."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.objects: dict[str, Any] = {}
        self.files: dict[str, str] = {}
        self.part: Any = None
        self.refused: HostError | None = None  # the last thing that the machine refused

    # the beginning

    def load(self, order: dict[str, Any]) -> bool:
        """Read, check and confine; then let the student's code run. Whether the kernel confines it."""
        self.files = order["files"]
        own = {name.removesuffix(".py"): (name, source) for name, source in self.files.items() if name.endswith(".py")}
        given: dict[str, str] = order["gives"]
        allowed = {*order["imports"], *given}
        used, todo = set(), [order["main"]]  # other files of the submission, whatever they are, are none of our business
        while todo:
            module = todo.pop()
            if module in own and module not in used:
                used.add(module)
                name, source = own[module]
                tree = compile(source, name, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
                todo += self._check_imports(name, tree, allowed, own)
        for source in given.values():
            for _, module in imported(ast.parse(source), given):
                if module not in given:
                    __import__(module)
        sources = {**own, **{module: (f"{module}.py", source) for module, source in given.items()}}
        for module in [name for name in sys.modules if name == "rvhv" or name.startswith("rvhv.")]:
            del sys.modules[module]
        limit(order["memory"], order["cpu_seconds"])
        confined = lock()
        sys.path.clear()
        sys.meta_path.insert(0, FromMemory(sources))
        sys.stdout = sys.stderr = Voice(self.channel, order["output"])
        for name in ("ctypes", "_ctypes", "resource"):
            sys.modules.pop(name, None)
        guard.watch(frozenset((*allowed, *own)))
        main = __import__(order["main"])
        if not hasattr(main, order["name"]):
            raise AttributeError(f"{order['main']}.py has no {order['name']}: the lab calls it")
        self.make = getattr(main, order["name"])
        return confined

    def _check_imports(self, file: str, tree: Any, allowed: set[str], own: dict[str, Any]) -> list[str]:
        """Import those that are Python's own; the submission's among them."""
        found = []
        for line, module in imported(tree, {*allowed, *own}):
            if module in own:
                if module in sys.stdlib_module_names:
                    raise ImportError(f"{file}, line {line}: {module}.py has the name of a module of Python's: rename it")
                found.append(module)
                continue
            if module not in allowed:
                raise ImportError(
                    f"{file}, line {line}: a part may not import {module}; this lab's may import its own files and "
                    f"{', '.join(sorted(allowed))}"
                )
            if not module.startswith("rvhv"):
                __import__(module)
        return found

    # what the judge says

    def serve(self) -> None:
        while True:
            word, *rest = self.channel.receive()
            try:
                self.channel.send(["value", wire.pack(self._do(word, rest))])
            except BaseException as error:
                self.channel.send(self.complain(error))

    def _do(self, word: str, rest: list[Any]) -> Any:
        if word == "load":
            return self.load(rest[0])
        objects, *rest = rest
        for name, members in objects.items():
            self.objects[name] = Remote(name, members, self._asking(name))
        name, args = rest[0], [wire.unpack(arg, self.objects) for arg in rest[1:]]
        if word == "make":
            self.part = self.make(*args)
            return None
        if word == "get":
            return getattr(self.part, name)
        method = getattr(self.part, name) if name else self.make
        return method(*args)

    def _asking(self, name: str) -> Callable[..., Any]:
        def ask(member: str, how: str, *args: object, **named: object) -> Any:
            packed = [wire.pack(arg) for arg in args], {key: wire.pack(arg) for key, arg in named.items()}
            self.channel.send(["ask", name, member, how, *packed])
            word, *rest = self.channel.receive()
            if word == "refuse":
                self.refused = HostError(f"{name}.{member}: {rest[0]}" if member else f"{name}: {rest[0]}")
                raise self.refused
            return wire.unpack(rest[0], self.objects)

        return ask

    def complain(self, error: BaseException) -> list[Any]:
        """The message about an exception: its type and text, where, and whether the machine raised it."""
        try:
            text = str(error)
        except BaseException:
            text = "(its text cannot be had)"
        if isinstance(error, SyntaxError) and error.filename in self.files:
            text = f"{error.filename}, line {error.lineno}: {error.msg}"
        where = self._where(error.__traceback__)
        return ["raised", type(error).__name__, _plain(text, LONGEST_TEXT), where, error is self.refused]

    def _where(self, trace: TracebackType | None) -> list[str]:
        """The last places in the student's own files, outermost first."""
        places = []
        while trace is not None:
            code: CodeType = trace.tb_frame.f_code
            if code.co_filename in self.files:
                lines = self.files[code.co_filename].splitlines()
                line = lines[trace.tb_lineno - 1].strip() if 0 < trace.tb_lineno <= len(lines) else ""
                places.append(_plain(f"{code.co_filename}, line {trace.tb_lineno}, in {code.co_name}: {line}", LONGEST_LINE))
            trace = trace.tb_next
        return places[-FRAMES_SHOWN:]


def _plain(text: str, longest: int) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= longest else f"{text[:longest]}..."


def main() -> None:
    read, write = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.close(nothing)
    builtins.input = builtins.breakpoint = _nobody  # type: ignore[assignment]
    Servant(Channel(read, write)).serve()


def _nobody(*_: object, **__: object) -> str:
    raise PermissionError("a part may not ask: nobody is there")
