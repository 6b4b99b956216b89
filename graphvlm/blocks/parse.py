"""From the settings of a node to a `Stack`: defaults filled in, layers grouped into kinds, the arithmetic checked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..merging import merge
from ..problems import Problems
from ..settings import Settings
from ..tree import Tree
from .settings import Attention, Bias, LayerKind, Mlp, Norm, NormType, Rope, Stack, Sublayer

_EPS = {"rms": 1e-6, "layer": 1e-5}


def layer_count(settings: Settings) -> int:
    """How many layers a node asks for."""
    layers = settings.get("layers")
    return int(layers["count"] if isinstance(layers, dict) else layers)


def parse_stack(settings: Settings, dim: int, *, mlp_bias: bool, problems: Problems) -> Stack | None:
    """The stack of a node `dim` wide, or None if something in it is wrong (and noted)."""
    count = layer_count(settings)
    entries = [Settings(tree) for tree in _where(settings)]
    kinds: list[tuple[tuple[Sublayer, ...], str]] = []
    order = []
    parsed: dict[tuple[int, ...], tuple[Sublayer, ...] | None] = {}
    chosen = _entries_by_layer(entries, count, problems)
    for layer in range(count):
        key = chosen[layer]
        if key not in parsed:
            tree = settings.tree
            for index in key:
                tree = merge(tree, entries[index].tree)
            parsed[key] = _sublayers(Settings(tree), dim, mlp_bias, problems)
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


def parse_rope(settings: Settings, head_dim: int, max_tokens: int, problems: Problems) -> Rope | None:
    """The rotary positions of a node, or None where it has none."""
    position = settings.get("position", default="none")
    if position == "none" or (isinstance(position, dict) and position.get("type") == "none"):
        return None
    if head_dim % 2:
        problems.error(
            "odd-head-dim",
            f"rotary positions turn pairs of numbers, and a head is {head_dim} wide",
            settings.span("position"),
            help="make `attention.head_dim` even, or set `position: none`",
        )
        return None
    position = position if isinstance(position, dict) else {}
    theta = float(position.get("theta", 10000.0))
    scaling = {name: value for name, value in (position.get("scaling") or {}).items() if value is not None}
    kind = str(scaling.pop("type", "default"))
    if kind == "yarn":
        scaling = yarn_numbers(scaling, head_dim, theta)
    numbers = tuple((name, float(value)) for name, value in scaling.items())
    return Rope(head_dim, max_tokens, theta, kind, numbers)


def yarn_numbers(scaling: dict[str, Any], head_dim: int, theta: float) -> dict[str, float]:
    """What YaRN comes down to: the stretch, the pairs between which it sets in, and the factor on cos and sin.

    Pairs that make at least `beta_fast` turns over the original context stay, those with at most `beta_slow` are
    stretched (arXiv 2309.00071, section 3.2).
    """
    factor = float(scaling["factor"])

    def pair_turning(turns: float) -> float:
        ratio = scaling["original_max_tokens"] / (turns * 2 * math.pi)
        return head_dim * math.log(ratio) / (2 * math.log(theta))

    low, high = pair_turning(scaling.get("beta_fast", 32)), pair_turning(scaling.get("beta_slow", 1))
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    attention = scaling.get("attention_factor")
    if attention is None:
        top, bottom = scaling.get("mscale"), scaling.get("mscale_all_dim")
        attention = _mscale(factor, top) / _mscale(factor, bottom) if top and bottom else _mscale(factor, 1.0)
    end = high + 0.001 if low == high else high
    return {"factor": factor, "ramp_start": low, "ramp_end": end, "attention_factor": attention}


def _mscale(factor: float, scale: float) -> float:
    return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0


def _where(settings: Settings) -> tuple[Tree, ...]:
    found = settings.tree.get("layers", "where")
    return found.elements() if found else ()


def _entries_by_layer(entries: list[Settings], count: int, problems: Problems) -> list[tuple[int, ...]]:
    chosen: list[list[int]] = [[] for _ in range(count)]
    for index, entry in enumerate(entries):
        for layer in _layers_of(entry, count, problems):
            chosen[layer].append(index)
    return [tuple(indices) for indices in chosen]


def _layers_of(entry: Settings, count: int, problems: Problems) -> Iterator[int]:
    if entry.has("every"):
        yield from range(entry.get("from", default=0), count, entry.get("every"))
        return
    if entry.has("range"):
        first, end = entry.get("range")
        wanted, path = list(range(first, min(end, count))) if 0 <= first < end <= count else [], "range"
        bad = not wanted
    else:
        wanted, path = entry.get("at", default=[]), "at"
        bad = any(not 0 <= layer < count for layer in wanted)
    if bad:
        problems.error(
            "no-such-layer",
            f"`layers.where` names layers that do not exist: there are {count}, numbered 0 to {count - 1}",
            entry.span(path),
        )
        return
    yield from wanted


def _sublayers(settings: Settings, dim: int, mlp_bias: bool, problems: Problems) -> tuple[Sublayer, ...] | None:
    norm = parse_norm(settings, "norm")
    attention = parse_attention(settings.child("attention"), dim, norm, problems)
    if attention is None:
        return None
    return (
        Sublayer("attn", attention, norm),
        Sublayer("mlp", parse_mlp(settings.child("mlp"), bias=mlp_bias), norm),
    )


def parse_attention(settings: Settings, dim: int, norm: Norm, problems: Problems) -> Attention | None:
    """The attention of a layer; checks how heads divide."""
    heads = int(settings.get("heads"))
    kv_heads = int(settings.get("kv_heads", default=heads))
    ok = True
    if heads % kv_heads:
        problems.error(
            "heads-not-divisible",
            f"{heads} query heads cannot share {kv_heads} key/value heads evenly",
            settings.span("kv_heads"),
            note=f"must divide {heads}",
            help=f"use one of {', '.join(map(str, divisors(heads)))}",
        )
        ok = False
    head_dim = settings.get("head_dim")
    if head_dim is None and dim % heads:
        problems.error(
            "heads-not-divisible",
            f"{heads} heads do not divide a width of {dim}",
            settings.span("heads"),
            note=f"{dim} / {heads} = {dim / heads:.2f}",
            help=f"use {_nearest_divisors(dim, heads)} heads, or write `head_dim`",
        )
        ok = False
    if not ok:
        return None
    return Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=int(head_dim or dim // heads),
        bias=_bias(settings.get("bias", default=False)),
        qk_norm=_qk_norm(settings, norm),
        window=settings.get("window"),
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
    """Every divisor of a small positive number, ascending."""
    return [d for d in range(1, number + 1) if number % d == 0] if number <= 4096 else [1, number]


def _nearest_divisors(number: int, wanted: int) -> str:
    close = sorted(divisors(number), key=lambda d: (abs(d - wanted), d))[:3]
    return " or ".join(map(str, sorted(close)))


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
