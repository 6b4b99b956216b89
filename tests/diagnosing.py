"""Edits of shipped graphs, and what is said about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import graphvlm
from graphvlm.diagnostics import Diagnostic, GraphError, Label, Source, Span

GRAPHS = Path(__file__).parents[1] / "graphs"


def edited(edits: Mapping[str, str], graph: str = "tiny") -> Source:
    """The text of a graph with `old -> new` replaced, each `old` once in it."""
    text = (GRAPHS / f"{graph}.yaml").read_text(encoding="utf-8")
    for old, new in edits.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return Source(f"{graph}.yaml", text)


def problems(source: Source | Path, overrides: Sequence[str] = ()) -> tuple[Diagnostic, ...]:
    with pytest.raises(GraphError) as caught:
        graphvlm.load(source, overrides=overrides)
    return caught.value.diagnostics


def under(place: Span | Label | None) -> str:
    """The text that a span marks."""
    span = place.span if isinstance(place, Label) else place
    return span.source.line(span.line)[span.column - 1 : span.end_column - 1] if span else ""
