"""What the pages of prompts place: numbers and texts as literals, expressions over them."""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..code import display, literal, quoted
from ..ir import Graph
from .pictures import Pictures
from .video_views import video_tokens_view
from .videos import Videos, videos

# The strategies that cut an image into tiles of one size.
CUT = ("closest_grid", "covering_grid", "canvas", "longest_side")
NATIVE = ("native", "native_volume")
_FIELDS = {
    "row": "row=row",
    "column": "column=column",
    "number": "number=(row - 1) * columns + column",
}


@dataclass(frozen=True, slots=True)
class TokensView:
    """The page that counts tokens: its constants, the strategy, the lines that count, and the parts of the text."""

    constants: tuple[tuple[str, str], ...]
    grid: str
    counted: bool
    tokens: tuple[str, ...]
    tiled: bool
    rowed: bool
    whole: str
    uncut: str
    cut: str
    tile: str
    fields: str
    between: str
    between_rows: str

    @property
    def size(self) -> str:
        """The parameters of what counts; a fixed number reads none of them."""
        return "height: int, width: int" if self.grid else "_height: int, _width: int"

    @property
    def gridded(self) -> bool:
        """Whether there are rows and columns."""
        return bool(self.grid)

    @property
    def mathematics(self) -> bool:
        """Whether it needs more than the four operations."""
        return self.grid in ("closest_grid", "longest_side", "padded", *NATIVE) or "math." in "".join(self.tokens)


@dataclass(frozen=True, slots=True)
class PromptView:
    """The page of the processor: the placeholder, and pairs of an input and what tokenizers or processors call it."""

    token: str
    token_id: int | None
    text: tuple[tuple[str, str], ...]
    images: tuple[tuple[str, str], ...]
    visible: str
    tiles: int
    before: int
    template: bool
    counted: bool
    video: str = ""
    video_token_id: int = 0
    videos: tuple[tuple[str, str], ...] = ()
    seconds: str = ""
    depth: int = 1

    @property
    def shared(self) -> bool:
        """Whether images and videos have the same token."""
        return self.token_id == self.video_token_id

    @property
    def marks(self) -> str:
        """Where in `ids` features are."""
        if self.video and not self.shared:
            return "(ids == self.token_id) | (ids == self.video_token_id)"
        return "ids == self.token_id"

    @property
    def count(self) -> str:
        """The tokens of one of a request's images."""
        return "image_tokens(height, width, len(own))" if self.counted else "image_tokens(height, width)"

    @property
    def text_of(self) -> str:
        """The text of one of a request's images."""
        return "image_text(height, width, len(sizes))" if self.counted else "image_text(height, width)"


def tokens_views(given: Pictures, clips: Videos | None) -> dict[str, Any]:
    """What the page that counts tokens reads: of images, and of videos if there are any."""
    page = video_tokens_view(clips) if clips else None
    return {"page": tokens_view(given), "video": clips, "video_page": page}


def prompt_view(graph: Graph, given: Pictures, tokens: str, mask: str) -> PromptView:
    """The view of the processor of a graph whose text is `tokens`, with a `mask`."""
    clips = videos(graph)
    made = _prompt_view(graph, given, tokens, mask)
    if clips is None:
        return made
    return replace(
        made,
        video=quoted(clips.prompt.token),
        video_token_id=clips.token_id,
        videos=clips.inputs,
        seconds=clips.seconds,
        depth=clips.frames,
    )


def _prompt_view(graph: Graph, given: Pictures, tokens: str, mask: str) -> PromptView:
    return PromptView(
        token=quoted(given.prompt.token),
        token_id=given.token_id,
        text=((tokens, "input_ids"), (mask, "attention_mask")),
        images=given.inputs,
        visible=given.visible,
        tiles=given.tiles,
        before=given.before,
        template=bool(graph.prompt.template),
        counted=given.alone,
    )


