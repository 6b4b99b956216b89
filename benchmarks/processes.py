"""Whole processes: wall and CPU time, and memory, of small Python programs.

The system counts the size of a process from its fork on: a program that uses this module must itself stay small.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a program."""

    wall: float
    cpu: float
    peak: float  # MiB resident at most
    output: str


@dataclass(frozen=True, slots=True)
class Runs:
    """All runs of a program."""

    runs: tuple[Run, ...]

    @property
    def wall(self) -> float:
        """Median seconds from start to end."""
        return median(run.wall for run in self.runs)

    @property
    def cpu(self) -> float:
        """Median CPU seconds, of all threads."""
        return median(run.cpu for run in self.runs)

    @property
    def peak(self) -> float:
        """Median of the largest resident size in MiB."""
        return median(run.peak for run in self.runs)

    @property
    def output(self) -> str:
        """What the last run printed."""
        return self.runs[-1].output


def run(program: str, *arguments: str) -> Run:
    """Run a Python program (its text) in a process of its own, which keeps bytecode as usual; it must end well."""
    command = [sys.executable, "-c", program, *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=output, stderr=errors, env=environment) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            raise SystemExit(f"{program}\n{errors.read()}the program ended with {process.returncode}")
        said = output.read()
    return Run(wall, usage.ru_utime + usage.ru_stime, _mebibytes(usage.ru_maxrss), said)


def interleaved(programs: Mapping[str, Sequence[str]], count: int) -> dict[str, Runs]:
    """Run every program (its text, then its arguments) once a round, each round in another order."""
    made: dict[str, list[Run]] = {name: [] for name in programs}
    for words in programs.values():
        run(*words)  # what is on disk is in memory, and what can be compiled is
    for index in range(count):
        for name in Random(index).sample(list(programs), len(programs)):
            made[name].append(run(*programs[name]))
    return {name: Runs(tuple(runs)) for name, runs in made.items()}


def _mebibytes(resident: int) -> float:
    """What getrusage counts: kilobytes, on macOS bytes."""
    return resident / MIB if sys.platform == "darwin" else resident / 1024
