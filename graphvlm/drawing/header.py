"""What stands above a drawing: its name, its size in parameters, what the colours mean; and the same in words."""

from __future__ import annotations

from .face import ICON
from .pen import number, snowflake, text_element, words
from .picture import Picture, human_count
from .text import clean, fit, shorten, width, wrap

_NAME_SIZES = (20.0, 17.0, 15.0)
_NOTE_SIZE = 12.0
_LEGEND_SIZE = 11.0
_DESCRIBED = 80  # boxes up to which the description lists every box


def header(picture: Picture, room: float) -> tuple[list[str], float]:
    """The header in a width of `room`, and its height."""
    name, size = fit(clean(picture.title), room, _NAME_SIZES, bold=True)
    parts = [text_element(0.0, 18.0, size, "name", name)]
    y = 18.0
    subtitle = wrap(clean(picture.subtitle), room, _NOTE_SIZE) if picture.subtitle.strip() else []
    if len(subtitle) > 3:
        subtitle[2:] = [shorten(f"{subtitle[2]} {subtitle[3]}", room, _NOTE_SIZE)]
    for line in subtitle:
        y += 18.0
        parts.append(text_element(0.0, y, _NOTE_SIZE, "note", line))
    total = shorten(totals(picture), room, _NOTE_SIZE, bold=True)
    y += 20.0
    parts.append(text_element(0.0, y, _NOTE_SIZE, "total", total))
    legend, wide = _legend(picture)
    beside = width(total, _NOTE_SIZE, bold=True) + 40.0 + wide <= room
    if legend:
        y += 0.0 if beside else 24.0
        x = room - wide if beside else 0.0
        parts.append(f'<g transform="translate({number(x)} {number(y)})">{"".join(legend)}</g>')
    return parts, y + 30.0


def least_width(picture: Picture) -> float:
    """The width below which the header would be cut."""
    name = width(clean(picture.title), _NAME_SIZES[-1], bold=True)
    return max(min(name, 620.0), _legend(picture)[1], 460.0)


def totals(picture: Picture) -> str:
    """All parameters, and how many of them are trained."""
    total, frozen = picture.parameters, picture.frozen_parameters
    text = f"{human_count(total)} parameters"
    if frozen:
        text += f" \u00b7 {human_count(total - frozen)} trained \u00b7 {human_count(frozen)} frozen"
    return text


def _legend(picture: Picture) -> tuple[list[str], float]:
    """A swatch for each kind that occurs; the parts and their width. The baseline is at 0."""
    parts = []
    x = 0.0
    for kind in picture.kinds():
        rounding = 6 if kind in ("input", "output") else 3
        swatch = f'<rect class="swatch" x="{number(x)}" y="-10" width="14" height="12" rx="{rounding}"/>'
        parts.append(f'<g class="{kind}">{swatch}</g>')
        parts.append(text_element(x + 20.0, 0.0, _LEGEND_SIZE, "note", kind))
        x += 20.0 + width(kind, _LEGEND_SIZE) + 16.0
    frozen = next((box.kind for box in picture.boxes if box.frozen), None)
    if frozen:
        parts.append(f'<g class="{frozen}">{snowflake(x, -10.0)}</g>')
        parts.append(text_element(x + ICON + 5.0, 0.0, _LEGEND_SIZE, "note", "frozen"))
        x += ICON + 5.0 + width("frozen", _LEGEND_SIZE) + 16.0
    return parts, max(x - 16.0, 0.0)


def description(picture: Picture) -> str:
    """The drawing in words, for those who cannot see it."""
    said = [f"A graph of {len(picture.boxes)} nodes and {len(picture.wires)} edges, {totals(picture)}."]
    if len(picture.boxes) <= _DESCRIBED:
        titles = {box.id: box.title for box in picture.boxes}
        targets: dict[str, list[str]] = {}
        for wire in picture.wires:
            targets.setdefault(wire.source, []).append(titles[wire.target])
        for box in picture.boxes:
            to = f", feeds {', '.join(dict.fromkeys(targets[box.id]))}" if box.id in targets else ""
            said.append(f"{box.title} ({box.kind}{', frozen' if box.frozen else ''}){to}.")
    return " ".join(said)


def tooltip(*lines: str) -> str:
    return f"<title>{chr(10).join(words(line) for line in lines if line)}</title>"
