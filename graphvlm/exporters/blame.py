"""What a module of somebody else does that no program can hold, said of its node and of its line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from torch import nn

from ..diagnostics import Diagnostic, GraphError
from ..ir import Graph
from ..settings import Settings

_OTHERS = (Path(torch.__file__).parent, Path(__file__).parent)
_EDIT = "compute it from operations that the format has, without branches on what is in a tensor"
_NUMBERS = "a dry run has shapes and no numbers: compute it from shapes alone, or export without --dry-run"


@contextmanager
def blamed(graph: Graph, model: nn.Module) -> Iterator[None]:
    """Within, an error in a module that is imported becomes a `GraphError` at its node; other errors stay.

    A model on meta has no numbers, which the module may need.
    """
    try:
        yield
    except GraphError:
        raise
    except Exception as problem:
        for node in graph.imported:
            place = _place(problem, getattr(model, node.name))
            if place:
                dry = any(parameter.is_meta for parameter in model.parameters())
                why = f"{_line(problem)} ({place})"
                raise GraphError([refused(graph, node.name, why, _NUMBERS if dry else _EDIT)]) from problem
        raise


def refused(graph: Graph, name: str, why: str, edit: str = _EDIT) -> Diagnostic:
    """What is said of a node that cannot be exported."""
    tree = graph.nodes[name].tree
    return Diagnostic(
        "not-exported",
        f"`{name}` cannot be exported: {why}",
        Settings(tree).span("target") if tree.get("target") else tree.span,
        help=edit,
    )


def _place(problem: BaseException, module: nn.Module) -> str:
    """Where an error began within a module, `file:line`; empty if it did not."""
    each: BaseException | None = problem
    while each is not None:
        frames = [*traceback.walk_tb(each.__traceback__)]
        inside = [number for number, (frame, _) in enumerate(frames) if frame.f_locals.get("self") is module]
        if inside:
            own = [(frame, line) for frame, line in frames[inside[0] :] if not _others(frame)]
            frame, line = own[-1]
            return f"{Path(frame.f_code.co_filename).name}:{line}"
        each = each.__cause__ or each.__context__
    return ""


def _others(frame: FrameType) -> bool:
    """Whether a frame is of torch, or of what traces."""
    return any(Path(frame.f_code.co_filename).is_relative_to(folder) for folder in _OTHERS)


def _line(problem: BaseException) -> str:
    """An error in a line."""
    said = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {said[0] if said else ''}".removesuffix(": ")[:200]
