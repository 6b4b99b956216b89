"""Programs traced: each as a graph of torch's operations, with the axes that stay open and what they are called."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from .plan import Plan, Value
from .programs import PAST, PRESENT, Decode, Encode, Joint, Prefill, Program
from .rewrites import REPLACED, Table, all_experts
from .samples import Samples
from .sizes import CACHE, candidates

Axes = Mapping[int, str]
KEPT = "kept_"


@dataclass(frozen=True, slots=True)
class Run:
    """A program, inputs that it was run with, and what came out."""

    program: Program
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Traced:
    """An exported program. `symbols` are its open sizes as torch calls them, with the names that people are told."""

    name: str
    run: Run
    exported: ExportedProgram
    symbols: Mapping[str, str]
    made: Mapping[str, tuple[Any, ...]]

    @property
    def shapes(self) -> dict[str, tuple[int | str, ...]]:
        """The shapes of all inputs and outputs, open sizes by their names."""
        return {name: tuple(self._shown(size) for size in shape) for name, shape in self.made.items()}

    def _shown(self, size: Any) -> int | str:
        if isinstance(size, int):
            return size
        expression = size.node.expr
        if expression.is_integer and expression.is_number:
            return int(expression)
        named = {symbol: self.symbols.get(str(symbol), str(symbol)) for symbol in expression.free_symbols}
        return str(expression.subs(named))


def trace(
    plan: Plan, model: nn.Module, package: ModuleType, samples: Samples, table: Table = REPLACED
) -> Iterator[Traced]:
    """Each program of a plan, traced with the inputs given; in the programs, operations of `table` are others."""
    given = samples.given
    for encoder in plan.encoders:
        encode = Encode(encoder, plan, model)
        encode.table = table
        yield traced(run(encode, given), open_axes(plan, encoder.inputs))
    if plan.joint and not plan.generates:
        combine = Joint("combine", plan, model)
        combine.table = table
        yield traced(run(combine, given), open_axes(plan, plan.inputs))
    elif plan.joint:
        prefill = Prefill(plan, model, package)
        prefill.table = table
        first = traced(run(prefill, given), open_axes(plan, plan.inputs))
        yield first
        axes = cache_axes(first)
        yield traced(next_step(prefill, first.run, axes), axes)


@torch.no_grad()
def run(program: Program, given: Mapping[str, Tensor]) -> Run:
    """A program run once."""
    inputs = {name: given[name] for name in program.names}
    made = program(*(tensor.clone() for tensor in inputs.values()))
    return Run(program, inputs, dict(zip(program.results, made, strict=True)))


def next_step(prefill: Prefill, first: Run, axes: Mapping[str, Axes]) -> Run:
    """The step after a prompt, in a cache with more slots than it has tokens."""
    view = prefill.plan.view
    past = {PAST + name.removeprefix(PRESENT): part for name, part in first.outputs.items() if name.startswith(PRESENT)}
    roomy = {name: roomier(tensor, axes[name]) for name, tensor in past.items()}
    decode = Decode(prefill, {name.removeprefix(PAST): tensor for name, tensor in roomy.items()})
    token = first.outputs[view.logits].argmax(dim=-1, keepdim=True)
    return run(decode, {view.tokens: token, **roomy})


def roomier(tensor: Tensor, axes: Axes, slots: int = 3) -> Tensor:
    """More slots along the axis of the cache."""
    for axis, name in axes.items():
        if name == CACHE:
            shape = [*tensor.shape]
            shape[axis] = slots
            tensor = torch.cat([tensor, tensor.new_zeros(shape)], dim=axis)
    return tensor


def open_axes(plan: Plan, values: tuple[Value, ...]) -> dict[str, Axes]:
    """The open sizes of inputs: a name, or a multiple of one."""
    return {
        value.name: {axis: name for axis, name in enumerate(plan.shown(value.shape)) if isinstance(name, str)}
        for value in values
    }


def cache_axes(prefill: Traced) -> dict[str, Axes]:
    """The open sizes of what a step takes, from the shapes of what a prompt gives.

    The length of the sequence is that of the cache from now on; a size that is neither this one nor the batch, such as
    the keys of so many images, gets a name of its own.
    """
    made, names = prefill.made, prefill.symbols
    length = made[f"{PRESENT}tokens"][1].node.expr
    batch = made[f"{PRESENT}tokens"][0].node.expr
    own: dict[Any, str] = {batch: names[str(batch)], length: CACHE}
    found: dict[str, Axes] = {prefill.run.program.plan.view.tokens: {0: own[batch]}}
    for name, shape in made.items():
        if name.startswith(PRESENT):
            axes = {}
            for axis, size in enumerate(shape):
                if not isinstance(size, int):
                    axes[axis] = own.setdefault(size.node.expr, f"{KEPT}{len(own) - 1}")
            found[PAST + name.removeprefix(PRESENT)] = axes
    return found


def traced(made: Run, axes: Mapping[str, Axes]) -> Traced:
    """The program as a graph of torch's operations."""
    try:
        exported = _exported(made, axes, strict=True)
    except torch._dynamo.exc.UserError:
        # A condition that always holds, and that torch cannot simplify: all conditions are taken as they come.
        exported = _exported(made, axes, strict=False)
    nodes = {node.name: node for node in exported.graph.nodes}
    inputs = [nodes[name].meta["val"].shape for name in exported.graph_signature.user_inputs]
    outputs = [nodes[name].meta["val"].shape for name in exported.graph_signature.user_outputs]
    shown = dict(zip(made.inputs, inputs, strict=True))
    named = [
        (name.rpartition("*")[2], str(symbol))
        for given, opened in axes.items()
        for axis, name in opened.items()
        if " + " not in name and not isinstance(shown[given][axis], int)
        for symbol in shown[given][axis].node.expr.free_symbols
    ]
    # A size that follows from others may turn out to be one of them.
    symbols = {symbol: name for name, symbol in sorted(named, key=lambda pair: not pair[0].startswith(KEPT))}
    given = {name: tuple(shape) for name, shape in (shown | dict(zip(made.outputs, outputs, strict=True))).items()}
    return Traced(made.program.name, made, exported, symbols, given)


