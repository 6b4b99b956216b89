"""Inputs of a model that fit each other: random, with as many placeholders as the features fill, and padding.

Programs are traced with such inputs and compared with the model on others. Encoders run first: how many places their
features take is counted in what they give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from math import prod
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ..components.encoder.image_stack import ImageStack
from ..components.encoder.patches import Patches
from ..components.encoder.token_embedding import TokenEmbedding
from ..components.fusion.scatter import Scatter
from ..dims import Dim, Many, Sum, Var
from ..ir import Graph, Ref
from .plan import Plan, Value
from .sizes import candidates, evaluate

# Sizes to trace with: no two alike, none of them one, so that none is taken for another or for a constant.
TRACED: Mapping[str, int] = MappingProxyType(
    {"batch": 2, "seq": 7, "images": 3, "tokens": 5, "clips": 2, "height": 84, "width": 126, "depth": 2, "tiles": 2}
)
_OTHER = 6


class Samples:
    """Everything that one call of the model takes: inputs, and the features that encoders make of them.

    Of a model on meta all is on meta, and features fill as many places as they can.
    """

    def __init__(self, plan: Plan, model: nn.Module, wanted: Mapping[str, int], seed: int, *, padded: bool) -> None:
        self.plan, self.graph = plan, plan.graph
        first = next(iter(model.parameters()))
        self.device, self.dtype = first.device, first.dtype
        self.generator = torch.Generator().manual_seed(seed)
        self.numbers = {key: wanted.get(name, wanted.get(_word(name), _OTHER)) for key, name in plan.names.items()}
        for key, top in candidates(self.graph).items():
            self.numbers[key] = max(self.numbers[key], top)
        self.given: dict[str, Tensor] = {}
        with torch.no_grad():
            for encoder in plan.encoders:
                self._stacks()
                for value in encoder.inputs:
                    if value.name not in self.given:
                        self.given[value.name] = self._ahead(value, padded).to(self.device)
                made = getattr(model, encoder.method)(
                    **{value.argument: self.given[value.name] for value in encoder.inputs}
                )
                self._keep(encoder.outputs, made)
            self._joint(padded)

    def _keep(self, values: tuple[Value, ...], made: Any) -> None:
        """What an encoder gave, and the sizes that this settles."""
        for value, tensor in zip(values, made if isinstance(made, tuple) else (made,), strict=True):
            self.given[value.name] = tensor
            for dim, size in zip(value.shape, tensor.shape, strict=True):
                if isinstance(dim, Var):
                    self.numbers[dim.key] = size

    def _stacks(self) -> None:
        """Images that are cut into tiles have sizes that are resolutions; all are as deep as the one of most tiles."""
        for node in self.graph.nodes.values():
            if isinstance(node.spec, ImageStack) and node.spec.tile:
                images, depth = node.signature.inputs["stack"].shape[:2]
                sizes = self._image_sizes(evaluate(images, self.numbers))
                tiles = [high // node.spec.tile * (wide // node.spec.tile) + 1 for high, wide in sizes]
                if isinstance(depth, Var):
                    self.numbers[depth.key] = max(tiles)

    def _image_sizes(self, images: int) -> list[tuple[int, int]]:
        cut = (node.spec for node in self.graph.nodes.values() if isinstance(node.spec, ImageStack) and node.spec.tile)
        spec = next(cut)
        known = spec.resolutions or ((spec.tile, 2 * spec.tile), (2 * spec.tile, spec.tile))
        return [known[index % len(known)] for index in range(images)]

    def _ahead(self, value: Value, padded: bool) -> Tensor:
        """An input of an encoder."""
        shape = [evaluate(dim, self.numbers) for dim in value.shape]
        make: Callable[[], Tensor] | None = {
            "tokens": lambda: self._tokens(value),
            "arrangement": lambda: self._numbers(shape),
            "token_types": lambda: self._numbers(shape),
            "classes": lambda: self._numbers(shape),
            "labels": lambda: self._numbers(shape),
            "seconds": lambda: torch.rand(shape, generator=self.generator),
            "grid": lambda: self._grid(value.name, shape[0]),
            "tile_grid": lambda: _two_tiles(shape),
            "sizes": lambda: torch.tensor(self._sizes(value, shape[0])),
            "counts": lambda: torch.tensor(_shared_out(self._images(value.name), shape[0])),
            "pixel_mask": lambda: _margin(shape),
            "stack_mask": lambda: _margin(shape),
            "tile_mask": lambda: _first_alone(shape),
            "mask": lambda: self._mask(value, shape, padded),
        }.get(value.what)
        return make() if make else torch.randn(shape, generator=self.generator).to(self.dtype)

    def _sizes(self, value: Value, images: int) -> list[tuple[int, ...]]:
        """Heights and widths: resolutions, or where images are patched as they come, all of them; of images that are
        cut already, in patches."""
        for node in self.graph.nodes.values():
            if Ref(value.name) in node.inputs.values() and "image" in node.signature.inputs:
                if isinstance(node.spec, Patches) and node.spec.cut:
                    return self._rows_of_blocks(node.signature.outputs["patches"].shape[0], images)
                shape = node.signature.inputs["image"].shape[-2:]
                return [tuple(evaluate(dim, self.numbers) for dim in shape)] * images
        return list(self._image_sizes(images))

    def _images(self, counts: str) -> int:
        """How many images an input counts."""
        reader = next(node for node in self.graph.nodes.values() if Ref(counts) in node.inputs.values())
        return evaluate(reader.signature.inputs["stack"].shape[0], self.numbers)

    def _grid(self, name: str, images: int) -> Tensor:
        """One frame of each image, and its rows and columns of patches."""
        patches = next(
            port.shape[0]
            for node in self.graph.nodes.values()
            if Ref(name) in node.inputs.values()
            for port in node.signature.inputs.values()
            if port.what == "patches"
        )
        return torch.tensor([(1, *size) for size in self._rows_of_blocks(patches, images)])

    def _rows_of_blocks(self, patches: Dim, images: int) -> list[tuple[int, ...]]:
        """One row of blocks of patches for each image, the last of which has what is left of all patches."""
        many = patches.terms[0] if isinstance(patches, Sum) else 1
        side = round((many.count if isinstance(many, Many) else 1) ** 0.5)
        blocks = evaluate(patches, self.numbers) // side**2
        columns = [1] * (images - 1) + [blocks - images + 1]
        return [(side, side * count) for count in columns]

    def _joint(self, padded: bool) -> None:
        """Tokens long enough for all placeholders, then what has their length."""
        new = [value for value in self.plan.inputs if value.name not in self.given]
        for value in new:
            if value.what == "tokens":
                self.given[value.name] = self._tokens(value)
        for value in new:
            shape = [evaluate(dim, self.numbers) for dim in value.shape]
            if value.what == "mask":
                self.given[value.name] = self._mask(value, shape, padded)
            elif value.what == "visible":
                self.given[value.name] = self._numbers(self._runs(value))
            elif value.what != "tokens":
                self.given[value.name] = self._ahead(value, padded)

        self.given = {name: tensor.to(self.device) for name, tensor in self.given.items()}

    def _numbers(self, shape: list[int]) -> Tensor:
        """Zeros and ones: flags, or numbers of which there are two or more."""
        return torch.randint(0, 2, shape, generator=self.generator)

    def _mask(self, value: Value, shape: list[int], padded: bool) -> Tensor:
        """Everything is seen; `padded`, but for the first two tokens of the first text."""
        mask = torch.ones(shape, dtype=torch.long)
        texts = [given.port.shape for given in self.graph.inputs.values() if given.port.what == "tokens"]
        if padded and any(text[1:2] == value.shape[1:2] for text in texts):
            mask[0, :2] = 0
        return mask

    def _runs(self, value: Value) -> list[int]:
        """A shape of flags that shares out the keys evenly."""
        made = {each.ref: self.given[each.name] for each in self.plan.inputs if each.name in self.given}
        reader = next(node for node in self.graph.nodes.values() if Ref(value.name) in node.inputs.values())
        port = next(name for name, ref in reader.inputs.items() if ref == Ref(value.name)).removesuffix("_visible")
        shape, last = [evaluate(dim, self.numbers) for dim in value.shape], value.shape[-1]
        if made[reader.inputs[port]].size(1) % prod(shape[2:]) and isinstance(last, Var):
            self.numbers[last.key] = shape[-1] = 1
        return shape

    def _tokens(self, value: Value) -> Tensor:
        """Ordinary tokens, with the placeholders of all features in a run after two ordinary ones."""
        wanted = list(self._placeholders(value.name))
        batch, seq = value.shape
        rows = sum(count for _, count, _ in wanted)
        if isinstance(seq, Var):
            self.numbers[seq.key] += -(-rows // evaluate(batch, self.numbers))
            self.numbers[seq.key] += sum(len(around) for *_, around in wanted)
        shape = [evaluate(dim, self.numbers) for dim in value.shape]
        special = {each for token, _, around in wanted for each in (token, *around)}
        ordinary = torch.tensor([token for token in range(vocabulary(self.graph, value.name)) if token not in special])
        ids = ordinary[torch.randint(len(ordinary), shape, generator=self.generator)]
        run = torch.tensor(
            [index for index, (_, count, _) in enumerate(wanted) for _ in range(count)], dtype=torch.long
        )
        for row, part in zip(ids, run.chunk(len(ids)), strict=False):
            marked = with_markers(part, wanted)
            start = min(2, shape[1] - len(marked))
            row[start : start + len(marked)] = marked
        return ids

    def _placeholders(self, tokens: str) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """The token ids that features take the place of, how many places, and the tokens before and behind them.

        All that the features fill, or as many as a mask lets stand.
        """
        values = [value for encoder in self.plan.encoders for value in encoder.outputs]
        made = {value.ref: self.given[value.name] for value in values if value.name in self.given}
        for node in self.graph.nodes.values():
            if isinstance(node.spec, Scatter) and node.inputs["ids"] == Ref(tokens):
                for port, token in node.spec.placeholder:
                    mask = node.inputs.get(f"{port}_mask") if port in node.spec.masked else None
                    ref = node.inputs[port]
                    if mask in made and self.device.type != "meta":
                        rows = int(made[mask].sum())
                    elif ref in made:
                        rows = made[ref][..., 0].numel()
                    else:
                        # Encoded in the same stage as the text.
                        rows = prod(evaluate(dim, self.numbers) for dim in self.graph.port(ref).shape[:-1])
                    yield token, rows, dict(node.spec.between).get(port, ())


def drawn_samples(plan: Plan, model: nn.Module, seed: int) -> Samples:
    """For a model on meta: features fill as many places as they can, which more rows than usual share out."""
    return Samples(plan, model, {**TRACED, "batch": 4}, seed, padded=False)


def with_markers(run: Tensor, wanted: Sequence[tuple[int, int, tuple[int, ...]]]) -> Tensor:
    """The tokens of a run of numbers of kinds, each a token, a count and what stands before and behind those of it."""
    marked = list[int]()
    for index, each in groupby(run.tolist()):
        token, _, around = wanted[index]
        marked += [*around[:1], *(token for _ in each), *around[1:]]
    return torch.tensor(marked, dtype=torch.long)


def _two_tiles(shape: list[int]) -> Tensor:
    """Of the last image of each row two tiles side by side, of the others one."""
    grid = torch.ones(shape, dtype=torch.long)
    grid[:, -1, 1] = 2
    return grid


def _first_alone(shape: list[int]) -> Tensor:
    """All tiles but of the last image of each row, which is the first alone."""
    mask = torch.ones(shape, dtype=torch.long)
    mask[:, -1, 1] = 0
    return mask


def _margin(shape: list[int]) -> Tensor:
    """Pixels, but for a margin at the right."""
    mask = torch.ones(shape, dtype=torch.bool)
    mask[..., shape[-1] - shape[-1] // 3 :] = False
    return mask


def _shared_out(images: int, rows: int) -> list[int]:
    """How many of so many images each row has."""
    return [images // rows + (row < images % rows) for row in range(rows)]


def _word(name: str) -> str:
    return name.rstrip("_0123456789")


def vocabulary(graph: Graph, tokens: str) -> int:
    """How many tokens there are where an input of tokens is read; everywhere, if something stands between."""
    tables = [
        (node.inputs["ids"], node.spec.vocab) for node in graph.nodes.values() if isinstance(node.spec, TokenEmbedding)
    ]
    return min([vocab for ids, vocab in tables if ids == Ref(tokens)] or [vocab for _, vocab in tables])
