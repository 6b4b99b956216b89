"""Tokens of a causal stack that see each other whatever their order: spans of images, or the prefix of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...problems import Problems
from ...settings import Settings


@dataclass(frozen=True, slots=True)
class Marked:
    """What a mask over all tokens says, which comes in at `port`.

    `spans`: marked tokens that stand in an unbroken run see each other. `prefix`: so do those that are not marked.
    """

    kind: Literal["spans", "prefix"]
    port: str


_TAKEN = ("features", "mask", "positions")


def read_marked(settings: Settings) -> Marked | None:
    """What `attention.mask` says beside the order of the tokens: `{any: [causal, {spans: PORT}]}`."""
    value = settings.get("attention", "mask")
    terms = value.get("any", []) if isinstance(value, dict) else []
    for term in terms:
        if isinstance(term, dict):
            return Marked("spans", term["spans"]) if "spans" in term else Marked("prefix", term["prefix"])
    return None


def check_marked(name: str, settings: Settings, problems: Problems) -> None:
    """Note a mask that cannot be: it joins the order of tokens with marks, from a port of its own, in all layers."""
    value = settings.get("attention", "mask")
    if isinstance(value, dict) and "any" in value:
        terms, marked = value["any"], read_marked(settings)
        if "causal" not in terms or marked is None:
            problems.error(
                "bad-mask",
                f"`mask` of `{name}` joins two terms of a kind: one is `causal`, the other tokens that see each other",
                settings.span("attention", "mask"),
                help="write `{any: [causal, {spans: PORT}]}`",
            )
        elif marked.port in _TAKEN or marked.port.startswith("inject_"):
            problems.error(
                "bad-mask",
                f"`mask` of `{name}` names the port `{marked.port}`, into which something else flows",
                settings.span("attention", "mask"),
                help="give the port a name of its own, such as `spans`, under `inputs` too",
            )
    where = settings.tree.get("layers", "where")
    for entry in map(Settings, where.elements() if where else ()):
        if _says_who(entry, bool(read_marked(settings))):
            problems.error(
                "bad-mask",
                f"`mask` of a layer of `{name}`: which tokens see each other is the same in all layers",
                entry.span("attention", "mask"),
                help=f"write it as `attention` of `{name}`; a `window` and a `chunk` may differ by layer",
            )


def _says_who(entry: Settings, marked: bool) -> bool:
    """Whether what is said of some layers is more than how long their runs are; null would take marks away."""
    mask = entry.tree.get("attention", "mask")
    if mask is None:
        return False
    found = mask.plain()
    return marked if found is None else not isinstance(found, dict) or "any" in found
