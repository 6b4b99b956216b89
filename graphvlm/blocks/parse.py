"""From the settings of a node to a `Stack`: defaults filled in, layers grouped into kinds, the arithmetic checked."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..component import Inferred
from ..diagnostics import Label
from ..merging import merge
from ..problems import Problems, in_catalog
from ..settings import Settings
from ..tree import Tree
from .settings import Attention, Bias, LayerKind, Mlp, Norm, NormType, Stack, Sublayer

_EPS = {"rms": 1e-6, "layer": 1e-5}


def layer_count(settings: Settings) -> int:
    """How many layers a node asks for."""
    layers = settings.get("layers")
    return int(layers["count"] if isinstance(layers, dict) else layers)


def parse_stack(settings: Settings, inferred: Inferred, *, mlp_bias: bool, problems: Problems) -> Stack | None:
    """The stack of a node, or None if something in it is wrong (and noted)."""
    count, dim = layer_count(settings), inferred.sizes["dim"]
    entries = [Settings(tree) for tree in _where(settings)]
    kinds: list[tuple[tuple[Sublayer, ...], str]] = []
    order = []
    parsed: dict[tuple[int, ...], tuple[Sublayer, ...] | None] = {}
    chosen = _entries_by_layer(entries, count, settings, inferred, problems)
    for layer in range(count):
        key = chosen[layer]
        if key not in parsed:
            tree = settings.tree
            for index in key:
                tree = merge(tree, entries[index].tree)
            parsed[key] = _sublayers(Settings(tree), inferred, mlp_bias, problems)
        sublayers = parsed[key]
        if sublayers is None:
            continue
        known = [kind for kind, _ in kinds]
        if sublayers not in known:
            name = "_".join(str(entries[i].get("name", default=f"variant_{i + 1}")) for i in key)
            kinds.append((sublayers, _unused(name, [other for _, other in kinds])))
            known.append(sublayers)
        order.append(known.index(sublayers))
    if len(order) < count:
        return None
    # The kind that no entry of `where` made is the usual one: it comes first and needs no name.
    usual = next((index for index, (_, name) in enumerate(kinds) if not name), 0)
    places = [usual, *(index for index in range(len(kinds)) if index != usual)]
    found = tuple(LayerKind(kinds[place][1], kinds[place][0]) for place in places)
    return Stack(dim, found, tuple(places.index(index) for index in order))


def _unused(name: str, taken: list[str]) -> str:
    """`name`, with a number where another kind of layer is called so already."""
    number = 2
    found = name
    while name and found in taken:
        found, number = f"{name}_{number}", number + 1
    return found


def parse_norm(settings: Settings, *path: str) -> Norm:
    """The norm at `path`: a mapping, or a bare type."""
    value = settings.get(*path, default="rms")
    if isinstance(value, str):
        value = {"type": value}
    kind: NormType = value.get("type", "rms")
    return Norm(kind, float(value.get("eps", _EPS[kind])), kind == "layer" and bool(value.get("bias", True)))


def _where(settings: Settings) -> tuple[Tree, ...]:
    found = settings.tree.get("layers", "where")
    return found.elements() if found else ()


def _entries_by_layer(
    entries: list[Settings], count: int, settings: Settings, inferred: Inferred, problems: Problems
) -> list[tuple[int, ...]]:
    """For each layer, the indices of the entries that say something about it."""
    chosen: list[list[int]] = [[] for _ in range(count)]
    for index, entry in enumerate(entries):
        wanted, key = _layers_of(entry, count)
        outside = [layer for layer in wanted if not 0 <= layer < count]
        if outside or not wanted:
            what = f"names layer {outside[0]}" if outside else f"names no layer: `{key}: {entry.get(key)}`"
            problems.clash(
                "no-such-layer",
                f"`layers.where` of `{inferred.node}` {what}; there are {count} layers, 0 to {count - 1}",
                Label(entry.span(key), "no such layer" if outside else "no layer"),
                *(settings.labels("layers", "count", text=f"{count} layers")),
                help=_EDITS[key].format(last=count - 1, count=count),
            )
            continue
        for layer in wanted:
            chosen[layer].append(index)
    return [tuple(indices) for indices in chosen]


_EDITS = {
    "at": "use numbers from 0 to {last}",
    "range": "write `[first, end]` with first < end, and end at most {count}",
    "from": "use a number from 0 to {last}",
}


def _layers_of(entry: Settings, count: int) -> tuple[range | list[int], str]:
    """The layers that an entry names, and the key that names them."""
    if entry.has("every"):
        return range(entry.get("from", default=0), count, entry.get("every")), "from"
    if entry.has("range"):
        return range(*entry.get("range")), "range"
    return entry.get("at", default=[]), "at"


def _sublayers(
    settings: Settings, inferred: Inferred, mlp_bias: bool, problems: Problems
) -> tuple[Sublayer, ...] | None:
    norm = parse_norm(settings, "norm")
    attention = parse_attention(settings.child("attention"), inferred, norm, problems)
    if attention is None:
        return None
    return (
        Sublayer("attn", attention, norm),
        Sublayer("mlp", parse_mlp(settings.child("mlp"), bias=mlp_bias), norm),
    )


def parse_attention(settings: Settings, inferred: Inferred, norm: Norm, problems: Problems) -> Attention | None:
    """The attention of a layer; checks how heads divide."""
    heads, dim = int(settings.get("heads")), inferred.sizes["dim"]
    kv_heads = int(settings.get("kv_heads", default=heads))
    head_dim = settings.get("head_dim")
    shared = heads % kv_heads == 0
    if not shared:
        _report_sharing(settings, inferred.node, heads, kv_heads, problems)
    if head_dim is None and dim % heads:
        _report_heads(settings, inferred, heads, problems)
    elif shared:
        return Attention(
            heads=heads,
            kv_heads=kv_heads,
            head_dim=int(head_dim or dim // heads),
            bias=_bias(settings.get("bias", default=False)),
            qk_norm=_qk_norm(settings, norm),
            window=settings.get("window"),
        )
    return None


def _report_sharing(settings: Settings, node: str, heads: int, kv_heads: int, problems: Problems) -> None:
    problems.clash(
        "heads-not-divisible",
        f"the {heads} query heads of `{node}` cannot share {kv_heads} key/value heads evenly",
        Label(settings.span("kv_heads"), f"does not divide {heads}"),
        Label(settings.span("heads"), f"{heads} query heads"),
        help=f"set `kv_heads` to {_either(divisors(heads))}",
    )


def _report_heads(settings: Settings, inferred: Inferred, heads: int, problems: Problems) -> None:
    dim = inferred.sizes["dim"]
    below = dim // heads * heads
    widths = [width for width in (below, below + heads) if width]
    origin = inferred.origins.get("dim")
    edit = f"set `heads` to {_either(_nearest_divisors(dim, heads))}"
    if origin is not None and not in_catalog(origin.span):
        edit += f", `{origin.setting or 'dim'}` of `{origin.owner}` to {_either(widths)}"
    problems.clash(
        "heads-not-divisible",
        f"the {heads} heads of `{inferred.node}` do not divide its width of {dim}",
        Label(settings.span("heads"), f"{dim} / {heads} = {dim / heads:.2f}"),
        *inferred.label("dim", f"{dim} wide"),
        help=f"{edit}, or write `head_dim`",
    )


def parse_mlp(settings: Settings, *, bias: bool) -> Mlp:
    """The feed-forward part of a layer."""
    return Mlp(
        hidden=int(settings.get("hidden")),
        activation=settings.get("activation", default="gelu"),
        gated=bool(settings.get("gated", default=False)),
        bias=bool(settings.get("bias", default=bias)),
    )


def divisors(number: int) -> list[int]:
    """Every divisor of a positive number, ascending."""
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    return list(dict.fromkeys([*small, *(number // divisor for divisor in reversed(small))]))


def _nearest_divisors(number: int, wanted: int) -> list[int]:
    """The three that come nearest to `wanted`, by ratio."""
    nearest = sorted(divisors(number), key=lambda divisor: (max(divisor, wanted) / min(divisor, wanted), divisor))
    return sorted(nearest[:3])


def _either(numbers: Sequence[int]) -> str:
    """`1, 2 or 4`."""
    words = [str(number) for number in numbers]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _bias(value: bool | dict[str, bool]) -> Bias:
    if isinstance(value, bool):
        return Bias(value, value, value, value)
    return Bias(*(bool(value.get(name, False)) for name in "qkvo"))


def _qk_norm(settings: Settings, norm: Norm) -> Norm | None:
    value = settings.get("qk_norm", default="none")
    if value == "none":
        return None
    if isinstance(value, dict) and value.get("type") == "none":
        return None
    parsed = parse_norm(settings, "qk_norm")
    return parsed if isinstance(value, dict) and "eps" in value else Norm(parsed.type, norm.eps, parsed.bias)
