"""The `graphvlm` command: one file per command, each imported only when it is run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from graphvlm.diagnostics import GraphError, did_you_mean

from . import commands, console

__all__ = ["main"]

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. 0: fine. 1: the graph has errors, or a difference was found. 2: the command line is wrong."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that lacks a character shows its number instead
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _dispatch(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough, as in `graphvlm list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as stop:  # argparse: 0 after --help, 2 after a mistake
        return stop.code if isinstance(stop.code, int) else 2
    return code


def _dispatch(words: list[str]) -> int:
    first = words[0] if words else ""
    if first in ("", "-h", "--help", "help"):
        print(commands.overview(), file=sys.stdout if first else sys.stderr)
        return 0 if first else 2
    if first in ("-V", "--version"):
        from importlib.metadata import version

        print(f"graphvlm {version('graphvlm')}")
        return 0
    if first == "__complete":  # asked by the scripts of `graphvlm completion`
        from .completion import candidates

        sys.stdout.writelines(f"{word}\n" for word in candidates(words[1:]))
        return 0
    if first not in commands.SUMMARIES:
        hint = did_you_mean(first, commands.SUMMARIES) or "`graphvlm --help` lists the commands"
        return console.usage_error("graphvlm", f"there is no command `{first}`; {hint}")
    return _run(first, words[1:])


def _run(name: str, words: list[str]) -> int:
    parser = commands.parser(name)
    args = parser.parse_intermixed_args(words)
    try:
        return commands.room(name).run(args)
    except GraphError as problem:
        console.report(problem.diagnostics, getattr(args, "format", "text"))
        return 1
    except console.UsageError as problem:
        return console.usage_error(parser.prog, str(problem))
    except BrokenPipeError:
        raise
    except OSError as problem:  # a folder that cannot be written, a full disk, a file that is gone
        place = f"{problem.filename}: " if problem.filename else ""
        return console.usage_error(parser.prog, f"{place}{problem.strerror or problem}")
