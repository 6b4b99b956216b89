"""Graphs whose directories for transformers are tested, and loading them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import graphvlm
from graphvlm.exporters.models import loaded as package_of
from graphvlm.ir import Graph

from ..running import GRAPHS, SHIPPED, small
from ..test_golden import graph as of_golden

# A graph that no library knows: two towers, joined and added, with necks of their own.
ODD = "odd"


def golden(name: str) -> Graph:
    """A golden graph, a ready one at a tiny size, or the one beside this file."""
    if name in SHIPPED and name not in ("tiny", "prefix_clip_llama"):
        return small(name)
    return graphvlm.load(Path(__file__).with_name("odd.yaml")) if name == ODD else of_golden(name)


def tiny(overrides: Iterable[str]) -> Graph:
    """The smallest graph with other settings."""
    return graphvlm.load(GRAPHS / "tiny.yaml", overrides=overrides)


def from_seed(graph: Graph, seed: int = 0) -> Any:
    """The package with the weights that an export without any has, its projections apart."""
    return package_of(replace(graph, passes=replace(graph.passes, merge_projections=False)), None, seed, "float32")[1]


def loaded(folder: Path, auto: str = "AutoModelForImageTextToText") -> Any:
    """The model of a directory."""
    import transformers

    return getattr(transformers, auto).from_pretrained(folder, trust_remote_code=True).eval()
