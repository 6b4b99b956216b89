"""graphvlm: compile a YAML graph of a vision-language model into a readable PyTorch package.

The pipeline is these few lines; each step is a module of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from .diagnostics import Diagnostic, GraphError

if TYPE_CHECKING:
    from .compose import PathOrText
    from .ir import Graph

__version__ = "0.1.0"
__all__ = ["Diagnostic", "GraphError", "build", "compile", "load", "render"]


def load(path: PathOrText, *overlays: PathOrText, overrides: Iterable[str] = ()) -> Graph:
    """The resolved graph at `path`, with overlays and `dotted.key=value` overrides merged over it, in order.

    Raises `GraphError` with every problem of the first stage that finds any. Never imports torch.
    """
    from .compose import compose
    from .link import link
    from .resolve import resolve
    from .validate import validate

    return resolve(link(validate(compose(path, overlays, overrides))))


def render(graph: Graph) -> dict[str, str]:
    """File name -> text of the package that a resolved graph becomes."""
    from .rendering import render as render_files

    return render_files(graph)


def build(
    path: PathOrText,
    out: str | Path,
    *overlays: PathOrText,
    overrides: Iterable[str] = (),
    force: bool = False,
) -> Path:
    """Write the package of the graph at `path` to `out/<name>/` and return that folder.

    Raises `GraphError`; in particular rule `edited-output` when a file there was edited by hand and `force` is not set.
    """
    from .output import write

    graph = load(path, *overlays, overrides=overrides)
    folder = Path(out) / graph.name
    write(folder, render(graph), force=force)
    return folder


def compile(path: PathOrText, *overlays: PathOrText, overrides: Iterable[str] = ()) -> ModuleType:
    """Build the graph at `path` into a cache and import it: the package, with `Model`, `Config` and the rest."""
    from .cache import imported

    return imported(load(path, *overlays, overrides=overrides))
