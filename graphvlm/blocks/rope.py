"""From the settings of a node to its rotary positions; numbers that cannot be what was meant are refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..component import Inferred
from ..diagnostics import Label
from ..problems import Problems
from ..settings import Settings
from .settings import Rope, Stack

_TURN = 2 * math.pi
_THETA = "write the base that the model was trained with, such as 10000.0"


def parse_rope(
    settings: Settings, inferred: Inferred, stack: Stack, max_tokens: int, problems: Problems
) -> Rope | None:
    """The rotary positions of a node, or None where it has none or they are wrong."""
    position = settings.get("position", default="none")
    if not isinstance(position, dict) or not _check_heads(settings, inferred, stack, problems):
        return None
    head_dim, theta = stack.attention().head_dim, float(position.get("theta", 10000.0))
    scaling = dict(position.get("scaling") or {})
    kind = str(scaling.pop("type", "default"))
    fault = _fault(kind, scaling, head_dim, theta)
    if fault is not None:
        message = f"`position.{'.'.join(fault.path)}` of `{inferred.node}` {fault.why}"
        problems.error("degenerate-rope", message, settings.span("position", *fault.path), help=fault.edit)
        return None
    if kind == "yarn":
        scaling = yarn_numbers(scaling, head_dim, theta)
    return Rope(head_dim, max_tokens, theta, kind, tuple((name, float(value)) for name, value in scaling.items()))


def _check_heads(settings: Settings, inferred: Inferred, stack: Stack, problems: Problems) -> bool:
    """All heads are of one width, and that is even."""
    widths = {stack.attention(kind).head_dim for kind in range(len(stack.kinds))}
    head_dim, rope = stack.attention().head_dim, settings.labels("position", text="rotary positions")
    if len(widths) > 1:
        problems.clash(
            "head-dim-differs",
            f"layers of `{inferred.node}` have heads {' and '.join(map(str, sorted(widths)))} wide, "
            "and share rotary positions",
            Label(settings.span("layers", "where"), "heads of another width"),
            *rope,
            help=f"write `head_dim: {head_dim}` for all layers, or `position: none`",
        )
    elif head_dim % 2:
        written = settings.has("attention", "head_dim")
        problems.clash(
            "odd-head-dim",
            f"a head of `{inferred.node}` is {head_dim} wide, and rotary positions turn pairs of numbers",
            Label(settings.span("attention", "head_dim" if written else "heads"), f"heads are {head_dim} wide"),
            *(() if written else inferred.label("dim", f"{inferred.sizes['dim']} wide")),
            *rope,
            help=f"write `head_dim: {head_dim + 1}` or another even number, or `position: none`",
        )
    return len(widths) == 1 and head_dim % 2 == 0


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong with the number at `path` of `position`, and an edit."""

    path: tuple[str, ...]
    why: str
    edit: str


def _fault(kind: str, scaling: Mapping[str, Any], head_dim: int, theta: float) -> _Fault | None:
    """The first number because of which pairs do not turn more and more slowly, or are not stretched as they should."""
    if theta <= 1:
        return _Fault(("theta",), f"is {theta:g}: no pair would turn more slowly than the one before it", _THETA)
    if kind == "dynamic" and head_dim <= 2:
        why = "is `dynamic`, which needs heads of more than one pair of numbers"
        return _Fault(("scaling", "type"), why, "use another scaling, or wider heads")
    if kind == "llama3" and scaling["high_freq_factor"] <= scaling["low_freq_factor"]:
        why = f"is {scaling['high_freq_factor']:g}, and must be more than `low_freq_factor`"
        return _Fault(("scaling", "high_freq_factor"), why, "write `low_freq_factor: 1.0, high_freq_factor: 4.0`")
    return _yarn_fault(scaling, head_dim, theta) if kind == "yarn" else None


def _yarn_fault(scaling: Mapping[str, Any], head_dim: int, theta: float) -> _Fault | None:
    fast, slow, original = scaling.get("beta_fast", 32), scaling.get("beta_slow", 1), scaling["original_max_tokens"]
    if fast <= slow:
        key, other = (
            ("beta_fast", f"more than {slow:g}") if "beta_fast" in scaling else ("beta_slow", f"less than {fast:g}")
        )
        edit = "leave `beta_fast` and `beta_slow` out: they are 32 and 1"
        return _Fault(("scaling", key), f"is {scaling[key]:g}, and must be {other}", edit)
    if not slow * _TURN < original < slow * _TURN * 1e12:
        why = f"is {original}, and must be more than {slow * _TURN:.1f} (2 pi `beta_slow`)"
        return _Fault(("scaling", "original_max_tokens"), why, "write the length before stretching, such as 4096")
    low, high = _yarn_range(scaling, head_dim, theta)
    if low > high:
        return _Fault(("theta",), f"is {theta:g}, with which this scaling stretches no frequency", _THETA)
    scales = [name for name in ("mscale", "mscale_all_dim") if name in scaling]
    if scales and (len(scales) == 1 or "attention_factor" in scaling):
        other = (
            "attention_factor"
            if "attention_factor" in scaling
            else f"{'mscale_all_dim' if scales == ['mscale'] else 'mscale'}"
        )
        why = f"is not read {'beside' if 'attention_factor' in scaling else 'without'} `{other}`"
        return _Fault(("scaling", scales[0]), why, f"remove `{scales[0]}`")
    return None


def yarn_numbers(scaling: Mapping[str, Any], head_dim: int, theta: float) -> dict[str, float]:
    """What YaRN comes down to: the stretch, the pairs between which it sets in, and the factor on cos and sin."""
    factor, attention = float(scaling["factor"]), scaling.get("attention_factor")
    low, high = _yarn_range(scaling, head_dim, theta)
    if attention is None:
        top, bottom = scaling.get("mscale"), scaling.get("mscale_all_dim")
        attention = _mscale(factor, top) / _mscale(factor, bottom) if top and bottom else _mscale(factor, 1.0)
    end = high + 0.001 if low == high else high
    return {"factor": factor, "ramp_start": low, "ramp_end": end, "attention_factor": attention}


def _yarn_range(scaling: Mapping[str, Any], head_dim: int, theta: float) -> tuple[float, float]:
    """Pairs that make at least `beta_fast` turns over the original context stay, those with at most `beta_slow` are
    stretched (arXiv 2309.00071, section 3.2)."""

    def pair_turning(turns: float) -> float:
        ratio = scaling["original_max_tokens"] / (turns * _TURN)
        return head_dim * math.log(ratio) / (2 * math.log(theta))

    low, high = pair_turning(scaling.get("beta_fast", 32)), pair_turning(scaling.get("beta_slow", 1))
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    return max(low, 0), min(high, head_dim - 1)


def _mscale(factor: float, scale: float) -> float:
    return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0
