"""Operations that exported programs have in another form, for what runs them: the same numbers from plainer operations.

ONNX has no operation for some of these, or one that TensorRT does not take, or one that copies a whole cache. Each
function below stands in for the one of torch that it is listed with; a test compares the two.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Table = Mapping[Callable[..., Any], Callable[..., Any]]


class Rewritten(TorchFunctionMode):
    """A context in which the functions of `table` are called in place of those of torch.

    `picks` maps a mask that is true once a row, by its identity, to the places where it is: picking values at these has
    a shape that is known, and picking by a mask has not.
    """

    def __init__(self, picks: Mapping[int, Tensor] = MappingProxyType({}), table: Table | None = None) -> None:
        super().__init__()
        self.picks, self.table = picks, REPLACED if table is None else table

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if function is Tensor.__getitem__ and id(args[1]) in self.picks:
            place = self.picks[id(args[1])]
            return args[0][torch.arange(place.size(0), device=place.device), place]
        return self.table.get(function, function)(*args, **(kwargs or {}))


def masked_scatter(x: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Rows of `source` [..., dim], in order, where a mask [..., 1] over rows of `x` is true; a gather and a choice."""
    if mask.size(-1) != 1:
        return Tensor.masked_scatter(x, mask, source)
    rows = source.reshape(-1, x.size(-1))
    number = mask.flatten().long().cumsum(0) - 1
    return torch.where(mask, rows[number.clamp(0, rows.size(0) - 1)].view_as(x), x)


