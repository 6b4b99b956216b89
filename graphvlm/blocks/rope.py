"""From the settings of a node to its rotary positions; numbers that cannot be what was meant are refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..diagnostics import Label
from ..problems import Problems
from ..settings import Settings
from ..spec import Inferred
from .settings import Attention
from .settings_position import Rope

_TURN = 2 * math.pi
_THETA = "write the base that the model was trained with, such as 10000.0"


def parse_rope(
    settings: Settings, inferred: Inferred, attention: Attention, max_tokens: int, problems: Problems
) -> Rope | None:
    """The rotary positions of a layer, or None where it has none or they are wrong."""
    position = settings.get("position", default="none")
    if not isinstance(position, dict) or position.get("type", "rope") not in _ROTARY:
        return None
    dim = int(position.get("dim") or attention.rotary_dim)
    sections = tuple(position.get("sections") or ())
    if not _check_dim(settings, inferred, attention, dim, problems):
        return None
    if position.get("type") == "mrope" and not _check_sections(settings, inferred, sections, dim, problems):
        return None
    layout = position.get("layout", "contiguous")
    if layout == "turns" and not _check_turns(settings, inferred, sections, problems):
        return None
    theta, scaling = float(position.get("theta", 10000.0)), dict(position.get("scaling") or {})
    kind = str(scaling.pop("type", "default"))
    fault = _fault(kind, scaling, dim, theta)
    if fault is not None:
        message = f"`position.{'.'.join(fault.path)}` of `{inferred.node}` {fault.why}"
        problems.error("degenerate-rope", message, settings.span("position", *fault.path), help=fault.edit)
        return None
    if kind == "yarn":
        scaling = yarn_numbers(scaling, dim, theta)
    elif kind == "longrope":
        scaling = _longrope_numbers(scaling)
    return Rope(
        dim=dim,
        max_tokens=max_tokens,
        theta=theta,
        type=kind,
        scaling=tuple((name, _decimal(value)) for name, value in scaling.items()),
        style=position.get("style", "half"),
        whole=dim == attention.rotary_dim,
        sections=sections,
        layout=layout,
    )


def _decimal(value: Any) -> float | tuple[float, ...]:
    return tuple(map(float, value)) if isinstance(value, list) else float(value)


_ROTARY = ("rope", "mrope")


def _check_sections(
    settings: Settings, inferred: Inferred, sections: tuple[int, ...], dim: int, problems: Problems
) -> bool:
    """Every pair turns by one of the three numbers of a position."""
    if sum(sections) == dim // 2:
        return True
    problems.error(
        "bad-sections",
        f"`sections` of `{inferred.node}` are for {sum(sections)} pairs, and {dim} numbers of a head make {dim // 2}",
        settings.span("position", "sections"),
        help=f"write three numbers that make {dim // 2} together",
    )
    return False


def _check_turns(settings: Settings, inferred: Inferred, sections: tuple[int, ...], problems: Problems) -> bool:
    """Rows and columns that take turns have as many pairs each."""
    _, rows, columns = sections
    if rows == columns:
        return True
    problems.clash(
        "bad-sections",
        f"rows of `{inferred.node}` turn {rows} pairs and columns {columns}, and they cannot take turns",
        Label(settings.span("position", "sections"), "of different length"),
        Label(settings.span("position", "layout"), "one of each in turn"),
        help=f"write `sections: [{sections[0] + abs(rows - columns)}, {min(rows, columns)}, {min(rows, columns)}]`, "
        "or another `layout`",
    )
    return False


def _check_dim(settings: Settings, inferred: Inferred, attention: Attention, dim: int, problems: Problems) -> bool:
    """What is turned is even, and no wider than a head."""
    width, rope = attention.rotary_dim, settings.labels("position", text="rotary positions")
    key = (
        ("latent", "rope_dim")
        if attention.latent
        else ("head_dim" if settings.has("attention", "head_dim") else "heads",)
    )
    head = Label(settings.span("attention", *key), f"heads are {width} wide")
    if dim > width:
        problems.clash(
            "odd-head-dim",
            f"rotary positions of `{inferred.node}` turn {dim} numbers, and a head is {width} wide",
            Label(settings.span("position", "dim"), f"more than {width}"),
            head,
            help=f"write an even number of at most {width}, or leave `dim` out",
        )
    elif dim % 2 and settings.has("position", "dim"):
        message = f"rotary positions of `{inferred.node}` turn {dim} numbers, and they turn pairs"
        edit = f"write `dim: {dim - 1}` or another even number"
        problems.error("odd-head-dim", message, settings.span("position", "dim"), help=edit)
    elif dim % 2:
        problems.clash(
            "odd-head-dim",
            f"a head of `{inferred.node}` is {dim} wide, and rotary positions turn pairs of numbers",
            head,
            *(inferred.label("dim", f"{inferred.sizes['dim']} wide") if key == ("heads",) else ()),
            *rope,
            help=f"write `{'rope_dim' if attention.latent else 'head_dim'}: {dim + 1}` or another even number, "
            "or `position: none`",
        )
    return dim <= width and dim % 2 == 0


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
    if kind == "llama3" and scaling["high_freq_factor"] < scaling["low_freq_factor"]:
        why = f"is {scaling['high_freq_factor']:g}, and must be at least `low_freq_factor`"
        return _Fault(("scaling", "high_freq_factor"), why, "write `low_freq_factor: 1.0, high_freq_factor: 4.0`")
    if kind == "longrope":
        return _longrope_fault(scaling, head_dim)
    return _yarn_fault(scaling, head_dim, theta) if kind == "yarn" else None


def _longrope_fault(scaling: Mapping[str, Any], head_dim: int) -> _Fault | None:
    pairs = head_dim // 2
    for key in ("short_factors", "long_factors"):
        if len(scaling[key]) != pairs:
            why = f"has {len(scaling[key])} factors, and {pairs} pairs turn"
            return _Fault(("scaling", key), why, f"write {pairs} numbers, one for each pair")
    if scaling["original_max_tokens"] < _PAIR:
        why = "is 1, and must be more: the factor on cos and sin is divided by its logarithm"
        return _Fault(("scaling", "original_max_tokens"), why, "write the length before stretching, such as 4096")
    return None


_PAIR = 2


def _longrope_numbers(scaling: Mapping[str, Any]) -> dict[str, Any]:
    """What LongRoPE comes down to: the factors below and above the original length, and that on cos and sin."""
    factor, original = float(scaling["factor"]), scaling["original_max_tokens"]
    usual = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    numbers = {key: scaling[key] for key in ("original_max_tokens", "short_factors", "long_factors")}
    return {**numbers, "attention_factor": scaling.get("attention_factor", usual)}


def _yarn_fault(scaling: Mapping[str, Any], head_dim: int, theta: float) -> _Fault | None:
    fast, slow, original = scaling.get("beta_fast", 32), scaling.get("beta_slow", 1), scaling["original_max_tokens"]
    if fast < slow:
        key, other = (
            ("beta_fast", f"at least {slow:g}") if "beta_fast" in scaling else ("beta_slow", f"at most {fast:g}")
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
