"""The programs of a plan as modules: tensors in, tensors out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..dims import Var
from . import caches
from .plan import Encoder, Plan
from .rewrites import REPLACED, Rewritten, Table
from .sizes import evaluate

PAST, PRESENT = "past.", "present."


class Program(nn.Module):
    """One program. It takes its `names` in order and gives a tensor for each of `results`, in order.

    Called, it is the package itself and nothing else; while it is exported, the operations in `table` are others.
    """

    names: tuple[str, ...]
    results: tuple[str, ...]
    table: Table = REPLACED

    def __init__(self, name: str, plan: Plan, model: nn.Module) -> None:
        super().__init__()
        self.name, self.plan, self.model = name, plan, model

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run it; `results` has the names of what comes out."""
        given = dict(zip(self.names, tensors, strict=True))
        made = self.run(given)
        self.results = tuple(made)
        return tuple(made.values())

    def run(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors that come out, by name."""
        raise NotImplementedError

    def rewritten(
        self, picks: Mapping[int, Tensor] | None = None, *, always: bool = False
    ) -> AbstractContextManager[object]:
        """Operations as exported programs have them, while one is being exported, and where no number is known."""
        exporting = always or torch.compiler.is_exporting()
        return Rewritten(picks or {}, self.table) if exporting else nullcontext()


class Encode(Program):
    """An encoder of a modality with its projector."""

    def __init__(self, encoder: Encoder, plan: Plan, model: nn.Module) -> None:
        super().__init__(encoder.method, plan, model)
        self.encoder = encoder
        self.names = tuple(value.name for value in encoder.inputs)

    def run(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        with self.rewritten():
            made = getattr(self.model, self.encoder.method)(**given)
        values = made if isinstance(made, tuple) else (made,)
        return {value.name: tensor for value, tensor in zip(self.encoder.outputs, values, strict=True)}


class Joint(Program):
    """The joint stage as a whole: fused features in, outputs of the graph out."""

    def __init__(self, name: str, plan: Plan, model: nn.Module) -> None:
        super().__init__(name, plan, model)
        self.names = tuple(value.name for value in plan.inputs)

    def run(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        with self.rewritten():
            output = self.call(given)
        return self.outputs(output)

    def call(self, given: dict[str, Tensor], **more: Any) -> Any:
        """The method of the package, with values that belong together put together again."""
        made: dict[str, Any] = {}
        several: dict[str, list[Tensor]] = {}
        for value in self.plan.inputs:
            if value.field:
                several.setdefault(value.argument, []).append(given[value.name])
            else:
                made[value.argument] = given[value.name]
        return getattr(self.model, self.plan.joint)(
            **made, **{name: tuple(part) for name, part in several.items()}, **more
        )

    def outputs(self, output: Any) -> dict[str, Tensor]:
        """What this stage gives of the outputs of the graph."""
        return {name: getattr(output, name) for name in self.plan.results}


class Prefill(Joint):
    """A prompt: the logits of what follows the last token of each row, and the cache."""

    def __init__(self, plan: Plan, model: nn.Module, package: ModuleType) -> None:
        super().__init__("prefill", plan, model)
        self.cache_class = sys.modules[f"{package.__name__}.generate"].KVCache
        self.skeleton: Any = None

    def run(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        ids, view = given[self.plan.view.tokens], self.plan.view
        batch, prompt = ids.shape
        places = torch.arange(prompt, device=ids.device)
        last = (given[view.mask] * places).amax(dim=1) if view.mask else torch.full_like(ids[:, 0], prompt - 1)
        keep = places == last[:, None]
        cache = new_cache(self, batch, self.length(given), ids.device)
        with self.rewritten({id(keep): last}, always=ids.is_meta):
            output = self.call(given, cache=cache, **({"keep": keep} if view.keep else {}))
        made = self.outputs(output)
        if not view.keep:
            row = torch.arange(batch, device=ids.device)
            made[view.logits] = made[view.logits][:, -prompt:][row, last]
        if not torch.compiler.is_exporting():
            self.skeleton = caches.skeleton(cache)
        return made | {PRESENT + name: tensor for name, tensor in caches.leaves(cache).items()}

    def length(self, given: Mapping[str, Tensor]) -> int:
        """How long the sequence is that the decoder reads."""
        sizes = {
            dim.key: given[value.name].shape[axis]
            for value in self.plan.inputs
            for axis, dim in enumerate(value.shape)
            if isinstance(dim, Var)
        }
        return sum(evaluate(dim, sizes) for dim in self.plan.sequence)


class Decode(Joint):
    """The next token of every row: its logits, and what changed in the cache."""

    def __init__(self, prefill: Prefill, past: Mapping[str, Tensor]) -> None:
        super().__init__("decode", prefill.plan, prefill.model)
        self.cache_class, self.skeleton = prefill.cache_class, prefill.skeleton
        self.past, self.table = tuple(past), prefill.table
        self.names = (prefill.plan.view.tokens, *(PAST + name for name in self.past))

    def run(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        view, ids = self.plan.view, given[self.plan.view.tokens]
        past = {name: given[PAST + name] for name in self.past}
        cache = new_cache(self, ids.size(0), past["tokens"].size(1), ids.device)
        caches.fill(cache, self.skeleton, past)
        before = caches.leaves(cache)
        versions = {name: tensor._version for name, tensor in before.items()}
        with self.rewritten():
            output = getattr(self.model, self.plan.joint)(**{view.tokens: ids}, cache=cache)
        made = self.outputs(output)
        made[view.logits] = made[view.logits][:, -1]
        after = caches.leaves(cache)
        return made | {PRESENT + name: after[name] for name in caches.changed(before, after, versions)}


def new_cache(program: Prefill | Decode, batch: int, size: int, device: torch.device) -> Any:
    """An empty cache of the package."""
    config = getattr(program.model.config, program.plan.view.decoder)
    return program.cache_class(config.layers, batch, size, device)
