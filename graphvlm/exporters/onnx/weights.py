"""Weights of several models in one file: what `prefill` and `decode` share is written once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..mapped import Mapped

if TYPE_CHECKING:
    import onnx_ir as ir

NAME = "weights.bin"
# Below it models hold their weights themselves; a file of ONNX can have 2 GiB.
LIMIT = 256 * 2**20
_SMALL = 1024
_PAGE = 4096


class Shared:
    """A file of weights that grows: each tensor once, by its content, on pages of its own so that it can be mapped.

    Of a model that is mapped from the file, weights are there already.
    """

    def __init__(self, folder: Path, mapped: Mapped | None = None) -> None:
        self.path, self.mapped = folder / NAME, mapped
        self.found: dict[tuple[str, str], tuple[int, int]] = {}

    def take(self, model: ir.Model) -> None:
        """Write the larger weights of a model to the file, and let the model refer to them."""
        import onnx_ir as ir

        for value in model.graph.initializers.values():
            tensor = value.const_value
            if tensor is None or tensor.nbytes < _SMALL:
                continue
            if self.mapped:
                tensor = _as_it_lies(value, tensor)
            offset, length = self._place(tensor)
            value.const_value = ir.ExternalTensor(
                NAME,
                offset,
                length,
                tensor.dtype,
                shape=ir.Shape(int(str(size)) for size in tensor.shape),
                name=value.name or "",
                base_dir=self.path.parent,
            )

    def _place(self, tensor: Any) -> tuple[int, int]:
        there = self._there(tensor.numpy()) if self.mapped else None
        if there is not None:
            return there, tensor.nbytes
        data = tensor.tobytes()
        key = (str(tensor.dtype), hashlib.sha256(data).hexdigest())
        if key not in self.found:
            with self.path.open("ab") as file:
                file.write(b"\0" * (-file.tell() % _PAGE))
                self.found[key] = file.tell(), len(data)
                file.write(data)
        return self.found[key]

    def _there(self, array: Any) -> int | None:
        """Where an array is in the file already."""
        assert self.mapped is not None
        plain = array.flags.c_contiguous
        return self.mapped.offset(array.__array_interface__["data"][0], array.nbytes) if plain else None


def _as_it_lies(value: ir.Value, tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """A matrix that is only multiplied with its axes exchanged, as it lies in memory if that is the other way round."""
    import onnx_ir as ir

    array, uses = tensor.numpy(), value.uses()
    if array.ndim != 2 or not array.flags.f_contiguous or array.flags.c_contiguous:
        return tensor
    if not all(
        use.node.op_type == "Gemm" and use.idx == 1 and use.node.attributes.get_int("transB", 0) for use in uses
    ):
        return tensor
    for use in uses:
        use.node.attributes.pop("transB")
    value.shape = ir.Shape(array.shape[::-1])
    return ir.Tensor(array.T, dtype=tensor.dtype, name=tensor.name)
