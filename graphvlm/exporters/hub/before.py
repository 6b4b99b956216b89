"""Prompts for a directory: where the package puts features before the text, placeholder tokens stand there."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...hub import Place, places
from ...ir import Graph
from ..samples import Samples, vocabulary

# What transformers calls the mask of a prompt.
MASK = "attention_mask"


class Before:
    """What stands before the text of a graph, as the samples have it."""

    def __init__(self, graph: Graph, samples: Samples) -> None:
        self.places = places(graph)
        self.tokens = tuple(place.token for place in self.places)
        values = [value for encoder in samples.plan.encoders for value in encoder.outputs]
        self.made = {value.ref: samples.given[value.name] for value in values}
        self.word = next(iter({*range(vocabulary(graph, samples.plan.view.tokens))} - {*self.tokens}))

    def without(self, ids: Tensor) -> Tensor:
        """Text [batch, seq] in which nothing is taken for a placeholder."""
        return ids.where(torch.isin(ids, ids.new_tensor(self.tokens), invert=True), self.word)

    def with_places(self, given: Mapping[str, Tensor], tokens: str, mask: str) -> dict[str, Tensor]:
        """The inputs, with text and mask that begin with placeholders: behind padding on the left, and behind more of
        it in rows that show less."""
        if not self.places:
            return dict(given)
        ids, seen = given[tokens], given.get(mask, torch.ones_like(given[tokens]))
        rows = [self._row(row, seen[index].bool(), index, len(ids)) for index, row in enumerate(ids)]
        longest = max(len(row) for row, _ in rows)
        filled = [torch.cat((row.new_full((longest - len(row),), self.word), row)) for row, _ in rows]
        masks = [torch.cat((each.new_zeros(longest - len(each)), each)) for _, each in rows]
        return {**given, tokens: torch.stack(filled), (mask or MASK): torch.stack(masks).long()}

    def _row(self, ids: Tensor, seen: Tensor, index: int, batch: int) -> tuple[Tensor, Tensor]:
        padding = int((seen.cumsum(0) == 0).sum())
        run = torch.cat([ids.new_full((self._count(each, index, batch),), each.token) for each in self.places])
        whole = torch.cat((ids[:padding], run, ids[padding:]))
        return whole, torch.cat((seen[:padding], torch.ones_like(run).bool(), seen[padding:]))

    def _count(self, place: Place, index: int, batch: int) -> int:
        """How many features stand there in one row."""
        if place.mask is not None:
            return int(self.made[place.mask].reshape(batch, -1)[index].sum())
        return self.made[place.features][..., 0].numel() // batch
