"""One draw: a graph and how it is called. What is demanded of it, all at once; and many draws by their numbers."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from graphvlm.diagnostics import GraphError

from ..block_strategies import Plain
from ..open_sizes import UnfitError
from ..running import fits, inputs, sizes
from . import demands, padded_clips
from .graphs import combinations, rewired

ROOT = demands.__file__.rpartition("/tests/")[0]


@dataclass(frozen=True)
class Case:
    """A graph, the sizes that it is called with, and which of the slow demands are made of it."""

    plain: Plain
    batch: int
    seq: int
    padded: bool
    slow: str


@st.composite
def cases(draw: DrawFn) -> Case:
    """Of forty graphs one is exported, two are compiled, eight saved and loaded; every sixth is wired by chance."""
    plain = draw(rewired() if draw(st.integers(0, 5)) == 5 else combinations())
    slow = _SLOW.get(draw(st.integers(0, 39)), "")
    return Case(plain, draw(st.integers(1, 3)), draw(st.integers(1, 20)), draw(st.booleans()), slow)


WHOLE = "compiled and exported"  # what `slow` may say of a case, too
_SLOW = {1: "exported", **dict.fromkeys((2, 3), "compiled"), **dict.fromkeys(range(4, 12), "saved")}


@dataclass
class Verdict:
    """What became of a draw: the rules that it was refused by, or what failed, or the demands that it met."""

    refused: list[str] = field(default_factory=list)
    met: list[str] = field(default_factory=list)
    failed: str = ""
    trace: str = ""


def examine(case: Case) -> Verdict:
    """All demands on a case; the first that is not met ends it."""
    verdict = Verdict()
    try:
        check(case, verdict)
    except Exception as error:  # whatever it is, the sweep goes on
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
        where = f"{frames[-1].filename.rpartition('/')[2]}: {frames[-1].line}"
        verdict.failed = f"after {', '.join(verdict.met)}: {type(error).__name__}: {str(error)[:200]} [{where}]"
        verdict.trace = traceback.format_exc()
    return verdict


def check(case: Case, verdict: Verdict | None = None, *, slow: bool = True) -> None:
    """All demands on a case; raises where one is not met."""
    verdict = verdict or Verdict()
    try:
        graph = demands.load(case.plain)
    except GraphError as error:
        verdict.refused = demands.explained(error)
        return
    subject = demands.Subject(graph)
    with forgotten():
        demands.built(subject)
        verdict.met.append("built")
        try:
            known = sizes(graph, batch=case.batch, seq=case.seq)
        except UnfitError:
            return  # what was wired by chance asks for so many images that there is no input
        if not fits(graph, known):
            return  # or for as many placeholders as a text cannot have
        keywords = inputs(graph, known)
        output = demands.run(subject, known, keywords)
        verdict.met.append("run")
        demands.trained(subject, keywords, output)
        verdict.met.append("trained")
        demands.without_padding(subject)
        demands.text_alone(subject)
        padded_clips.unseen(subject)
        verdict.met.append("padded")
        if demands.generated(subject, padded=case.padded):
            verdict.met.append("generated")
        asked = case.slow if slow else ""
        if asked == "saved":
            demands.saved(subject, case.plain)
            verdict.met.append("saved")
        if asked in ("compiled", WHOLE):
            demands.compiled(subject, keywords)
            verdict.met.append("compiled")
        if asked in ("exported", WHOLE):
            demands.exported(subject)
            verdict.met.append("exported")


@contextmanager
def forgotten() -> Iterator[None]:
    """Packages that were imported meanwhile are dropped again: a sweep imports thousands."""
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name not in before and name.startswith("drawn_")]:
            del sys.modules[name]


def draw(number: int) -> Case:
    """The case of that number, always the same for the same generator."""
    found: list[Case] = []

    @seed(number)
    @settings(_QUIET, phases=[Phase.generate])
    @given(cases())
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found[-1]  # the first is the simplest there is


def shrink(number: int) -> None:
    """Look for the smallest graph that fails as the one of that number does; raises with its YAML."""

    @seed(number)
    @settings(_QUIET, phases=[Phase.generate, Phase.shrink])
    @given(cases())
    def again(case: Case) -> None:
        note(demands.text_of(case.plain))
        check(case)

    again()


_QUIET = settings(max_examples=2, database=None, deadline=None, suppress_health_check=list(HealthCheck))


def record(number: int, case: Case, verdict: Verdict) -> dict[str, Any]:
    """A line of the result of a sweep."""
    found: dict[str, Any] = {"number": number, "refused": verdict.refused, "met": verdict.met}
    if verdict.failed:
        found |= {"failed": verdict.failed, "yaml": demands.text_of(case.plain), "trace": verdict.trace}
    return found
