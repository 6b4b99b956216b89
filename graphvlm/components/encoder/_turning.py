"""Rotary positions of patches: half of the pairs of a head turn by the row, half by the column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...blocks.settings import Stack
from ...blocks.settings_position import RopeStyle
from ...blocks.views_rope import RotationView
from ...diagnostics import Label
from ...problems import Problems
from ...settings import Settings


@dataclass(frozen=True, slots=True)
class Rope2d:
    """Decided positions: which pairs turn by what, how fast, and the number of the first row and column."""

    theta: float
    frequencies: Literal["same", "between"]
    order: Literal["rows", "columns", "turns"] = "rows"
    style: RopeStyle = "half"
    first: int = 0

    @property
    def rotation(self) -> RotationView:
        """The class that turns queries and keys."""
        return RotationView("Rotation", self.style, whole=True)

    def places(self, row: str, column: str) -> tuple[str, str]:
        """Expressions for the numbers by which pairs turn, those of the first half first."""
        row, column = (f"({name} + {self.first})" if self.first else name for name in (row, column))
        return (row, column) if self.order == "rows" else (column, row)


def rope2d(rope: Mapping[str, Any]) -> Rope2d:
    """From what is written under `position`."""
    return Rope2d(
        float(rope.get("theta", 10000.0)),
        rope.get("frequencies", "same"),
        rope.get("order", "rows"),
        rope.get("style", "half"),
        int(rope.get("first", 0)),
    )


def read_positions(settings: Settings) -> tuple[str, Rope2d | None]:
    """What `position` of an encoder of images of one size says: which table is added, if any, and what turns."""
    value = settings.get("position", default="learned")
    found = value if isinstance(value, list) else [value]
    added = next((each for each in found if isinstance(each, str) and each != "none"), "")
    turned = next((each for each in found if isinstance(each, dict)), None)
    return added, rope2d(turned) if turned else None


def check_rope2d(name: str, settings: Settings, blocks: Stack, problems: Problems) -> bool:
    """Whether heads divide into pairs for rows and pairs for columns, and see all patches."""
    kinds = [each["type"] if isinstance(each, dict) else "learned" for each in _listed(settings.get("position"))]
    if len(set(kinds)) < len(kinds):
        message = f"`position` of `{name}` has two of one kind, and patches one place"
        problems.error("unread-setting", message, settings.span("position"), help="write a table and `rope2d`, or one")
        return False
    if "rope2d" not in kinds:
        return True
    widths = {attention.rotary_dim for attention in blocks.attentions}
    odd = next((width for width in sorted(widths) if width % _TWO_PAIRS), None)
    if odd is not None:
        key = "head_dim" if settings.has("attention", "head_dim") else "heads"
        problems.clash(
            "odd-head-dim",
            f"a head of `{name}` is {odd} wide, and half of its pairs of numbers turn by the row, half by the column",
            Label(settings.span("attention", key), f"heads are {odd} wide"),
            *settings.labels("position", text="rotary positions"),
            help=f"write `head_dim: {odd + _TWO_PAIRS - odd % _TWO_PAIRS}` or another multiple of {_TWO_PAIRS}",
        )
    elif len(widths) > 1:
        problems.error(
            "position-of-layer",
            f"heads of `{name}` are {' and '.join(map(str, sorted(widths)))} wide, but positions are one for all",
            settings.span("layers", "where"),
            help="write one `head_dim` for all layers",
        )
    elif any(attention.windows for attention in blocks.attentions):
        problems.clash(
            "bad-mask",
            f"windows of `{name}` take patches out of their rows, by which `rope2d` turns them",
            Label(settings.span("attention", "mask"), "windows"),
            *settings.labels("position", text="turns by rows and columns"),
            help="remove `mask`, or encode the images with `type: native_vit`",
        )
    else:
        return True
    return False


def _listed(position: Any) -> list[Any]:
    return position if isinstance(position, list) else [position]


_TWO_PAIRS = 4
