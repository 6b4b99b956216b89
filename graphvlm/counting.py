"""How many tokens images and sounds come to: the functions of the page `counts.py` of a package, called here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .ir import Graph
from .pages.package import Page
from .prompts import pictures, sounds, videos
from .prompts.sound_views import sound_tokens_view
from .prompts.views import tokens_view, tokens_views
from .rendering import text_of

# (height, width, images in the request) -> what they come to.
Counter = Callable[[int, int, int], dict[str, Any]]


def counter(graph: Graph) -> Counter | None:
    """A function from height, width and number of images of a request to `features` and, where there are any, `rows`
    and `columns` of what they are `of`. None if the graph has no `prompt.image`.

    It raises ValueError for an image of a shape that the strategy has no size for.
    """
    given = pictures(graph)
    if given is None:
        return None
    page = tokens_view(given)
    names = _names(Page("prompt/tokens.py.j2", tokens_views(given, None)))

    def count(height: int, width: int, images: int) -> dict[str, Any]:
        more = (images,) if page.counted else ()
        found = {"features": names["image_tokens"](height, width, *more)}
        if not page.gridded or (page.counted and images > 1):
            return found
        rows, columns = names["grid"](height, width)
        return {**found, "rows": rows, "columns": columns, "of": "tokens" if given.patch else "tiles"}

    return count


def sound_counter(graph: Graph) -> Callable[[float], int] | None:
    """A function from seconds to the tokens of a sound. None if the graph has no `prompt.audio`."""
    heard = sounds(graph)
    if heard is None:
        return None
    names, rate = _names(Page("prompt/sound_tokens.py.j2", {"page": sound_tokens_view(heard)})), heard.prompt.rate
    return lambda seconds: int(names["sound_tokens"](round(seconds * rate)))


def video_counter(graph: Graph) -> Callable[[int, int, int], int] | None:
    """A function from frames, height and width to the tokens of a video. None if the graph has no `prompt.video`.

    It raises ValueError for frames of a shape that the strategy has no size for.
    """
    given, clips = pictures(graph), videos(graph)
    if given is None or clips is None:
        return None
    names = _names(Page("prompt/tokens.py.j2", tokens_views(given, clips)))
    return lambda frames, height, width: int(names["video_tokens"](frames, height, width))


def _names(page: Page) -> dict[str, Any]:
    """What a page defines."""
    names: dict[str, Any] = {}
    exec(compile(text_of(page), "counts.py", "exec"), names)
    return names
