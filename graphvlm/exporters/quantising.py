"""Weights of linear layers in fewer bits, by torchao; activations stay as they are.

torchao finds the numbers and their scales. What computes with them afterwards is plain: whole numbers times a scale for
each row (eight bits) or for each group of a row (four).
"""

from __future__ import annotations

import fnmatch
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .plan import Plan
from .programs import Prefill
from .samples import TRACED, Samples

KINDS = ("int8", "int4", "float8")
# What stays as it is unless other patterns are given: what chooses among tokens, experts and keys.
KEPT = ("*head", "*.head.*", "*router", "*.index.*")
GROUP = 32  # numbers of four bits that share a scale
NEW_TOKENS = 32


class NoTorchao(Exception):
    """torchao is not installed."""


@dataclass(frozen=True, slots=True)
class Weight:
    """Whole numbers [out, in] (int8 for those of four bits too) or of float8, and their scales [out, groups]."""

    numbers: Tensor
    scale: Tensor

    @property
    def values(self) -> Tensor:
        """What they stand for, [out, in]."""
        groups = self.numbers.to(self.scale.dtype).view(*self.scale.shape, -1)
        return (groups * self.scale.unsqueeze(2)).flatten(1)


@dataclass(frozen=True, slots=True)
class Quantised:
    """How many linear layers were quantised, which were not, and what that changed.

    `share` is that of the numbers of the model that are in fewer bits. `difference` is that of the largest of the
    outputs, in its parts; `same` is the share of tokens of which the most likely next one stays, where there are
    logits, and `tokens` how many of so many greedy ones are equal, where text is generated.
    """

    kind: str
    layers: int
    kept: tuple[str, ...]
    share: float
    difference: float
    same: float | None
    tokens: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Recipe:
    """One of `KINDS`, and patterns of names of layers that keep their type."""

    kind: str
    keep: Sequence[str] = KEPT


Change = Callable[[nn.Module, Recipe], Sequence[str]]