def tokens_view(given: Pictures) -> TokensView:
    """The view of the page that counts the tokens of these images."""
    image, type_ = given.prompt, given.tiling.type
    texts = {
        name: getattr(image, name)
        for name in (
            *("start", "end", "before_tile", "between_tiles", "between_rows"),
            *("after_rows", "before_overview", "after_overview"),
        )
    }

    def sum_of(*parts: str) -> str:
        """The parts that there are, one behind the other."""
        return " + ".join(part for part in parts if part)

    def constant(name: str) -> str:
        return name.upper() if texts[name] else ""

    inside = [name for name in texts if name not in ("start", "end") and texts[name]]
    tiled = type_ in CUT and bool(inside)
    rowed = type_ in NATIVE and bool(inside)
    whole = sum_of(constant("before_overview"), "tile", constant("after_overview"))
    first, last = ("whole", "") if type_ == "covering_grid" else ("", "whole")
    cut = sum_of(constant("start"), first, "tiles", constant("after_rows"), last, constant("end"))
    middle = "FEATURE * TOKENS"
    if type_ not in ("whole", "arrangements"):
        middle = f"FEATURE * image_tokens(height, width{', images' if given.alone else ''})"
    if tiled:
        middle = "whole"
    elif rowed:
        middle = "BETWEEN_ROWS.join(lines)"
    names = [name for _, name, _, _ in string.Formatter().parse(image.before_tile) if name]
    return TokensView(
        constants=(*_numbers(given), ("FEATURE", quoted(image.feature)), *_texts(texts)),
        grid="padded" if given.padded else "" if type_ in ("whole", "arrangements") else type_,
        counted=given.alone,
        tokens=tuple(_count(given)),
        tiled=tiled,
        rowed=rowed,
        whole=whole,
        uncut=sum_of(constant("start"), middle, constant("end")),
        cut=cut,
        tile=sum_of(constant("before_tile"), "tile"),
        fields=", ".join(_FIELDS[name] for name in dict.fromkeys(names)),
        between=constant("between_tiles") or '""',
        between_rows=constant("between_rows") or '""',
    )


def _texts(texts: dict[str, str]) -> Iterator[tuple[str, str]]:
    yield from ((name.upper(), quoted(text)) for name, text in texts.items() if text)


def _numbers(given: Pictures) -> Iterator[tuple[str, str]]:
    """The numbers that the strategy counts with."""
    type_, numbers = given.tiling.type, given.tiling.numbers
    if type_ in ("whole", "arrangements"):
        yield "TOKENS", str(given.tokens)
        return
    if type_ in NATIVE:
        yield "BLOCK", str(given.patch * given.merge)
        yield from [("FRAMES", str(given.frames))] if type_ == "native_volume" else []
    elif type_ != "resolutions":
        yield "TOKENS", str(given.tokens)
        yield from [] if type_ == "arrangements" else [("TILE", str(given.height))]
    if type_ == "resolutions":
        assert given.packing is not None
        yield "TILE", str(given.height)
        yield "SIDE", str(given.packing.side)
        yield "RESOLUTIONS", display("RESOLUTIONS = ", tuple(map(literal, given.resolutions)), "()", 0)[14:]
    if type_ == "closest_grid":
        yield "MIN_TILES", str(numbers.get("min_tiles", 1))
    yield from ((name.upper(), str(value)) for name, value in numbers.items() if name != "min_tiles")


def _count(given: Pictures) -> Iterator[str]:
    """The lines of `image_tokens`."""
    type_ = given.tiling.type
    if type_ in ("whole", "arrangements"):
        yield "return TOKENS"
    elif type_ in NATIVE:
        yield from ("rows, columns = grid(height, width)", "return rows * columns")
    elif type_ == "resolutions":
        yield from _packed(given)
    else:
        yield from (
            "rows, columns = grid(height, width)",
            "tiles = rows * columns",
            "return TOKENS * (tiles + 1 if tiles > 1 else 1)",
        )


def _packed(given: Pictures) -> Iterator[str]:
    packing = given.packing
    assert packing is not None
    newline = 1 if packing.newline else 0
    view = "SIDE * (SIDE + 1)" if packing.lined else "SIDE * SIDE"
    more = " + 1" if packing.separator else ""
    if given.alone:
        yield from (
            "if images > 1:  # none is cut",
            f"    return {view}{' + 1' if newline and not packing.lined else ''}",
        )
    yield from ("rows, columns = grid(height, width)", "high, wide = rows * SIDE, columns * SIDE")
    if packing.unpad:
        yield from (
            "# what pads the image to its resolution is left out",
            "if width / height > wide / high:",
            "    inner = int(round(height * (wide / width), 7))",
            "    high -= (high - inner) // 2 * 2",
            "else:",
            "    inner = int(round(width * (high / height), 7))",
            "    wide -= (wide - inner) // 2 * 2",
        )
    if packing.max_tiles:
        yield from (
            f"scale = math.sqrt(high * wide / ({packing.max_tiles} * SIDE**2))",
            "if scale > 1.1:",
            "    high, wide = int(high // scale), int(wide // scale)",
        )
    yield f"return {view} + high * {'(wide + 1)' if newline else 'wide'}{more}"
