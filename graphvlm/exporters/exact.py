"""A program in double precision: what both the package and an exported model are rounded from.

Where vectors of length one are made of tiny ones, a rounding grows a thousandfold, in the package as in every other
program of the same model. How far two such programs may be from each other only the exact numbers can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .tracing import Run, run


class Doubled(TorchFunctionMode):
    """A context in which what asks for single precision gets double."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if function is Tensor.float:
            return args[0].double()
        wide = [torch.float64 if each is torch.float32 else each for each in args]
        named = {name: torch.float64 if each is torch.float32 else each for name, each in (kwargs or {}).items()}
        return function(*wide, **named)


def exact(done: Run) -> dict[str, Tensor]:
    """What a program gives of the same inputs in double precision. The model is in single precision, and stays so."""
    model = done.program.model
    assert all(each.dtype == torch.float32 for each in model.parameters())
    inputs = {name: each.double() if each.is_floating_point() else each for name, each in done.inputs.items()}
    default = torch.get_default_dtype()
    try:
        model.double()
        torch.set_default_dtype(torch.float64)
        with Doubled():
            return dict(run(done.program, inputs).outputs)
    finally:
        torch.set_default_dtype(default)
        model.float()
