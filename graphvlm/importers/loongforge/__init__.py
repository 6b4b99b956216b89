"""LoongForge's model definitions (YAML with Hydra's `defaults`) to graphs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

from ...diagnostics import Diagnostic, GraphError, Span
from ...tree import Tree
from ...yaml_text import write_yaml
from ..findings import Findings, shown
from .compose import compose
from .parts import read_component, read_composition
from .tables import ADAPTERS_OF_WEIGHTS, DIFFUSION


def detect(tree: Tree) -> bool:
    """Whether a YAML tree looks like one of LoongForge's files, or of those that stand beside them."""
    target = tree.get("_target_")
    if target is not None and isinstance(target.value, str):
        return target.value.startswith("loongforge.")
    model = tree.get("model")
    return _is_map(tree) or (model is not None and model.get("model_type") is not None)


def import_loongforge(path: Path, tree: Tree) -> str:
    """The YAML text of the graph that a definition says, with the files that its `defaults` name.

    `tree` is what stands in the file itself.
    """
    _refuse_other(tree)
    composed = compose(path)
    problems = Findings()
    alone = composed.tree.get("_target_") is not None
    parts = read_component(composed, problems) if alone else read_composition(composed, problems)
    problems.stop()
    graph = {"version": 1, "name": _name(path.stem), **parts.graph}
    return f"# Imported from {shown(path.name)}\n" + write_yaml(graph, parts.notes)


def _is_map(tree: Tree) -> bool:
    return tree.get("name_map") is not None or tree.get("args", "huggingface") is not None


def _refuse_other(tree: Tree) -> None:
    """Files of LoongForge that are no model of vision and language: one line each."""
    if _is_map(tree):
        _refuse("this is a map of checkpoint keys, not a model", tree.span)
    target, model_type = tree.get("_target_"), tree.get("model", "model_type")
    name = str(target.value).rpartition(".")[2] if target is not None else ""
    if target is not None and name in DIFFUSION:
        _refuse(f"`{name}` is a diffusion model, which draws images and is not built of graphs like this", target.span)
    if target is not None and name in ADAPTERS_OF_WEIGHTS:
        _refuse(f"`{name}` says how weights are adapted while training; it is no model", target.span)
    if (
        target is None
        and model_type is not None
        and tree.get("defaults") is None
        and not tree.get("model", "foundation")
    ):
        what = f"`{shown(model_type.value)}` is an embodied model (it acts), with a definition of its own"
        _refuse(f"{what}: only models of vision and language can be imported", model_type.span)


def _refuse(message: str, span: Span) -> NoReturn:
    raise GraphError([Diagnostic("unsupported-config", message, span)])


def _name(stem: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:60].rstrip("_")
    return name if name[:1].isalpha() else f"model_{name}".rstrip("_")
