"""Weights in fewer bits in an ONNX model: numbers and scales in place of what they stand for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..quantising import Weight, packed

if TYPE_CHECKING:
    import onnx_ir as ir

# Operators of ONNX Runtime alone; TensorRT has none of them.
RUNTIME = "com.microsoft"


@dataclass(frozen=True, slots=True)
class _Found:
    """A weight as it stands in a model: [out, in], or `turned`, [in, out]."""

    weight: Weight
    turned: bool


def put_in(model: ir.Model, weights: Iterable[Weight], *, four: bool) -> int:
    """Replace what the weights stand for by their numbers; how many there were.

    Eight bits become `DequantizeLinear`, a scale a row. Four bits become `MatMulNBits` of ONNX Runtime. Weights are
    found by their content: what a conversion names and turns is its own matter.
    """
    known = {_key(values): found for weight in weights for values, found in _forms(weight)}
    done = 0
    for value in list(model.graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or len(tensor.shape) != 2:
            continue
        found = known.get(_digest(tuple(int(str(size)) for size in tensor.shape), tensor.tobytes()))
        if found is not None:
            done += _products(model, value, found) if four else _dequantised(model, value, found)
    return done


def _forms(weight: Weight) -> Iterable[tuple[Tensor, _Found]]:
    yield weight.values, _Found(weight, turned=False)
    yield weight.values.T, _Found(weight, turned=True)


def _key(values: Tensor) -> str:
    return _digest(tuple(values.shape), values.contiguous().numpy().tobytes())


def _digest(shape: tuple[int, ...], data: bytes) -> str:
    return hashlib.sha256(repr(shape).encode() + data).hexdigest()


def _dequantised(model: ir.Model, value: ir.Value, found: _Found) -> int:
    import onnx_ir as ir

    numbers = found.weight.numbers.T if found.turned else found.weight.numbers
    given = [
        _constant(model, f"{value.name}.numbers", numbers),
        _constant(model, f"{value.name}.scale", found.weight.scale[:, 0]),
    ]
    node = ir.node("DequantizeLinear", given, attributes={"axis": int(found.turned)})
    node.outputs[0].shape, node.outputs[0].type = value.shape, value.type
    value.replace_all_uses_with(node.outputs[0])
    model.graph.insert_before(model.graph[0], node)
    del model.graph.initializers[value.name or ""]
    return 1


def _products(model: ir.Model, value: ir.Value, found: _Found) -> int:
    """Matrix products with the weight; used in another way it stays as it is."""
    import onnx_ir as ir

    uses = [(use.node, use.idx) for use in value.uses()]
    if not found.turned or any(node.op_type != "MatMul" or index != 1 for node, index in uses):
        return 0
    rows, columns = found.weight.numbers.shape
    groups = found.weight.scale.size(1)
    blocks = packed(found.weight.numbers).view(rows, groups, -1)
    given = [
        _constant(model, f"{value.name}.numbers", blocks),
        _constant(model, f"{value.name}.scale", found.weight.scale.flatten()),
    ]
    sizes = {"K": columns, "N": rows, "bits": 4, "block_size": columns // groups}
    for node, _ in uses:
        made = ir.node("MatMulNBits", [node.inputs[0], *given], attributes=sizes, domain=RUNTIME)
        out, old = made.outputs[0], node.outputs[0]
        out.shape, out.type = old.shape, old.type
        old.replace_all_uses_with(out, replace_graph_outputs=True)
        out.name, old.name = old.name, None
        model.graph.insert_before(node, made)
        model.graph.remove(node, safe=True)
    model.opset_imports[RUNTIME] = 1
    del model.graph.initializers[value.name or ""]
    return 1


def _constant(model: ir.Model, name: str, tensor: Tensor) -> ir.Value:
    import ml_dtypes
    import onnx_ir as ir

    tensor = tensor.contiguous()
    array: Any
    if tensor.dtype == torch.float8_e4m3fn:
        array = tensor.view(torch.uint8).numpy().view(ml_dtypes.float8_e4m3fn)
    else:
        array = tensor.numpy()
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    value.shape, value.type = ir.Shape(array.shape), ir.TensorType(value.const_value.dtype)  # type: ignore[union-attr]
    model.graph.register_initializer(value)
    return value
