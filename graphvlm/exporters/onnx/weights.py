"""Weights of several models in one file: what `prefill` and `decode` share is written once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir as ir

NAME = "weights.bin"
# Below it models hold their weights themselves; a file of ONNX can have 2 GiB.
LIMIT = 256 * 2**20
_SMALL = 1024
_PAGE = 4096


class Shared:
    """A file of weights that grows: each tensor once, by its content, on pages of its own so that it can be mapped."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.found: dict[tuple[str, str], tuple[int, int]] = {}

    def take(self, model: ir.Model) -> None:
        """Write the larger weights of a model to the file, and let the model refer to them."""
        import onnx_ir as ir

        for value in model.graph.initializers.values():
            tensor = value.const_value
            if tensor is None or tensor.nbytes < _SMALL:
                continue
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
        data = tensor.tobytes()
        key = (str(tensor.dtype), hashlib.sha256(data).hexdigest())
        if key not in self.found:
            with self.path.open("ab") as file:
                file.write(b"\0" * (-file.tell() % _PAGE))
                self.found[key] = file.tell(), len(data)
                file.write(data)
        return self.found[key]
