"""From settings to norms and residuals: a word stands for a mapping, and defaults are filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..problems import Problems
from ..settings import Settings
from .segments import segment_names
from .settings import NormPlace, Residual
from .settings_norm import Norm, NormType

_EPS = {"rms": 1e-6, "layer": 1e-5}


def norm_settings(*values: Any) -> dict[str, Any]:
    """Settings of a norm, later ones over earlier ones; a word is its type."""
    found: dict[str, Any] = {}
    for value in values:
        found |= {"type": value} if isinstance(value, str) else value or {}
    return found


def parse_norm(settings: Settings, *path: str) -> Norm:
    """The norm at `path`: a mapping, or a bare type."""
    return make_norm(norm_settings(settings.get(*path, default="rms")), segment_names(settings))


def make_norm(value: Mapping[str, Any], segments: tuple[str, ...] = ()) -> Norm:
    """A norm from its settings, over tokens of these segments."""
    kind: NormType = value.get("type", "rms")
    weight = bool(value.get("weight", True))
    return Norm(
        type=kind,
        eps=float(value.get("eps", _EPS[kind])),
        bias=kind == "layer" and weight and bool(value.get("bias", True)),
        unit_offset=kind == "rms" and weight and bool(value.get("unit_offset", False)),
        weight=weight,
        by=segments if weight and value.get("weights_by") else (),
    )


def norm_place(value: Mapping[str, Any]) -> NormPlace:
    """Where a norm stands."""
    place: NormPlace = value.get("place", "pre")
    return place


def check_residual(settings: Settings, own: tuple[str, ...], node: str, problems: Problems) -> None:
    """Note the start of a gate that is not there; one that is switched off by name may keep it."""
    found = [path for path in (("residual",), (*own, "residual")) if isinstance(settings.get(*path), dict)]
    inits = [path for path in found if settings.has(*path, "init")]
    gates = [path for path in (("residual",), (*own, "residual")) if isinstance(settings.get(*path), str)]
    if inits and not gates and not any(settings.has(*path, "gate") for path in found):
        place = ".".join((*inits[-1], "init"))
        message = f"`{place}` of `{node}` says where a gate starts, and there is no gate"
        edit = "write `gate: tanh`, `alpha` or `layer_scale` beside it, or remove `init`"
        problems.error("unread-setting", message, settings.span(*inits[-1], "init"), help=edit)


def make_residual(*values: Any) -> Residual:
    """What the result of an operation is multiplied with; later settings over earlier ones, a word is a gate."""
    found: dict[str, Any] = {}
    for value in values:
        found |= {"gate": value} if isinstance(value, str) else value or {}
    gate = found.get("gate", "none")
    return Residual(
        scale=float(found.get("scale", 1.0)),
        gate=None if gate == "none" else gate,
        init=float(found.get("init", 0.0)),
        skip=float(found.get("skip", True)),
        join=bool(found.get("join", False)),
    )
