"""A demand on random graphs that hear: what pads a clip is not heard."""

from __future__ import annotations

import re
from math import prod
from typing import Any

import torch
from torch import Tensor

from graphvlm.components.encoder.audio import Audio
from graphvlm.components.fusion.scatter import Scatter
from graphvlm.ir import Node, Ref

from ..running import inputs
from .demands import Subject, close, placeholders


def unseen(subject: Subject) -> None:
    """Outputs of a text are the same whatever stands in the padding of a clip, out of reach of convolutions."""
    heard = [node for node in subject.graph.nodes.values() if isinstance(node.spec, Audio) and node.spec.masked]
    lengths = {subject.graph.inputs[name].port.shape[1] for name in subject.of_text}
    outputs = [name for name, ref in subject.graph.outputs.items() if {*subject.graph.port(ref).shape[1:2]} & lengths]
    given = {Ref(name) for name in subject.graph.inputs}
    # what a scatter is not told the padding of stands in the text as it is; of shared tokens none can be left out
    shared = any(
        node.spec.between or any(_heard(subject, node.inputs[port], heard) for port in _unmasked(node.spec))
        for node in subject.graph.nodes.values()
        if isinstance(node.spec, Scatter)
    )
    # a mask that is told for what is attended to stands in place of its padding; segments are told theirs
    masks = {node.inputs["mask"] for node in heard}
    told = any(node.kind == "decoder" and node.tree.get("segments") for node in subject.graph.nodes.values())
    told = told or any(
        each.port.what == "visible"
        or (each.port.what == "mask" and Ref(name) not in masks and not _of_text(subject, name))
        for name, each in subject.graph.inputs.items()
    )
    if not heard or not outputs or shared or told or not all({*node.inputs.values()} <= given for node in heard):
        return
    keywords = inputs(subject.graph)
    other = dict(keywords)
    for node in heard:
        sound, mask = (node.inputs[port].name for port in ("audio", "mask"))
        real, out_of_reach = _frames(node, keywords[sound].size(2))
        if not real or out_of_reach >= keywords[sound].size(2):
            return
        keywords[mask] = other[mask] = keywords[mask].clone()
        keywords[mask][0, real:] = 0
        other[sound] = keywords[sound].clone()
        other[sound][0, :, out_of_reach:] += 5
    with torch.no_grad():
        expected = _fitted(subject, keywords)
        made = subject.model(**other | {name: keywords[name] for name in subject.of_text})
    for name in outputs:
        assert close(getattr(made, name), getattr(expected, name)), name


def _unmasked(spec: Scatter) -> list[str]:
    """The ports of features that a scatter places whole."""
    return [port for port, _ in (*spec.placeholder, *spec.marks) if port not in spec.masked]


def _heard(subject: Subject, ref: Ref, heard: list[Node]) -> bool:
    """Whether something comes from a clip."""
    node = subject.graph.nodes.get(ref.name)
    return node is not None and (node in heard or any(_heard(subject, each, heard) for each in node.inputs.values()))


def _of_text(subject: Subject, mask: str) -> bool:
    """Whether a mask is as long as a text."""
    inputs_of = subject.graph.inputs
    length = inputs_of[mask].port.shape[1]
    return any(each.port.what == "tokens" and each.port.shape[1] == length for each in inputs_of.values())


def _frames(node: Node, frames: int) -> tuple[int, int]:
    """How many frames a clip keeps, and where what cannot reach them begins."""
    spec = node.spec
    assert isinstance(spec, Audio)
    step = prod(spec.strides) * (spec.pool.size if spec.pool else 1)
    reach = sum(spec.kernel // 2 * prod(spec.strides[:index]) for index in range(len(spec.strides)))
    real = frames // 2 // step * step
    return real, real + reach


def _fitted(subject: Subject, keywords: dict[str, Tensor]) -> Any:
    """The outputs, with as many placeholders in the text as features stand; `keywords` have these then."""
    while True:
        try:
            return subject.model(**keywords)
        except ValueError as error:
            found = re.search(
                r"the prompt has (\d+) placeholder tokens, and the features fill (\d+): (\w+)", str(error)
            )
            if not found or int(found[1]) <= int(found[2]):
                raise
            _remove(subject, keywords, int(found[1]), int(found[1]) - int(found[2]), found[3])


def _remove(subject: Subject, keywords: dict[str, Tensor], there: int, count: int, port: str) -> None:
    """The last of the placeholders of a port, of which so many are there, become words."""
    special = placeholders(subject.graph).tolist()
    word = next(token for token in range(3, 40) if token not in special)
    for node in subject.graph.nodes.values():
        if not isinstance(node.spec, Scatter) or port not in dict(node.spec.placeholder):
            continue
        ids = keywords[node.inputs["ids"].name].clone()
        places = (ids == dict(node.spec.placeholder)[port]).nonzero()
        if len(places) == there:
            ids[tuple(places[there - count :].T)] = word
            keywords[node.inputs["ids"].name] = ids
            return