def _exported(made: Run, axes: Mapping[str, Axes], *, strict: bool) -> ExportedProgram:
    """The graph of a program. Strictly, torch proves that an open size may be any number."""
    dims: dict[str, Any] = {}
    plan = made.program.plan
    least = {plan.names[key]: top for key, top in candidates(plan.graph).items()}
    shapes = tuple(
        {axis: _dim(name, dims, least) if strict or "*" in name else Dim.AUTO for axis, name in axes[given].items()}
        or None
        for given in made.inputs
    )
    with torch.no_grad(), quiet(), all_experts(made.program.model):
        return torch.export.export(made.program, tuple(made.inputs.values()), dynamic_shapes=(shapes,), strict=False)


def numbers(program: Program) -> dict[str, Tensor]:
    """The weights and tables of a program, by the names that an exported one has for them."""
    return dict(program.named_parameters(remove_duplicate=False)) | dict(program.named_buffers(remove_duplicate=False))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what torch tells its own authors."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# What has to stay open, come what may; of other sizes torch finds out itself what they can be, and which are alike.
OPEN = ("batch", "seq", "images", CACHE)


def _dim(name: str, dims: dict[str, Any], least: Mapping[str, int]) -> Any:
    """An open size for torch: a dimension, or a multiple of one."""
    many, _, word = name.rpartition("*")
    if not many and not word.startswith(OPEN):
        return Dim.AUTO
    size = dims.setdefault(word, Dim(word, min=2 if word == "seq" else least.get(word, 1)))
    return int(many) * size if many else size
