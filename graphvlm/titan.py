"""The package as torchtitan trains it: the same pages over modules of its own kind, and what it asks a model for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .diagnostics import Diagnostic, GraphError
from .ir import Graph
from .pages import checkpoint, model
from .pages.package import Page
from .passes import apply_all
from .planning import Workload, device, plan

VERSION = "0.3.0"
# What these files do with modules is no matter of what the modules are.
_LEFT = ("checkpoint.py", "config.py", "generate.py", "gradients.py", "parallel.py", "sharded.py")
_THEIRS = ("Module", "ModuleDict", "ModuleList", "Sequential")
_PLAIN = ("Parameter", "init")
_IMPORT = "from torch import Tensor, nn\n"
_AXES = {"dp_replicate": "replicate", "fsdp": "dp", "tp": "tp"}


@dataclass(frozen=True, slots=True)
class LayersView:
    """The names of `torch.nn` that the pages use: torchtitan's own, plain ones, and classes to make."""

    theirs: tuple[str, ...]
    plain: tuple[str, ...]
    own: tuple[str, ...]

    @property
    def every(self) -> tuple[str, ...]:
        """All of them, as `ruff` sorts them."""
        return tuple(sorted({*self.theirs, *self.plain, *self.own}, key=lambda name: (name.islower(), name)))


@dataclass(frozen=True, slots=True)
class TitanView:
    """What the page of the model places; a token takes `constant + slope * length` operations."""

    name: str
    version: str
    summary: str
    axes: tuple[tuple[str, str], ...]
    tokens: str
    logits: str
    constant: int
    slope: int
    adapted: bool

    @property
    def splits(self) -> bool:
        """Whether weights are split, and not only sharded."""
        return "tp" in dict(self.axes)

    @property
    def batches(self) -> str:
        """The axes whose ranks have different batches, as an index of a mesh."""
        return ", ".join(f'"{ours}"' for _, ours in self.axes if ours != "tp")

    @property
    def needed(self) -> str:
        """The axes in words."""
        return ", ".join(theirs for theirs, _ in self.axes)


def prepared(graph: Graph) -> Graph:
    """The graph with every matrix of the reference by itself. Raises GraphError if there are no logits of one text."""
    graph = replace(graph, passes=replace(graph.passes, merge_projections=False))
    spread = next((node.name for node in graph.owners if node.spread), "")
    other = next((axis for axis in graph.parallelism.mesh if axis not in _AXES.values()), "")
    why = edit = ""
    if not model.make(apply_all(graph)).model.decoder:
        why, edit = "it is given models of one text, whose logits come out", "train it by itself"
    elif other:
        why, edit = f"it lays out `{other}` in another way", f"remove `{other}` from the mesh"
    elif taken := next((name for name in ("layers", "titan") if name in graph.nodes), ""):
        why, edit = f"it has a file `{taken}.py`, as a node would", "give the node another name"
    elif spread:
        why, edit = f"it sums gradients, and images of `{spread}` are shared out for a mean", "remove `images: shard`"
    if why:
        message = f"there is no form of `{graph.name}` for torchtitan: {why}"
        raise GraphError([Diagnostic("outside-profile", message, graph.tree.span, help=edit)])
    return graph


def relayed(name: str, text: str) -> str:
    """A page over the modules of `layers.py`."""
    if name in _LEFT or _IMPORT not in text:
        return text
    text = text.replace(_IMPORT, "from torch import Tensor\n")
    first = re.search(r"^from \.", text, re.MULTILINE)
    if first:
        return text[: first.start()] + "from . import layers as nn\n" + text[first.start() :]
    last = [*re.finditer(r"^(from|import) .*\n(?:    .*\n|\)\n)*", text, re.MULTILINE)][-1].end()
    return text[:last] + "\nfrom . import layers as nn\n" + text[last:]


def pages(graph: Graph, files: Mapping[str, str]) -> dict[str, Page]:
    """The pages beside those of the package, which are `files`."""
    made = [text for name, text in files.items() if name.endswith(".py") and "layers as nn" in text]
    used = {name for text in made for name in re.findall(r"(?<![\w.])nn\.([A-Za-z]\w*)", text)} | {"Module"}
    layers = LayersView(
        tuple(name for name in _THEIRS if name in used),
        tuple(name for name in _PLAIN if name in used),
        tuple(sorted(used - {*_THEIRS, *_PLAIN})),
    )
    rewritten = apply_all(graph)
    view, names = model.make(rewritten).model, checkpoint.make(rewritten)
    mesh = graph.parallelism.mesh
    whole = all(len(each.pieces) < 2 for node in rewritten.owners for each in node.parameters)
    constant, slope = _operations(graph)
    titan = TitanView(
        name=graph.name,
        version=VERSION,
        summary=graph.name,
        axes=tuple((theirs, ours) for theirs, ours in _AXES.items() if ours in mesh or ours == "dp"),
        tokens=view.tokens,
        logits=view.logits,
        constant=constant,
        slope=slope,
        adapted=whole and not names.altering,
    )
    return {
        "layers.py": Page("titan/layers.py.j2", {"layers": layers}),
        "titan.py": Page("titan/titan.py.j2", {"titan": titan}),
    }


def _operations(graph: Graph) -> tuple[int, int]:
    """Of a step on one device, by the length of a sequence, for each of its tokens."""
    alone = replace(graph, parallelism=replace(graph.parallelism, mesh={}))
    short, long = 64, 128
    few, many = (plan(alone, Workload(seq=seq), device("h100-80g")).operations / seq for seq in (short, long))
    slope = (many - few) / (long - short)
    return round(few - slope * short), round(slope)
