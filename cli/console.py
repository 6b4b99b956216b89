"""Talking to a person or a script: colour, progress, diagnostics, usage errors."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from graphvlm.diagnostics import Diagnostic

PATIENCE = 1.0  # seconds before a step says that it is under way


class UsageError(Exception):
    """The command line asks for something that cannot be; exit code 2."""


def usage_error(program: str, message: str) -> int:
    """Say it on stderr; the exit code."""
    print(f"{program}: error: {message}", file=sys.stderr)
    return 2


def colourful(stream: TextIO) -> bool:
    """Whether to write colours: on a terminal, unless NO_COLOR (or a dumb terminal) says otherwise."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def report(diagnostics: Sequence[Diagnostic], form: str, *, stream: TextIO | None = None) -> None:
    """Print diagnostics: for people on stderr (or `stream`), for programs (json, github, sarif) always on stdout."""
    from graphvlm.report import render

    target = (stream or sys.stderr) if form in ("text", "concise") else sys.stdout
    target.write(render(diagnostics, form, colour=colourful(target)))


def note(message: str) -> None:
    """Say something beside the output, on stderr."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say on stderr what is going on once it has taken a second, and how long it took in the end."""
    start = time.monotonic()
    timer = threading.Timer(PATIENCE, note, [f"{what} ..."])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    elapsed = time.monotonic() - start
    if elapsed > PATIENCE:
        note(f"{what}: {elapsed:.1f} s")


class Clock:
    """Counts tokens and says how fast they came."""

    def __init__(self) -> None:
        self.ticks = [time.perf_counter()]

    def tick(self) -> None:
        self.ticks.append(time.perf_counter())

    def __str__(self) -> str:
        if len(self.ticks) < 3:
            return f"{len(self.ticks) - 1} tokens"
        start, first, *rest = self.ticks
        speed = len(rest) / (rest[-1] - first)
        return f"{len(rest) + 1} tokens, the first after {first - start:.2f} s, then {speed:.1f} tokens/s"
