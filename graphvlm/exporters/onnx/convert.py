"""A traced program as an ONNX model, with names that people know and nothing of the machine that made it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...ir import Graph
from ..tracing import Traced, numbers, quiet
from .lacking import lacked, stand_in

if TYPE_CHECKING:
    import onnx_ir as ir

# What TensorRT and ONNX Runtime both take. 23 has an `Attention` and a `RotaryEmbedding` that one or the other refuses.
OPSETS = (18, 20)


@dataclass(frozen=True, slots=True)
class Converted:
    """A model, and the nodes that each of its operators comes from; of an imported module with the line."""

    model: ir.Model
    sources: Mapping[str, tuple[str, ...]]


def convert(traced: Traced, opset: int) -> Converted:
    """The model of a traced program; its inputs, outputs and open sizes are called as in the plan.

    Of a program traced on meta the weights are those that its model has since, which are not copied, or zeros that take
    no memory: the operators are those of the real one. An operation that ONNX has not is an operator of the domain
    `torch`, which nothing runs.
    """
    with quiet():
        made = _translated(traced, opset)
        known = numbers(traced.run.program)
        for name, value in made.model.graph.initializers.items():
            if value.const_value is not None and getattr(getattr(value.const_value, "raw", None), "is_meta", False):
                value.const_value = _filled(value.const_value, known.get(name))
        made.optimize()
    sources = _sources(made.model, traced.run.program.plan.graph)
    model: Any = made.model
    graph = model.graph
    symbols = dict(traced.symbols)
    for values, names in ((graph.inputs, traced.run.inputs), (graph.outputs, traced.run.outputs)):
        for value, name in zip(values, names, strict=True):
            value.name = name
            value.shape = _shape(traced.shapes[name])
    for node in graph:
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
            if value.shape is not None and value not in graph.outputs:
                value.shape = _shape(tuple(_renamed(size, symbols) for size in value.shape))
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()
    graph.metadata_props.clear()
    graph.name = traced.name
    graph.doc_string = None
    model.metadata_props.clear()
    model.producer_name, model.producer_version = "graphvlm", None
    return Converted(model, sources)


def _translated(traced: Traced, opset: int) -> Any:
    """The model as torch makes it, once it has something to put in for every operation that ONNX has not."""
    lacking: dict[Any, Any] = {}
    while True:
        try:
            return torch.onnx.export(
                traced.exported,
                opset_version=opset,
                dynamo=True,
                verbose=False,
                optimize=False,
                custom_translation_table=lacking,
            )
        except torch.onnx.errors.OnnxExporterError as problem:
            operation = lacked(problem)
            if operation is None or operation in lacking:
                raise
            lacking[operation] = stand_in(operation)


def _filled(tensor: Any, numbers: Tensor | None) -> Any:
    import numpy as np
    import onnx_ir as ir

    if numbers is not None and not numbers.is_meta:
        return ir.tensor_adapters.TorchTensor(numbers.detach(), tensor.name)
    zeros = np.broadcast_to(np.zeros((), tensor.dtype.numpy()), tuple(tensor.shape.numpy()))
    return ir.Tensor(zeros, dtype=tensor.dtype, name=tensor.name)


def _shape(sizes: tuple[int | str | None, ...]) -> Any:
    import onnx_ir as ir

    return ir.Shape(sizes)


def _renamed(size: Any, symbols: Mapping[str, str]) -> int | str | None:
    if isinstance(size, int) or size.value is None:
        return size if isinstance(size, int) else None
    return re.sub(r"[A-Za-z_]\w*", lambda word: symbols.get(word[0], word[0]), str(size.value))


def _sources(model: ir.Model, graph: Graph) -> dict[str, tuple[str, ...]]:
    """Where the operators of a model come from; each is named so too, as what reads the model names it in errors."""
    found: dict[str, dict[str, None]] = {}
    for node in model.graph:
        scopes = re.findall(r"model\.(\w+)", node.metadata_props.get("pkg.torch.onnx.name_scopes", ""))
        owner = graph.nodes.get(scopes[0]) if scopes else None
        if owner is not None:
            node.name = f"{owner.name}/{(node.name or node.op_type).removeprefix('node_')}"
            lines = re.findall(r'File "([^"]+)", line (\d+)', node.metadata_props.get("pkg.torch.onnx.stack_trace", ""))
            own = [f" ({Path(file).name}:{line})" for file, line in lines if "site-packages" not in Path(file).parts]
            place = own[-1] if own and owner.imported else ""
            found.setdefault(operator(node), {})[f"{owner.name}{place}"] = None
    return {name: tuple(places) for name, places in found.items()}


def operator(node: ir.Node) -> str:
    """What an operator is called."""
    return f"{node.domain}::{node.op_type}" if node.domain else node.op_type


def operators(model: ir.Model) -> Counter[str]:
    """How often each operator stands in a model."""
    return Counter(map(operator, model.graph))