def index_copy_(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """An element-wise scatter: what runs it can write in place, and copies nothing else of a cache."""
    shape = [1] * x.ndim
    shape[dim] = -1
    return x.copy_(x.scatter(dim, index.view(shape).expand_as(source), source))


def index_fill_(x: Tensor, dim: int, index: Tensor, value: float) -> Tensor:
    """A comparison with the places, and a choice; `index` is one place."""
    shape = [1] * x.ndim
    shape[dim] = -1
    hit = (torch.arange(x.size(dim), device=x.device) == index).view(shape)
    return x.copy_(masked_fill(x, hit, value))


def masked_fill(x: Tensor, mask: Tensor, value: float) -> Tensor:
    """Of flags, logic: there is no choice between them."""
    if x.dtype != torch.bool:
        return Tensor.masked_fill(x, mask, value)
    return x | mask if value else x & ~mask


def repeat_interleave(
    x: Tensor, repeats: int | Tensor, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Every part along an axis so many times, one behind the other.

    As often each: an axis more, and one less. Else each of `output_size` places counts the parts that end before it.
    """
    if isinstance(repeats, Tensor):
        assert output_size is not None, "how many come out has to be known"
        places = torch.arange(output_size, device=x.device)
        part = searchsorted(repeats.cumsum(0), places, right=True).clamp(0, repeats.size(0) - 1)
        return x.index_select(dim or 0, part)
    assert dim is not None
    dim %= x.ndim
    shape = [-1] * (x.ndim + 1)
    shape[dim + 1] = repeats
    return x.unsqueeze(dim + 1).expand(shape).flatten(dim, dim + 1)


def searchsorted(edges: Tensor, x: Tensor, *, right: bool = False) -> Tensor:
    """How many of the edges [n], which grow, lie before each number; with `right`, those equal to it too."""
    x = x.unsqueeze(-1)
    return ((edges <= x) if right else (edges < x)).long().sum(dim=-1)


def bucketize(x: Tensor, edges: Tensor, *, right: bool = False) -> Tensor:
    """The same with the arguments in the other order."""
    return searchsorted(edges, x, right=right)


def argsort(x: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Tensor:
    """The order of flags along an axis, each kind in the order it stands in: every one is counted to its place."""
    flags = x.bool() if descending else ~x.bool()
    first, rest = flags.long().cumsum(dim), (~flags).long().cumsum(dim)
    place = torch.where(flags, first, first.narrow(dim, -1, 1) + rest) - 1
    shape = [1] * x.ndim
    shape[dim] = -1
    order = torch.arange(x.size(dim), device=x.device).view(shape).expand_as(place)
    return torch.zeros_like(place).scatter(dim, place, order)


def index_add(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """Rows of `source` added to those of `x` that they belong to, several to one: a product with flags."""
    assert dim == 0, "rows are added"
    places = torch.arange(x.size(0), device=x.device)
    return x + (places[:, None] == index).to(x.dtype) @ source


def solve_triangular(a: Tensor, b: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """What a lower triangle with ones on its diagonal makes `b` of, by its inverse.

    The inverse of twice as large blocks on the diagonal follows exactly from that of their halves: it is made of what
    it is in the end, and not of powers, which grow and cancel where rows are alike.
    """
    assert unitriangular
    assert left
    assert not upper
    place = torch.arange(a.size(-1), device=a.device)
    inverse, block = torch.eye(a.size(-1), dtype=a.dtype, device=a.device), 1
    while block < a.size(-1):
        part = place // block
        beside = (part[:, None] % 2 == 1) & (part[:, None] - 1 == part)
        inverse = inverse - inverse @ (a * beside) @ inverse
        block *= 2
    return inverse @ b


def cross_entropy(
    x: Tensor, classes: Tensor, *, reduction: str = "mean", label_smoothing: float = 0.0, **others: Any
) -> Tensor:
    """The loss of each [rows, classes, ...]: ONNX has one without smoothing, and TensorRT none."""
    assert reduction == "none", "losses that are not of each are for training"
    assert others.pop("ignore_index", -100) == -100
    assert not any(others.values())
    likely = -x.log_softmax(dim=1)
    own = likely.gather(1, classes.unsqueeze(1)).squeeze(1)
    return (1 - label_smoothing) * own + label_smoothing * likely.mean(dim=1)


@contextlib.contextmanager
def all_experts(model: nn.Module) -> Iterator[None]:
    """Within, tokens go through all experts in every type: which of them a token chose is no shape of a graph."""
    chosen = [module for module in model.modules() if hasattr(module, "through_chosen")]
    for module in chosen:
        module.through_chosen = module.through_all
    try:
        yield
    finally:
        for module in chosen:
            del module.through_chosen


def attention(  # noqa: PLR0917 -- called like the function of torch
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention in matrix products, with the queries of a group beside each other: no key or value is repeated.

    A query that sees nothing sees all: it is padding, and what comes of it stays finite.
    """
    scale = q.size(-1) ** -0.5 if scale is None else scale
    if is_causal:
        order = torch.arange(q.size(-2), device=q.device)
        attn_mask = order[:, None] >= order
    grouped = q.ndim == 4 and q.size(1) != k.size(1)
    if grouped:
        q = q.view(q.size(0), k.size(1), -1, *q.shape[2:])  # [batch, kv_heads, group, seq, head_dim]
        k, v = k.unsqueeze(2), v.unsqueeze(2)
        if attn_mask is not None and attn_mask.ndim == 4:
            attn_mask = attn_mask.unsqueeze(2)
    scores = (q * scale) @ k.transpose(-1, -2)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = torch.where(attn_mask, scores, torch.finfo(scores.dtype).min)
    elif attn_mask is not None:
        scores = scores + attn_mask
    x = scores.softmax(dim=-1) @ v
    return x.flatten(1, 2) if grouped else x


REPLACED: Table = MappingProxyType(
    {
        Tensor.masked_scatter: masked_scatter,
        Tensor.index_copy_: index_copy_,
        Tensor.index_fill_: index_fill_,
        Tensor.index_add: index_add,
        Tensor.masked_fill: masked_fill,
        Tensor.repeat_interleave: repeat_interleave,
        torch.searchsorted: searchsorted,
        torch.bucketize: bucketize,
        Tensor.argsort: argsort,
        torch.linalg.solve_triangular: solve_triangular,
        torch.nn.functional.cross_entropy: cross_entropy,
        torch.nn.functional.scaled_dot_product_attention: attention,
    }
)
# What torch's own compiler has kernels for stays as it is.
_KERNELS = (
    torch.nn.functional.scaled_dot_product_attention,
    Tensor.index_copy_,
    Tensor.index_fill_,
    Tensor.index_add,
    torch.linalg.solve_triangular,
    torch.nn.functional.cross_entropy,
)
NATIVE: Table = MappingProxyType({function: other for function, other in REPLACED.items() if function not in _KERNELS})
