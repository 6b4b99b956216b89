"""From files that `torch.save` wrote (`.pth`, `.pt`, `.bin`) to a directory of safetensors, under the same key names.

The files are read with `weights_only=True`: what is in them beside tensors and plain values is refused, never run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .diagnostics import Diagnostic, GraphError

if TYPE_CHECKING:
    from torch import Tensor

# Under which key trainers keep the weights, beside the state of an optimizer and such.
HOLDERS = ("model", "state_dict", "model_state_dict", "module")
SHARD_BYTES = 5 * 10**9


@dataclass(frozen=True, slots=True)
class Source:
    """A file, and what is put before each of its key names."""

    path: Path
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Converted:
    """How many tensors were written, and in how many bytes."""

    tensors: int
    bytes: int


def convert(sources: Sequence[Source], target: Path) -> Converted:
    """Write the tensors of all files into `target`; a key of a later file takes the place of an earlier one's.

    Raises `GraphError` (rule `unreadable-checkpoint`) if a file holds no weights, or anything that is not plain data.
    """
    found: dict[str, Tensor] = {}
    for source in sources:
        found |= {source.prefix + key: tensor for key, tensor in _tensors(source.path).items()}
    target.mkdir(parents=True, exist_ok=True)
    shards = list(_shards(found))
    names = [
        "model.safetensors" if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        for number in range(1, len(shards) + 1)
    ]
    from safetensors.torch import save_file

    for name, shard in zip(names, shards, strict=True):
        # Tensors that share memory are written each by itself.
        save_file({key: tensor.detach().clone().contiguous() for key, tensor in shard.items()}, target / name)
    total = sum(tensor.nbytes for tensor in found.values())
    if len(shards) > 1:
        places = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (target / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return Converted(len(found), total)


def _tensors(path: Path) -> dict[str, Tensor]:
    """The weights in a file, by key name."""
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as problem:
        raise _unreadable(f"{path} cannot be read: {problem.strerror}", "check that the file is there") from None
    except Exception:
        message = f"{path} is no file of weights: it is broken, or holds objects beside tensors and plain values"
        raise _unreadable(message, "download it again, or save its `state_dict` alone") from None
    found = _weights(loaded)
    if not found:
        raise _unreadable(f"{path} holds no tensors by name", "give the file of a `state_dict`")
    return found


def _weights(loaded: Any) -> dict[str, Any]:
    """The named tensors of what was loaded: it itself, or what it holds under one of the usual keys."""
    import torch

    if not isinstance(loaded, Mapping):
        return {}
    inside = next((loaded[key] for key in HOLDERS if isinstance(loaded.get(key), Mapping)), loaded)
    return {str(key): value for key, value in inside.items() if isinstance(value, torch.Tensor)}


def _shards(found: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for key, tensor in found.items():
        if shard and size + tensor.nbytes > SHARD_BYTES:
            yield shard
            shard, size = {}, 0
        shard[key], size = tensor, size + tensor.nbytes
    yield shard


def _unreadable(message: str, help: str) -> GraphError:
    return GraphError([Diagnostic("unreadable-checkpoint", message, help=help)])
