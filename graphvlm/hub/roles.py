"""The names that servers look for, such as `language_model` and `input_ids`, in place of the author's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ..ir import Graph, Input, Node, Ref
from ..stages import Stages, split
from .reading import mask_of, read_first, text_of

LANGUAGE, VISION, AUDIO, PROJECTOR = "language_model", "vision_tower", "audio_tower", "multi_modal_projector"

# What the first input of a stage is called, by what the stage is of.
_INPUTS = {"image": "pixel_values", "video": "pixel_values_videos", "audio": "input_features"}
# What the first encoder of a stage is called.
_TOWERS = {"image": VISION, "video": VISION, "audio": AUDIO}


def renamed(graph: Graph) -> Graph:
    """The graph with the names of the contract, wherever one part of it plays that role and the name is free."""
    stages = split(graph)
    nodes = _free(_nodes(graph, stages), graph.nodes)
    inputs = _free(_inputs(graph, stages), graph.inputs)

    def ref(old: Ref) -> Ref:
        found = nodes if old.port else inputs
        return replace(old, name=found.get(old.name, old.name))

    def given(old: Input) -> Input:
        return replace(old, name=inputs.get(old.name, old.name))

    def node(old: Node) -> Node:
        return replace(
            old,
            name=nodes.get(old.name, old.name),
            owner=nodes.get(old.owner, old.owner),
            follows=nodes.get(old.follows, old.follows),
            inputs={port: ref(each) for port, each in old.inputs.items()},
            tensor_parallel=1,  # which the plan of the configuration is for
        )

    return replace(
        graph,
        inputs={inputs.get(old.name, old.name): given(old) for old in graph.inputs.values()},
        nodes={nodes.get(name, name): node(old) for name, old in graph.nodes.items()},
        outputs={name: ref(old) for name, old in graph.outputs.items()},
        freeze=(),
        dead=(),
    )


def node_names(graph: Graph) -> Mapping[str, str]:
    """Node of the graph -> its name in the profile."""
    found = _free(_nodes(graph, split(graph)), graph.nodes)
    return {name: found.get(name, name) for name in graph.nodes}


def input_names(graph: Graph) -> Mapping[str, str]:
    """Input of the graph -> its name in the profile."""
    found = _free(_inputs(graph, split(graph)), graph.inputs)
    return {name: found.get(name, name) for name in graph.inputs}


def _free(wanted: Iterator[tuple[str, str]], taken: Mapping[str, object]) -> dict[str, str]:
    """Names that nothing else has; of those that want the same, the first gets it."""
    found: dict[str, str] = {}
    for old, new in wanted:
        if new not in found.values() and old not in found and (new == old or new not in taken):
            found[old] = new
    return found


def _nodes(graph: Graph, stages: Stages) -> Iterator[tuple[str, str]]:
    for name in stages.joint:
        if graph.nodes[name].kind == "decoder":
            yield name, LANGUAGE
    for stage in stages.encoders:
        own = [graph.nodes[name] for name in stage.nodes if not graph.nodes[name].owner]
        encoders = [node for node in own if node.kind == "encoder"]
        # What cuts images or finds their places is none, where something behind it has layers.
        towers = [node.name for node in encoders if node.spec.stack is not None] or [node.name for node in encoders]
        projectors = [node.name for node in own if node.kind == "projector"]
        if towers and stage.name in _TOWERS:
            yield towers[0], _TOWERS[stage.name]
        if len(projectors) == 1:
            yield projectors[0], PROJECTOR


def _inputs(graph: Graph, stages: Stages) -> Iterator[tuple[str, str]]:
    found = read_first(graph, stages)
    if found:
        stage, ref = found
        yield text_of(graph, ref), "input_ids"
        yield mask_of(graph, ref), "attention_mask"
        yield from ((name, "pixel_values") for name in stage.inputs if graph.inputs[name].port.what == "image")
    for name in stages.joint:
        node = graph.nodes[name]
        if node.kind == "decoder":
            mask = node.inputs.get(node.signature.mask)
            yield graph.stream_start(name)[0], "decoder_input_ids" if found else "input_ids"
            if mask is not None and not mask.port:
                yield mask.name, "decoder_attention_mask" if found else "attention_mask"
    for stage in stages.encoders:
        if stage.name in _INPUTS:
            yield stage.inputs[0], _INPUTS[stage.name]
