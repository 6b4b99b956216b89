"""Interleaved timing: all contenders in one process, in rounds, in changing order; medians and paired ratios."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

STAT = Path("/proc/stat")


@dataclass(frozen=True, slots=True)
class Contender:
    """What is timed, and what must be put back before each time and is not."""

    run: Callable[[], Any]
    prepare: Callable[[], Any] = lambda: None


@dataclass(frozen=True, slots=True)
class Ratio:
    """The paired ratio of two contenders over the rounds: median and quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f}"


@dataclass(frozen=True, slots=True)
class Samples:
    """Seconds by contender, one value a round."""

    seconds: Mapping[str, tuple[float, ...]]

    def milliseconds(self, name: str) -> float:
        """The median time of a contender."""
        return 1000 * median(self.seconds[name])

    def speedup(self, name: str, over: str, without: str = "") -> Ratio:
        """How many times faster `name` is than `over`: the median of the ratios within each round.

        `without` names a contender whose time is taken off both.
        """
        less = self.seconds[without] if without else (0.0,) * len(self.seconds[name])
        three = zip(self.seconds[over], self.seconds[name], less, strict=True)
        ratios = [(base - both) / max(own - both, 1e-9) for base, own, both in three]
        low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
        return Ratio(median(ratios), low, high)


def rounds(contenders: Mapping[str, Contender], count: int, warm_up: int = 1) -> Samples:
    """Time every contender once a round, each round in another order: what ran before leaves its traces in memory.

    With one thread it is CPU time that counts: then other processes may take the processor away, though not share
    its memory, without being measured.
    """
    import torch  # here, because benchmarks of whole processes must stay small

    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for index in range(-warm_up, count):
        for name in Random(index).sample(names, len(names)):
            contender = contenders[name]
            contender.prepare()
            with _no_collection():
                start = clock()
                contender.run()
                taken = clock() - start
            if index >= 0:
                seconds[name].append(taken)
    return Samples({name: tuple(values) for name, values in seconds.items()})


@contextmanager
def _no_collection() -> Iterator[None]:
    """Garbage of one contender is not collected on another's time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def cpu_seconds() -> float:
    """CPU time of this process and of the children that have ended: a compiler runs in some."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class OtherLoad:
    """How many cores other processes kept busy since this object was made; None where the system does not say."""

    def __init__(self) -> None:
        self._wall, self._own, self._all = time.perf_counter(), cpu_seconds(), _busy_seconds()

    def cores(self) -> float | None:
        """The mean over the time until now."""
        now = _busy_seconds()
        if now is None or self._all is None:
            return None
        wall = time.perf_counter() - self._wall
        return max(0.0, (now - self._all - (cpu_seconds() - self._own)) / wall) if wall > 0 else 0.0


def _busy_seconds() -> float | None:
    """CPU time of all processes since the start of the machine, where the system counts it."""
    with suppress(OSError, ValueError, IndexError):
        fields = [int(field) for field in STAT.read_text().split("\n", 1)[0].split()[1:9]]
        idle = fields[3] + fields[4]
        return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")
    return None
