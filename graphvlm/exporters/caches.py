"""The cache of a package as plain tensors: taken apart after a prompt, put together again for the next token.

A `KVCache` is an object with lists, dicts, tuples and tensors in it. What is in it differs from graph to graph (keys
and values, states of linear attention, what is kept of images), and nothing here knows: it is walked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where a tensor stood in a cache that was taken apart."""

    name: str


def leaves(value: Any) -> dict[str, Tensor]:
    """Every tensor in a cache, by a name that says where it is; one that several parts share is named once."""
    found: dict[int, tuple[str, Tensor]] = {}
    for path, tensor in _walk(value, ()):
        found.setdefault(id(tensor), (".".join(path), tensor))
    return dict(found.values())


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
    else:
        for key, part in _parts(value):
            yield from _walk(part, (*path, key))


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What is in a container; an object of a package comes last to its containers, so that short names win."""
    if isinstance(value, dict):
        yield from ((str(key), part) for key, part in value.items())
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from zip(value._fields, value, strict=True)
    elif isinstance(value, (list, tuple)):
        yield from ((str(index), part) for index, part in enumerate(value))
    elif _is_object(value):
        yield from sorted(vars(value).items(), key=lambda item: not isinstance(item[1], Tensor))


def skeleton(value: Any) -> Any:
    """A cache without its tensors: the same containers, with a `Leaf` in place of each; objects become dicts."""
    names = {id(tensor): name for name, tensor in leaves(value).items()}

    def bare(value: Any) -> Any:
        if isinstance(value, Tensor):
            return Leaf(names[id(value)])
        return _rebuilt(value, bare)

    return bare(value)


def _rebuilt(value: Any, each: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: each(part) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(each, value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(each, value))
    return {key: each(part) for key, part in vars(value).items()} if _is_object(value) else value


def _is_object(value: Any) -> bool:
    """Whether it is one of the package's own; an open size has attributes too."""
    return hasattr(value, "__dict__") and not isinstance(value, (Tensor, torch.SymInt))


def fill(cache: Any, bare: Any, given: dict[str, Tensor]) -> None:
    """Put tensors into a new, empty cache, where they stood in the one that `bare` is the skeleton of.

    They are copied: a step writes into its cache. A tensor that the new cache has already stays the same object, as
    parts of the cache may share it.
    """
    for key, part in bare.items():
        now = getattr(cache, key)
        if isinstance(part, Leaf) and isinstance(now, Tensor):
            now.copy_(given[part.name])
        elif isinstance(part, list) and part and _is_object(now[0]):
            for inner, inner_bare in zip(now, part, strict=True):
                fill(inner, inner_bare, given)
        elif isinstance(part, (Leaf, dict, list, tuple)):
            setattr(cache, key, _filled(part, given))


def _filled(part: Any, given: dict[str, Tensor]) -> Any:
    if isinstance(part, Leaf):
        return given[part.name].clone()
    return _rebuilt(part, lambda inner: _filled(inner, given))


@torch.no_grad()
def changed(before: dict[str, Tensor], after: dict[str, Tensor], versions: dict[str, int]) -> tuple[str, ...]:
    """The names of tensors that a step replaced or wrote into."""
    return tuple(
        name for name, tensor in after.items() if tensor is not before[name] or tensor._version != versions[name]
    )
