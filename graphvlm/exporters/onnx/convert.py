"""A traced program as an ONNX model, with names that people know and nothing of the machine that made it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from ..tracing import Traced, quiet

if TYPE_CHECKING:
    import onnx_ir as ir

# What TensorRT and ONNX Runtime both take. 23 has an `Attention` and a `RotaryEmbedding` that one or the other refuses.
OPSETS = (18, 20)


def convert(traced: Traced, opset: int) -> ir.Model:
    """The model of a traced program; its inputs, outputs and open sizes are called as in the plan.

    Of a program traced on meta the weights are zeros that take no memory: the operators are those of the real one.
    """
    with quiet():
        made = torch.onnx.export(traced.exported, opset_version=opset, dynamo=True, verbose=False, optimize=False)
        assert made is not None
        for value in made.model.graph.initializers.values():
            if value.const_value is not None and getattr(getattr(value.const_value, "raw", None), "is_meta", False):
                value.const_value = _zeros(value.const_value)
        made.optimize()
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
    return model  # type: ignore[no-any-return]


def _zeros(tensor: Any) -> Any:
    import numpy as np
    import onnx_ir as ir

    zeros = np.broadcast_to(np.zeros((), tensor.dtype.numpy()), tuple(tensor.shape.numpy()))
    return ir.Tensor(zeros, dtype=tensor.dtype, name=tensor.name)


def _shape(sizes: tuple[int | str | None, ...]) -> Any:
    import onnx_ir as ir

    return ir.Shape(sizes)


def _renamed(size: Any, symbols: Mapping[str, str]) -> int | str | None:
    if isinstance(size, int) or size.value is None:
        return size if isinstance(size, int) else None
    return re.sub(r"[A-Za-z_]\w*", lambda word: symbols.get(word[0], word[0]), str(size.value))


def operators(model: ir.Model) -> Counter[str]:
    """How often each operator stands in a model."""
    return Counter(f"{node.domain}::{node.op_type}" if node.domain else node.op_type for node in model.graph)
