"""How large graphs and catalog parts are. Around a part, the smallest graph is put and resolved."""

from __future__ import annotations

from pathlib import Path

from graphvlm.diagnostics import GraphError, Source

AROUND = {
    "encoder": """
inputs: {{given: image}}
nodes:
  part: {{use: {name}, inputs: given}}
outputs: {{out: part}}
""",
    "decoder": """
inputs: {{given: tokens}}
nodes:
  embedding: {{kind: encoder, type: token_embedding, inputs: given}}
  part: {{use: {name}, inputs: embedding}}
outputs: {{out: part}}
""",
}


def of_graph(path: Path) -> int | None:
    """The parameters of a graph; None if it has errors."""
    return _count(path)


def of_part(name: str) -> int | None:
    """The parameters of `kind/part`, those of its token embedding included; None where its neighbours decide."""
    around = AROUND.get(name.partition("/")[0])
    return None if around is None else _count(Source("<part>", "version: 1\nname: part" + around.format(name=name)))


def _count(graph: Path | Source) -> int | None:
    import graphvlm

    try:
        return graphvlm.load(graph).parameter_count
    except GraphError:  # a list is no place to report it
        return None
