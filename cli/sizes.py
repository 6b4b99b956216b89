"""How large graphs and catalog parts are. Around a part, the smallest graph is put and resolved.

Sizes are kept in the cache folder, under a name that changes with the catalog and with the compiler.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from graphvlm.diagnostics import GraphError, Source


@dataclass(frozen=True, slots=True)
class Size:
    """What is known of one graph or part; None where it has no such number, or its neighbours decide it.

    `tokens` is what an encoder makes of one image, or the longest sequence of a decoder or a graph. `dim` and `heads`
    are those of its layers; of a graph, those of its decoder.
    """

    parameters: int | None = None
    layers: int | None = None
    dim: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    tokens: int | None = None
    vocab: int | None = None


NOTHING = Size()


def of_graph(path: Path) -> Size:
    """The size of a graph, with the layers of its decoder; nothing if it has errors."""
    return _graph_size(path)


def of_part(name: str) -> Size:
    """The size of `kind/part`, its token embedding included; nothing where its neighbours decide."""
    source = _around(name)
    return NOTHING if source is None else _graph_size(source)


def of_all(graphs: Mapping[str, Path], parts: Iterable[str]) -> dict[str, Size]:
    """The sizes of some shipped graphs and parts, by name."""
    kept = _kept()
    wanted = {f"graph {name}": path for name, path in graphs.items()} | dict.fromkeys(parts)
    new = {
        name: asdict(of_part(name) if path is None else of_graph(path))
        for name, path in wanted.items()
        if name not in kept
    }
    if new:
        _keep({**kept, **new})
    return {name.removeprefix("graph "): Size(**(kept.get(name) or new[name])) for name in wanted}


def _around(name: str) -> Source | None:
    """The smallest graph that uses a part: an input for each port that the part needs, or that has weights.

    Features that a decoder attends to are as wide as itself, as they are behind a projector, unless the part says it.
    """
    from graphvlm.component import component
    from graphvlm.compose import compose
    from graphvlm.settings import Settings

    if name.partition("/")[0] not in ("encoder", "decoder"):
        return None
    settings = Settings(compose(Source("<part>", f"part: {{use: {name}}}")).get("part") or compose(""))
    kind, type_ = settings.get("kind"), settings.get("type")
    ports = component(kind, type_).signature("part", settings).inputs
    needed = {port: end.what for port, end in ports.items() if not end.optional or end.what == "features"}
    wide = f"{{type: features, dim: {settings.get('dim')}}}"
    given = {port: wide if what == "features" else what for port, what in needed.items()}
    wires = {port: f"{port}_given" for port in needed}
    before = ""
    if kind == "decoder":
        given["features"], wires["features"] = "tokens", "embedding"
        before = "embedding: {kind: encoder, type: token_embedding, inputs: features_given}, "
    inputs = ", ".join(f"{port}_given: {what}" for port, what in given.items())
    joined = ", ".join(f"{port}: {wire}" for port, wire in wires.items())
    return _graph(inputs, f"{before}part: {{use: {name}, inputs: {{{joined}}}}}")


def _graph(inputs: str, nodes: str) -> Source:
    text = f"version: 1\nname: part\ninputs: {{{inputs}}}\nnodes: {{{nodes}}}\noutputs: {{out: part}}\n"
    return Source("<part>", text)


def _graph_size(graph: Path | Source) -> Size:
    import graphvlm
    from graphvlm.blocks.settings import Attention

    try:
        found = graphvlm.load(graph)
    except GraphError:  # a list is no place to report it
        return NOTHING
    node = found.nodes.get("part") or next((node for node in found.nodes.values() if node.kind == "decoder"), None)
    stack = node.spec.stack if node is not None else None
    if node is None or stack is None or not stack.order:
        return Size(found.parameter_count)
    ops = (sublayer.op for kind in stack.kinds for sublayer in kind.sublayers)
    attention = next((op for op in ops if isinstance(op, Attention)), None)
    shape = node.signature.outputs[next(iter(node.signature.outputs))].shape if node.kind == "encoder" else ()
    tokens = next((size for size in shape[1:2] if isinstance(size, int)), None)
    return Size(
        parameters=found.parameter_count,
        layers=len(stack.order),
        dim=stack.dim,
        heads=attention.heads if attention else None,
        kv_heads=attention.kv_heads if attention else None,
        tokens=tokens if node.kind == "encoder" else getattr(node.spec, "max_tokens", None),
        vocab=getattr(node.spec, "vocab", None),
    )


def _kept() -> dict[str, Any]:
    """What was kept of an earlier run; nothing if that cannot be read."""
    with suppress(OSError, ValueError):
        kept = json.loads(_file().read_text(encoding="utf-8"))
        if isinstance(kept, dict):
            names = asdict(NOTHING).keys()
            return {name: size for name, size in kept.items() if isinstance(size, dict) and size.keys() == names}
    return {}


def _keep(sizes: Mapping[str, Any]) -> None:
    """Put the sizes aside; whoever cannot write there computes them again."""
    with suppress(OSError):
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(sizes), encoding="utf-8")
        new.replace(file)


def _file() -> Path:
    """A file named by everything that sizes depend on: the catalog, and the code of the compiler."""
    import graphvlm
    from graphvlm import catalog
    from graphvlm.cache import folder_of_cache

    digest = hashlib.sha256(graphvlm.__version__.encode())
    code = Path(graphvlm.__file__).parent
    files = [*catalog.graphs().values(), *catalog.parts().values(), *sorted(code.rglob("*.py")), Path(__file__)]
    for file in files:
        with suppress(OSError):  # what lies in an archive does not change while the version stays
            status = file.stat()
            digest.update(f"{file}\0{status.st_mtime_ns}\0{status.st_size}\n".encode())
    return folder_of_cache() / f"sizes_{digest.hexdigest()[:16]}.json"
