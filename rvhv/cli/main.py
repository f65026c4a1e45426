"""The entry of the command: a group that loads its commands lazily, and the one place where errors become lines.

Exit codes: 0 fine; 1 a guest or a test failed; 2 wrong usage or bad input; 130 stopped by Ctrl-C; 141 the reader of our
output went away; 70 a bug of rvhv itself.
"""

from __future__ import annotations

import sys

FAILED, USAGE, INTERNAL, INTERRUPTED, BROKEN_PIPE = 1, 2, 70, 130, 141


def entry() -> None:
    """The console script: runs `main` and leaves without a traceback, whatever moment Ctrl-C comes at."""
    try:
        code = main(sys.argv[1:])
        if sys.stdout is not None:
            sys.stdout.flush()  # its reader may have gone before the last buffered line
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
    try:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # from here on the interpreter only tears itself down
        # CPython ends by the signal, not with our code, when the last `exec` of a string was interrupted, even if that
        # was handled (dataclasses and named tuples use it while modules load); one that succeeds clears this.
        exec("")
        if code == BROKEN_PIPE:
            import os

            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter flushes stdout once more
    except (KeyboardInterrupt, OSError):
        code = INTERRUPTED
    sys.exit(code)


def main(argv: list[str]) -> int:
    """Runs one command line; returns its exit code. Writes errors as one line to stderr."""
    import click

    from rvhv.cli.group import ReaderGone, rvhv
    from rvhv.errors import InternalError, RvhvError

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a character still gets the line
    show_traceback = "--traceback" in argv
    try:
        result = rvhv.main(argv, prog_name="rvhv", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except (BrokenPipeError, ReaderGone):
        return BROKEN_PIPE
    except Exception as error:
        if show_traceback:
            import traceback

            traceback.print_exc()
        if isinstance(error, click.UsageError):
            return _fail(_usage_line(error), USAGE)
        if isinstance(error, click.ClickException):
            return _fail(error.format_message(), USAGE)
        if isinstance(error, MemoryError):
            return _fail("this computer has not enough memory for that; give the VMs or the machine less of it", USAGE)
        if isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename is not None else ""
            return _fail(f"{where}{error.strerror or error}", USAGE)
        if isinstance(error, RvhvError) and not isinstance(error, InternalError):
            return _fail(str(error), USAGE)
        hint = "" if show_traceback else " (a bug of rvhv; --traceback shows where)"
        return _fail(f"internal error: {type(error).__name__}: {error}{hint}", INTERNAL)


def _usage_line(error: Exception) -> str:
    """A click usage error as one line that says what to do."""
    import click

    if isinstance(error, click.MissingParameter):
        what = error.param.make_metavar(error.ctx) if error.param and error.ctx else "an argument"
        command = error.ctx.command_path if error.ctx else "rvhv"
        return f"{what} is missing; see {command} --help"
    if isinstance(error, click.BadParameter):
        hint = error.param_hint or (error.param.opts[0] if error.param else None)
        return f"{hint}: {error.message}" if isinstance(hint, str) and hint.startswith("-") else error.message
    assert isinstance(error, click.UsageError)
    command = error.ctx.command_path if error.ctx else "rvhv"
    message = error.format_message().rstrip(".").replace("No such", "no such").replace("Did you mean", "did you mean")
    return f"{message}; see {command} --help"


def _fail(line: str, code: int) -> int:
    from rvhv.cli.plain import printable

    print(f"rvhv: error: {printable(' '.join(line.split()))}", file=sys.stderr)
    return code
