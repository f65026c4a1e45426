"""The session: whom it is about, the guests' keyboards, help, the end."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from rvhv.debug.commands import helping
from rvhv.debug.commands.arguments import Arguments
from rvhv.debug.commands.table import command
from rvhv.debug.view import Text
from rvhv.errors import DebugError

if TYPE_CHECKING:
    from rvhv.debug.session import Session
    from rvhv.debug.target import Context
    from rvhv.debug.view import View


@command(
    "help",
    "session",
    "the commands; one of them with examples; or what is about a word",
    "help [COMMAND | WORD]",
    ("help", "all commands, in groups"),
    ("help break", "how break is used"),
    ("help page table", "the commands whose help speaks of that"),
    short=("h", "?"),
    kinds=("command",),
)
def help_(session: Session, arguments: Arguments) -> View:
    return helping.about(arguments.text)


@command(
    "vm",
    "session",
    "choose the VM or hart that is looked at and stepped",
    "vm [NAME]",
    ("vm tasks", "from now on registers, step and the others are about tasks"),
    ("vm", "whose they are now"),
    short=("hart", "thread"),
    kinds=("vm",),
)
def vm(session: Session, arguments: Arguments) -> View:
    if arguments.text:
        session.choose(session.named(arguments.word("name")))
    return session.where()


@command(
    "console",
    "session",
    "give a guest the keyboard, until Ctrl-A x or Ctrl-]",
    "console [NAME]",
    ("console tasks", "the guests run, and what is typed goes to tasks; its output is shown as it comes"),
    kinds=("vm",),
    details="Ctrl-A x and Ctrl-] give the keyboard back and stop the guests; Ctrl-A Ctrl-A sends Ctrl-A. Needs a terminal: "
    "in a script, type types.",
)
def console(session: Session, arguments: Arguments) -> View:
    context = _chosen(session, arguments.word("name") if arguments.text else "")
    if not session.has_terminal:
        raise DebugError("console needs a terminal to take the keyboard from; in a script, type types on a guest's console")
    session.keyboard_for = context
    return Text("")


@command(
    "type",
    "session",
    "type on a guest's console",
    "type [vm=NAME] TEXT",
    (r"type uname -a\n", r"ten keys; \n is Enter, \t a tab, \x03 Ctrl-C"),
    (r"type vm=linux root\n", "on the console of linux"),
    kinds=("text",),
    details="The guest reads it when it runs on. It is an input from outside: going back in time remembers it.",
)
def type_(session: Session, arguments: Arguments) -> View:
    context = _chosen(session, arguments.option("vm") or "")
    text = arguments.some("text")
    try:
        data = codecs.escape_decode(text.encode())[0]
    except ValueError as error:
        raise DebugError(f"what is behind a backslash is no key: {error}") from None
    session.feed(context, bytes(data))
    return Text("")


@command(
    "quit",
    "session",
    "leave",
    "quit",
    ("quit", "the guests end here; so does Ctrl-D"),
    short=("q", "exit"),
)
def quit_(session: Session, arguments: Arguments) -> View:
    arguments.done()
    session.over = True
    return Text("")


def _chosen(session: Session, name: str) -> Context:
    context = session.named(name) if name else session.context
    if not context.alive:
        raise DebugError(f"{context.name} is no more: {context.status}")
    return context
