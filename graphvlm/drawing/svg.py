"""Writes a placed picture as an SVG document."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Literal, TypeAlias

from . import style
from .face import SMALL_SIZE, Text, port_name
from .header import description, header, least_width, tooltip
from .layout import LABEL_SIZE, Curve, Layout, PlacedBox, Route, layout
from .pen import number as n
from .pen import snowflake, text_element, words
from .picture import Picture

Theme: TypeAlias = Literal["auto", "light", "dark"]

_MARGIN = 28.0
_CORNER = 6.0


def draw(picture: Picture, theme: Theme = "auto") -> str:
    """`picture` as an SVG document.

    With the theme "auto" it follows the reader's preference for light or dark; the others fix one, for programs that
    do not know media queries. ValueError if the wires form a cycle.
    """
    placed = layout(picture)
    scope = "g" + sha256(repr((picture, theme)).encode("utf-8", "replace")).hexdigest()[:10]
    wide = max(placed.width, least_width(picture))
    head, top = header(picture, wide)
    left = (wide - placed.width) / 2
    size = (n(wide + 2 * _MARGIN), n(top + placed.height + 2 * _MARGIN))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{scope}" width="{size[0]}" height="{size[1]}" '
        f'viewBox="0 0 {size[0]} {size[1]}" role="img" aria-labelledby="{scope}-title {scope}-desc">',
        f'<title id="{scope}-title">{words(picture.title)}</title>',
        f'<desc id="{scope}-desc">{words(description(picture), longest=None)}</desc>',
        f"<style>\n{style.sheet(scope, tuple(picture.kinds()), theme)}\n</style>",
        *_patterns(scope, picture),
        f'<rect class="page" width="{size[0]}" height="{size[1]}"/>',
        f'<g transform="translate({n(_MARGIN)} {n(_MARGIN)})">',
        *head,
        "</g>",
        f'<g transform="translate({n(_MARGIN + left)} {n(_MARGIN + top)})">',
        *_drawing(scope, placed),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _patterns(scope: str, picture: Picture) -> Iterator[str]:
    """The hatching of frozen boxes, one pattern for each kind that needs it."""
    for kind in picture.kinds():
        if any(box.frozen and box.kind == kind for box in picture.boxes):
            yield (
                f'<defs><pattern id="{scope}-{kind}" class="{kind}" width="7" height="7" '
                'patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
                '<path class="hatch" d="M3.5 0v7" stroke-width="2.5"/></pattern></defs>'
            )


def _drawing(scope: str, placed: Layout) -> Iterator[str]:
    """Wires below boxes, labels above both."""
    kinds = {box.box.id: box.box.kind for box in placed.boxes}
    titles = {box.box.id: box.box.title for box in placed.boxes}
    for route in placed.routes:
        yield f'<g class="trunk {kinds[route.trunk.wires[0].source]}">{_wire(route, titles)}</g>'
    for box in placed.boxes:
        yield f'<g class="{box.box.kind}">{"".join(_box(scope, box))}</g>'
    for route in placed.routes:
        if route.label:
            yield text_element(*route.label_at, LABEL_SIZE, "label", route.label)


def _wire(route: Route, titles: dict[str, str]) -> str:
    source = titles[route.trunk.wires[0].source]
    targets = dict.fromkeys(
        f"{titles[wire.target]}.{wire.port}" if wire.port else titles[wire.target] for wire in route.trunk.wires
    )
    name = f"{source}.{route.trunk.port}" if route.trunk.port else source
    path = "".join((*map(_curve, route.curves), *map(_turn, route.turns), *map(_cut, route.cuts)))
    tips = "".join(f"M{n(x)} {n(y)}l-7-3.6v7.2z" for x, y in route.tips)
    tips += "".join(_chevron(corners) for corners in route.turns)
    said = tooltip(f"{name} \u2192 {', '.join(targets)}", route.trunk.label)
    return f'{said}<path class="wire" d="{path}"/><path class="tip" d="{tips}"/>'


def _curve(curve: Curve) -> str:
    start = f"M{n(curve.x0)} {n(curve.y0)}"
    if n(curve.y0) == n(curve.y3):
        return f"{start}H{n(curve.x3)}"
    middle = n((curve.x1 + curve.x2) / 2)
    bend = f"C{middle} {n(curve.y0)} {middle} {n(curve.y3)} {n(curve.x2)} {n(curve.y3)}"
    return f"{start}H{n(curve.x1)}{bend}H{n(curve.x3)}"


def _turn(corners: tuple[tuple[float, float], ...]) -> str:
    """Straight lines through `corners`, each corner rounded by at most half of its shorter side."""
    path = f"M{n(corners[0][0])} {n(corners[0][1])}"
    for (ax, ay), (bx, by), (cx, cy) in zip(corners, corners[1:], corners[2:], strict=False):
        into, out = abs(bx - ax) + abs(by - ay), abs(cx - bx) + abs(cy - by)
        if not into or not out:
            continue
        radius = min(_CORNER, into / 2, out / 2)
        path += f"L{n(bx + (ax - bx) / into * radius)} {n(by + (ay - by) / into * radius)}"
        path += f"Q{n(bx)} {n(by)} {n(bx + (cx - bx) / out * radius)} {n(by + (cy - by) / out * radius)}"
    return f"{path}L{n(corners[-1][0])} {n(corners[-1][1])}"


def _chevron(corners: tuple[tuple[float, float], ...]) -> str:
    """An arrow head on the way back, halfway."""
    (right, level), (left, _) = corners[2], corners[3]
    return f"M{n((left + right) / 2 - 3.5)} {n(level)}l7-3.6v7.2z"


def _cut(cut: tuple[float, float, float]) -> str:
    """The end of a wire that is not drawn in whole, marked by a bar across it."""
    y, start, end = cut
    return f"M{n(start)} {n(y - 3.5)}v7m0-3.5H{n(end)}"


def _box(scope: str, placed: PlacedBox) -> Iterator[str]:
    box, face = placed.box, placed.face
    count = f"{box.parameters:,} parameters" if box.parameters else ""
    facts = (box.kind, "frozen" if box.frozen else "", *box.marks[:20])
    yield tooltip(box.title, *box.lines[:20], count, " \u00b7 ".join(fact for fact in facts if fact))
    place = f'x="{n(placed.x)}" y="{n(placed.y)}" width="{n(placed.width)}" height="{n(placed.height)}"'
    rounding = n(min(placed.height / 2, 22.0) if face.pill else 8.0)
    yield f'<rect class="face" {place} rx="{rounding}"/>'
    if box.frozen:
        inner = f'x="{n(placed.x + 0.6)}" y="{n(placed.y + 0.6)}" width="{n(placed.width - 1.2)}"'
        yield f'<rect {inner} height="{n(placed.height - 1.2)}" rx="{rounding}" fill="url(#{scope}-{box.kind})"/>'
    if not face.pill:
        bar = f'x="{n(placed.x + face.left_gutter + 6)}" y="{n(placed.y + 9)}" height="{n(placed.height - 18)}"'
        yield f'<rect class="bar" {bar} width="3" rx="1.5"/>'
    yield from _inside(placed)


def _inside(placed: PlacedBox) -> Iterator[str]:
    face, x, y = placed.face, placed.x, placed.y
    yield from (_text(text, x, y) for text in face.texts)
    for badge in face.badges:
        place = f'x="{n(x + badge.x)}" y="{n(y + badge.y)}" width="{n(badge.width)}" height="{n(badge.height)}"'
        yield f'<rect class="badge" {place} rx="7.5"/>{_text(badge.text, x, y)}'
    if face.snowflake:
        # A box is as wide as its column: what stands at the right of its face moves along.
        moved = 0.0 if face.pill else placed.width - face.width
        yield snowflake(x + face.snowflake[0] + moved, y + face.snowflake[1])
    if face.left_gutter:
        yield from (_port(x + 9.0, slot.y, slot.name) for slot in placed.slots_in)
    if face.right_gutter:
        yield from (_port(x + placed.width - 9.0, slot.y, slot.name, "end") for slot in placed.slots_out)


def _text(text: Text, x: float, y: float) -> str:
    anchor = "middle" if text.role == "mark" else ""
    return text_element(x + text.x, y + text.y, text.size, text.role, text.words, anchor=anchor)


def _port(x: float, y: float, name: str, anchor: str = "") -> str:
    return text_element(x, y + 3.3, SMALL_SIZE, "port", port_name(name), anchor=anchor)