def quantise(plan: Plan, package: ModuleType, model: nn.Module, recipe: Recipe, change: Change) -> Quantised:
    """Quantise a model in place by `change`, and say what that does to its outputs. Raises `NoTorchao`."""
    samples = Samples(plan, model, TRACED, 0, padded=True)
    given = {name: samples.given[name] for name in plan.graph.inputs}
    new = _room(plan, package, model, samples)
    before, text = _outputs(model, given), _greedy(plan, package, model, given, new)
    linear = {name: module.weight.numel() for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    whole = sum(parameter.numel() for parameter in model.parameters())
    done = change(model, recipe)
    if not done:
        raise ValueError(
            f"no linear layer is left to keep in {recipe.kind}: {len(linear)} stay by their names or, in four bits, "
            f"as their rows are no groups of {GROUP}"
        )
    after, changed = _outputs(model, given), _greedy(plan, package, model, given, new)
    same, logits = None, plan.view.logits
    if logits in before:
        same = float((after[logits].argmax(-1) == before[logits].argmax(-1)).float().mean())
    return Quantised(
        kind=recipe.kind,
        layers=len(done),
        kept=tuple(name for name in linear if name not in done),
        share=sum(linear[name] for name in done) / whole,
        difference=max(_apart(after[name], tensor) for name, tensor in before.items()),
        same=same,
        tokens=(int((text == changed).sum()), text.numel()) if new else None,
    )


def _room(plan: Plan, package: ModuleType, model: nn.Module, samples: Samples) -> int:
    """How many greedy tokens to compare: none where none are generated."""
    if not plan.generates:
        return 0
    longest = getattr(plan.graph.nodes[plan.view.decoder].spec, "max_tokens", None) or sys.maxsize
    return min(NEW_TOKENS, longest - Prefill(plan, model, package).length(samples.given))


def _greedy(plan: Plan, package: ModuleType, model: nn.Module, given: Mapping[str, Tensor], new: int) -> Tensor:
    """The likeliest tokens behind the prompt of the first row."""
    if not new:
        return torch.empty(0)
    tokens, generate = plan.view.tokens, sys.modules[f"{package.__name__}.generate"].generate
    rest = {name: tensor for name, tensor in given.items() if name != tokens}
    made: Tensor = generate(model, given[tokens], **rest, max_new_tokens=new, eos_token_id=None)
    return made[0, given[tokens].size(1) :]


def told(found: Quantised) -> str:
    """What a quantisation did, and what it costs."""
    same = "" if found.same is None else f", {found.same:.1%} of the most likely next tokens stay"
    text = "" if found.tokens is None else f", {found.tokens[0]} of {found.tokens[1]} greedy tokens"
    layers = f"{found.layers} linear layers in {found.kind}, {found.share:.0%} of all numbers ({len(found.kept)} kept)"
    return f"{layers}: outputs are {found.difference:.1e} of the largest apart{same}{text}"


def described(found: Quantised) -> dict[str, Any]:
    """The same as it stands in a manifest."""
    equal = None if found.tokens is None else {"equal": found.tokens[0], "of": found.tokens[1]}
    return {
        "kind": found.kind,
        "layers": found.layers,
        "kept": list(found.kept),
        "share": found.share,
        "difference": found.difference,
        "same": found.same,
        "tokens": equal,
    }


# ---- how


def plainly(model: nn.Module, recipe: Recipe) -> tuple[str, ...]:
    """Layers that compute with whole numbers and scales; who loads a program of them needs no torchao."""
    if recipe.kind != "int4":
        with _torchao():
            from torchao.utils import unwrap_tensor_subclass

            done = _quantised(model, recipe)
            unwrap_tensor_subclass(model)
        return done
    found = weights(model, recipe)
    for name, weight in found.items():
        module = model.get_submodule(name)
        module.weight = nn.Parameter(packed(weight.numbers), requires_grad=False)
        parametrize.register_parametrization(module, "weight", FourBits(weight.scale), unsafe=True)
    return tuple(found)


def weights(model: nn.Module, recipe: Recipe) -> dict[str, Weight]:
    """The numbers of all layers that are quantised; the layers themselves get what these stand for."""
    found = {}
    with _torchao():
        done = _quantised(model, recipe)
    for name in done:
        module: Any = model.get_submodule(name)
        kept = module.weight
        dtype = kept.dtype
        weight = Weight(kept.qdata.detach(), kept.scale.detach().reshape(kept.qdata.size(0), -1).to(dtype))
        module.weight = nn.Parameter(weight.values.to(dtype), requires_grad=False)
        found[name] = weight
    return found


class FourBits(nn.Module):
    """A weight [out, in] from two numbers a byte, [out, in / 2], and scales [out, groups]."""

    scale: Tensor

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def forward(self, pairs: Tensor) -> Tensor:
        numbers = torch.stack((pairs & 15, pairs >> 4), dim=2).flatten(1).to(self.scale.dtype) - 8
        return (numbers.view(*self.scale.shape, -1) * self.scale.unsqueeze(2)).flatten(1)


def packed(numbers: Tensor) -> Tensor:
    """Whole numbers from -8 to 7, two a byte, the first in the lower half: [out, in] -> [out, in / 2]."""
    pairs = (numbers + 8).to(torch.uint8).view(len(numbers), -1, 2)
    return pairs[:, :, 0] | (pairs[:, :, 1] << 4)


def stays(name: str, keep: Sequence[str]) -> bool:
    """Whether a layer of this name keeps its type."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in keep)


def _quantised(model: nn.Module, recipe: Recipe) -> tuple[str, ...]:
    """Let torchao quantise all layers but some; the names of those that it did. Four bits need rows of whole groups."""
    from torchao.quantization import quantize_

    unit = GROUP if recipe.kind == "int4" else 1
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    fitting = [name for name, module in linear.items() if module.in_features % unit == 0]
    done = tuple(name for name in fitting if not stays(name, recipe.keep))
    quantize_(model, config(recipe.kind), filter_fn=lambda _, name: name in done)
    return done


def config(kind: str) -> Any:
    """What torchao calls it."""
    from torchao import quantization as ao

    if kind == "int4":
        return ao.IntxWeightOnlyConfig(weight_dtype=getattr(torch, kind), granularity=ao.PerGroup(GROUP))
    return ao.Int8WeightOnlyConfig() if kind == "int8" else ao.Float8WeightOnlyConfig()


@contextmanager
def _torchao() -> Iterator[None]:
    """Without what it says of kernels for GPUs that are not here. Raises `NoTorchao`."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImportError as problem:
        raise NoTorchao("quantisation is done by torchao: pip install 'graphvlm[quant]'") from problem
    finally:
        logging.disable(before)


@torch.no_grad()
def _outputs(model: nn.Module, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    made = model(**given)
    return {name: tensor.float().clone() for name, tensor in made._asdict().items() if tensor is not None}


def _apart(made: Tensor, expected: Tensor) -> float:
    return float((made - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
