"""Models with more weights than a machine has memory: each weight lies in a file that is mapped, and nowhere else.

The file is the one that exported models refer to. What is read or written of it, the system may drop from memory again.
"""

from __future__ import annotations

import mmap
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from torch import nn

from .models import random_weights

# Below it, models are in memory.
LIMIT = 4 * 2**30
PAGE = mmap.ALLOCATIONGRANULARITY
_AT_ONCE = 16  # tensors that are read before what was written is let go


class Mapped:
    """A file of all weights of a model, which lie in it one behind the other, each on pages of its own.

    Matrices of linear layers lie there with their axes exchanged, as products in ONNX take them.
    """

    def __init__(self, path: Path, model: nn.Module, dtype: torch.dtype) -> None:
        """Give every parameter of a model on meta its place in a new file, in a type; what is there is zero."""
        own = dict.fromkeys(model.parameters())
        size = sum(_pages(parameter.numel() * dtype.itemsize) for parameter in own)
        with path.open("w+b") as file:
            file.truncate(size)
            self._file = mmap.mmap(file.fileno(), size)
        self._bytes = torch.frombuffer(self._file, dtype=torch.uint8)
        linear = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)}
        offset, placed = 0, dict[int, nn.Parameter]()
        for parameter in own:
            count = parameter.numel() * dtype.itemsize
            flat = self._bytes[offset : offset + count].view(dtype)
            offset += _pages(count)
            there = flat.view(parameter.shape[::-1]).t() if id(parameter) in linear else flat.view(parameter.shape)
            placed[id(parameter)] = nn.Parameter(there, requires_grad=parameter.requires_grad)
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                setattr(module, name, placed[id(parameter)])

    def offset(self, address: int, count: int) -> int | None:
        """Where in the file something is that lies at an address in memory; None if it is not in the file."""
        offset = address - self._bytes.data_ptr()
        return offset if offset >= 0 and offset + count <= len(self._bytes) else None

    def release(self) -> None:
        """Write what is new to the file, and let go of the memory that it takes."""
        self._file.flush()
        self._file.madvise(mmap.MADV_DONTNEED)


def mapped(
    package: ModuleType, path: Path, weights: Path | None, seed: int, dtype: torch.dtype
) -> tuple[nn.Module, Mapped]:
    """The model of a package in a new file, with the weights of a checkpoint, or random ones as `models.randomise` has.

    After each of its modules what was read of the file is let go. Raises ValueError for a checkpoint that does not fit.
    """
    with torch.device("meta"):
        model = cast("nn.Module", package.Model()).to(dtype).eval()
    checkpoint: Any = sys.modules[f"{package.__name__}.checkpoint"]
    found = checkpoint.find_whole(model, weights) if weights else {}
    file = Mapped(path, model, dtype)
    for name, module in model.named_modules():
        for key, buffer in module.named_buffers(recurse=False):
            setattr(module, key, torch.empty_like(buffer, device="cpu"))
        if name and hasattr(module, "reset_parameters") and next(module.buffers(recurse=False), None) is not None:
            module.reset_parameters()
    if weights:
        rest = iter(sorted(found.items(), key=lambda item: str(item[1].file)))
        while part := dict(islice(rest, _AT_ONCE)):
            with torch.no_grad():
                checkpoint.load(model, part)
            file.release()
    else:
        for _ in random_weights(model, seed):
            file.release()
    for module in model.modules():
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_hook(lambda *_: file.release())
    return model, file


def _pages(count: int) -> int:
    """The bytes of so many whole pages that so many bytes fit in."""
    return -(-count // PAGE) * PAGE
