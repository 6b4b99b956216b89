"""From the settings of an attention to an `Attention`; how heads divide is checked here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from ..diagnostics import Label
from ..problems import Problems, in_catalog
from ..settings import Settings
from ..spec import Inferred
from .parse_norm import make_norm, norm_settings
from .settings import Attention, Bias, Latent, Temperature
from .settings_grid import GridMask
from .settings_norm import Norm


def parse_attention(settings: Settings, inferred: Inferred, norm: Norm, problems: Problems) -> Attention | None:
    """The attention of a layer; checks how heads divide. Its rotary positions are set by the caller."""
    if not settings.has("heads"):
        message = f"`attention` of `{inferred.node}` needs `heads`: not all of its layers are linear"
        problems.error("missing-key", message, settings.span(), help="add `heads`")
        return None
    if settings.has("latent"):
        return _latent_attention(settings, inferred, norm, problems)
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
            norm_heads=_norm_heads(settings),
            norm_turned=bool(settings.get("qk_norm", "after_rope", default=False)),
            gated=_gated(settings),
            maps=int(settings.get("out_maps", default=1)),
            **_scores(settings),
        )
    return None


def _latent_attention(settings: Settings, inferred: Inferred, norm: Norm, problems: Problems) -> Attention | None:
    """An attention whose keys and values come from a narrow vector: it has no heads of keys of its own to set."""
    conflicts = [
        key for key in ("kv_heads", "head_dim", "qk_norm", "out_maps") if settings.get(key, default="none") != "none"
    ]
    for key in conflicts:
        problems.clash(
            "latent-conflict",
            f"`latent` of `{inferred.node}` makes the keys of its own: `{key}` has nothing to set",
            Label(settings.span(key), "not read"),
            Label(settings.span("latent"), "latent attention"),
            help=f"remove `{key}`",
        )
    if settings.has("latent", "norm", "place"):
        problems.error(
            "bad-norm-place",
            f"the norms of the narrow vectors of `{inferred.node}` stand in one place only",
            settings.span("latent", "norm", "place"),
            help="remove `place`",
        )
    if conflicts or settings.has("latent", "norm", "place"):
        return None
    latent, heads = settings.child("latent"), int(settings.get("heads"))
    rank = latent.get("q_rank")
    found = Latent(
        q_rank=None if rank is None else int(rank),
        kv_rank=int(latent.get("kv_rank")),
        nope_dim=int(latent.get("nope_dim")),
        rope_dim=int(latent.get("rope_dim")),
        value_dim=int(latent.get("value_dim")),
        norm=make_norm(norm_settings({"type": norm.type, "eps": norm.eps}, latent.get("norm"))),
    )
    return Attention(
        heads=heads,
        kv_heads=heads,
        head_dim=found.nope_dim + found.rope_dim,
        bias=_bias(settings.get("bias", default=False)),
        qk_norm=None,
        latent=found,
        gated=_gated(settings),
        **_scores(settings),
    )


def _scores(settings: Settings) -> dict[str, Any]:
    """How scores are made, and which of them count."""
    scale, softcap = settings.get("scale"), settings.get("softcap")
    return {
        "window": settings.get("window"),
        "chunk": settings.get("mask", "chunk"),
        "temperature": _temperature(settings.get("temperature")),
        "scale": None if scale is None else float(scale),
        "softcap": None if softcap is None else float(softcap),
        "sinks": bool(settings.get("sinks", default=False)),
        "grid": None if settings.has("kv") else _grid_mask(settings.get("mask")),
    }


def _temperature(value: dict[str, Any] | None) -> Temperature | None:
    if value is None:
        return None
    return Temperature(int(value["floor"]), float(value["scale"]), int(value.get("first", 1)))


def _gated(settings: Settings) -> bool:
    return bool(settings.get("gate", default="none") == "sigmoid")


def _grid_mask(value: str | dict[str, Any] | None) -> GridMask | None:
    if value is None or (isinstance(value, dict) and "grid_window" not in value):
        return None
    if isinstance(value, dict):
        return GridMask("window", int(value["grid_window"]), padded=value.get("edge") == "padded")
    kinds: dict[str, Literal["image", "place"]] = {"image": "image", "place": "place"}
    return GridMask(kinds.get(value, "frame"))


def _report_sharing(settings: Settings, node: str, heads: int, kv_heads: int, problems: Problems) -> None:
    problems.clash(
        "heads-not-divisible",
        f"the {heads} query heads of `{node}` cannot share {kv_heads} key/value heads evenly",
        Label(settings.span("kv_heads"), f"does not divide {heads}"),
        Label(settings.span("heads"), f"{heads} query heads"),
        help=f"set `kv_heads` to {either(divisors(heads))}",
    )


def _report_heads(settings: Settings, inferred: Inferred, heads: int, problems: Problems) -> None:
    dim = inferred.sizes["dim"]
    below = dim // heads * heads
    widths = [width for width in (below, below + heads) if width]
    origin = inferred.origins.get("dim")
    edit = f"set `heads` to {either(_nearest_divisors(dim, heads))}"
    if origin is not None and not in_catalog(origin.span):
        edit += f", `{origin.setting or 'dim'}` of `{origin.owner}` to {either(widths)}"
    problems.clash(
        "heads-not-divisible",
        f"the {heads} heads of `{inferred.node}` do not divide its width of {dim}",
        Label(settings.span("heads"), f"{dim} / {heads} = {dim / heads:.2f}"),
        *inferred.label("dim", f"{dim} wide"),
        help=f"{edit}, or write `head_dim`",
    )


def divisors(number: int) -> list[int]:
    """Every divisor of a positive number, ascending."""
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    return list(dict.fromkeys([*small, *(number // divisor for divisor in reversed(small))]))


def _nearest_divisors(number: int, wanted: int) -> list[int]:
    """The three that come nearest to `wanted`, by ratio."""
    nearest = sorted(divisors(number), key=lambda divisor: (max(divisor, wanted) / min(divisor, wanted), divisor))
    return sorted(nearest[:3])


def either(numbers: Sequence[int]) -> str:
    """`1, 2 or 4`."""
    words = [str(number) for number in numbers]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _bias(value: bool | dict[str, bool]) -> Bias:
    if isinstance(value, bool):
        return Bias(value, value, value, value)
    return Bias(*(bool(value.get(name, False)) for name in "qkvo"))


def _qk_norm(settings: Settings, norm: Norm) -> Norm | None:
    """The norm of queries and keys; what it does not say is as in the norm of the layer."""
    value = settings.get("qk_norm", default="none")
    if value == "none" or (isinstance(value, dict) and value.get("type") == "none"):
        return None
    inherited = {"eps": norm.eps, "unit_offset": norm.unit_offset, "type": "rms"}
    return make_norm(norm_settings(inherited, value))


def _norm_heads(settings: Settings) -> bool:
    value = settings.get("qk_norm")
    return not (isinstance(value, dict) and value.get("over") == "all")
