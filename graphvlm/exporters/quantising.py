"""Weights of linear layers in fewer bits, by torchao; activations stay as they are."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .plan import Plan
from .samples import TRACED, Samples

KINDS = ("int8", "float8")


class NoTorchao(Exception):
    """torchao is not installed."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """How many linear layers were quantised, and what that changed.

    `difference` is that of the largest of the outputs, in its parts; `same` is the share of tokens of which the most
    likely next one stays, where there are logits.
    """

    kind: str
    layers: int
    difference: float
    same: float | None


def quantise(plan: Plan, model: nn.Module, kind: str, seed: int) -> Quantised:
    """Quantise a model in place, and say what it changes in its outputs on random inputs. Raises `NoTorchao`."""
    samples = Samples(plan, model, TRACED, seed, padded=True)
    given = {name: samples.given[name] for name in plan.graph.inputs}
    before = _outputs(model, given)
    layers = sum(isinstance(module, nn.Linear) for module in model.modules())
    _apply(model, kind)
    after = _outputs(model, given)
    worst = max(_apart(after[name], tensor) for name, tensor in before.items())
    logits = plan.view.logits
    same = None
    if logits in before:
        same = float((after[logits].argmax(-1) == before[logits].argmax(-1)).float().mean())
    return Quantised(kind, layers, worst, same)


@torch.no_grad()
def _outputs(model: nn.Module, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    made = model(**given)
    return {name: tensor.float().clone() for name, tensor in made._asdict().items() if tensor is not None}


def _apart(made: Tensor, expected: Tensor) -> float:
    return float((made - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def _apply(model: nn.Module, kind: str) -> None:
    """Quantise all linear layers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # of kernels for GPUs that are not here
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _torchao(model, kind)
    except ImportError as problem:
        raise NoTorchao("quantisation is done by torchao: pip install 'graphvlm[quant]'") from problem
    finally:
        logging.disable(before)


def _torchao(model: nn.Module, kind: str) -> None:
    from torchao import quantization as ao
    from torchao.utils import unwrap_tensor_subclass

    config: Any = ao.Int8WeightOnlyConfig() if kind == "int8" else ao.Float8WeightOnlyConfig()
    ao.quantize_(model, config)
    # Plain tensors: who loads the program needs no torchao.
    unwrap_tensor_subclass(model)
