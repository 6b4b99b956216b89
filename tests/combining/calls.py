"""Calls for random graphs: nodes that were drawn already, called with other inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields

from ..block_strategies import Plain
from .flow import Features, Growing


def again(made: Growing, nodes: Sequence[str], found: Sequence[Features]) -> list[Features]:
    """Another call of each of these nodes, and what comes out then; inputs are new ones of the same kind."""
    names: dict[str, str] = {}
    for node in nodes:
        call(made, node, names)
    return [_renamed(each, names) for each in found]


def call(made: Growing, node: str, names: dict[str, str]) -> str:
    """Another call of a node; `names` are the nodes and inputs that it reads instead, and are added to."""
    reads = made.nodes[node]["inputs"]
    for ref in reads.values() if isinstance(reads, dict) else (reads,):
        name = ref.partition(".")[0]
        if name in made.inputs and name not in names:
            names[name] = made.input(name.rpartition("_")[0], made.inputs[name])
    other: Plain | str = (
        {port: _instead(ref, names) for port, ref in reads.items()}
        if isinstance(reads, dict)
        else _instead(reads, names)
    )
    owner = made.nodes[node].get("module", node)
    names[node] = made.add(made.name(f"again_{node}"), other, module=owner)
    return names[node]


def _instead(text: str, names: Mapping[str, str]) -> str:
    return re.sub(r"\b\w+", lambda found: names.get(found[0], found[0]), text)


def _renamed(features: Features, names: Mapping[str, str]) -> Features:
    values: Plain = {field.name: getattr(features, field.name) for field in fields(features)}
    values |= {key: _instead(value, names) for key, value in values.items() if isinstance(value, str)}
    return Features(**values)
