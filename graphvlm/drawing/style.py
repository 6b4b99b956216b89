"""Colours and the style sheet, for light and for dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from .picture import KINDS, Kind

FONTS = "-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,'Noto Sans','Liberation Sans',sans-serif"


@dataclass(frozen=True, slots=True)
class Tint:
    """The colours of one kind: `fill` of a box, `hatch` of its lines when frozen, `edge`, and `ink` for text on it."""

    fill: str
    hatch: str
    edge: str
    ink: str


@dataclass(frozen=True, slots=True)
class Palette:
    page: str
    text: str
    muted: str
    kinds: MappingProxyType[Kind, Tint]


def _tints(*rows: str) -> MappingProxyType[Kind, Tint]:
    return MappingProxyType({kind: Tint(*row.split()) for kind, row in zip(KINDS, rows, strict=True)})


LIGHT = Palette(
    page="#ffffff",
    text="#172033",
    muted="#475364",
    kinds=_tints(
        "#f2f5f8 #dfe5ec #8593a6 #3f4d60",
        "#eaf2fe #d3e3fb #4583e0 #1b4c9b",
        "#e2f6f8 #c6eaee #1b9aae #075765",
        "#fef3df #f8e2b9 #c67f10 #744600",
        "#f2edfe #e1d6fb #8760d9 #4f259c",
        "#fdecf2 #f8d4e0 #d75a86 #8f2049",
        "#ebf7e6 #d4ecc9 #5fa33a #2a5812",
    ),
)
DARK = Palette(
    page="#0d1117",
    text="#eef2f8",
    muted="#b3becc",
    kinds=_tints(
        "#1b222c #252e3b #76859a #c3cedc",
        "#12233d #1a3155 #5b97ef #a9cbff",
        "#0b2a30 #113a42 #35b4c8 #8fe0ec",
        "#31230b #43310f #e0a03a #f8cf86",
        "#231a3d #312454 #a27ff0 #d3c1ff",
        "#371424 #4a1c31 #e8709a #ffb5cd",
        "#172a10 #213b17 #77bd50 #b6e79b",
    ),
)


def sheet(scope: str, kinds: tuple[Kind, ...], theme: str) -> str:
    """The style sheet of a drawing whose root has the id `scope`; no rule reaches outside it."""
    rules = [
        f"#{scope}{{font-family:{FONTS};color-scheme:{'light dark' if theme == 'auto' else theme}}}",
        f"#{scope} text{{white-space:pre}}",
        f"#{scope} .name,#{scope} .title,#{scope} .count{{font-weight:600}}",
        f"#{scope} .port{{font-style:italic}}",
        f"#{scope} .face,#{scope} .swatch{{stroke-width:1.25}}",
        f"#{scope} .wire,#{scope} .flake,#{scope} .turn{{fill:none;stroke-linecap:round;stroke-linejoin:round}}",
        f"#{scope} .wire{{stroke-width:1.6}}",
        f"#{scope} .trunk:hover .wire{{stroke-width:3}}",
        f"#{scope} .flake{{stroke-width:1.2}}",
        f"#{scope} .label{{paint-order:stroke;stroke-width:3;stroke-linejoin:round}}",
    ]
    colours = _colours(scope, kinds, DARK if theme == "dark" else LIGHT)
    rules += colours
    if theme == "auto":
        rules.append("@media (prefers-color-scheme:dark){")
        rules += _colours(scope, kinds, DARK)
        rules.append("}")
    return "\n".join(rules)


def _colours(scope: str, kinds: tuple[Kind, ...], palette: Palette) -> list[str]:
    rules = [
        f"#{scope} .page{{fill:{palette.page}}}",
        f"#{scope} text{{fill:{palette.text}}}",
        f"#{scope} .line,#{scope} .port,#{scope} .note{{fill:{palette.muted}}}",
        f"#{scope} .label{{fill:{palette.muted};stroke:{palette.page}}}",
        f"#{scope} .badge{{fill:{palette.page}}}",
    ]
    for kind in kinds:
        tint = palette.kinds[kind]
        own = f"#{scope} .{kind}"
        rules += [
            f"{own} .face,{own} .swatch{{fill:{tint.fill};stroke:{tint.edge}}}",
            f"{own} .hatch{{stroke:{tint.hatch}}}",
            f"{own} .bar,{own} .tip{{fill:{tint.edge}}}",
            f"{own} .wire,{own} .badge{{stroke:{tint.edge}}}",
            f"{own} .flake{{stroke:{tint.ink}}}",
            f"{own} .count,{own} .mark{{fill:{tint.ink}}}",
        ]
    return rules
