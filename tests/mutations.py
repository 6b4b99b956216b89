"""Random damage to good YAML: values of other types and sizes, keys gone, renamed or moved, nodes wired and typed anew,
depth, letters changed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 64, 10**9, 10**40, 0.5, -2.5, 1e300, float("nan"), float("inf")),
    *(
        "",
        "x",
        "vision",
        "vision.features",
        "llm.logits",
        "input_ids",
        "none",
        "a.b.c",
        "..",
        "../x",
        "*",
        "[",
        "use",
        "import",
    ),
    *("\x00", "a\nb", '"""', "é", "\u2028", "x" * 300, "decoder/vicuna_7b", "encoder/nowhere", "tiny.yaml"),
    *([], {}, [[]], {"x": 1}, [1, 2, 3], ["vision"], {"use": "decoder/vicuna_7b"}, {"type": "rms"}, {"tied": True}),
)
_LETTERS = st.sampled_from(
    [*"{}[]:,-?&*!|>'\"%@`#~ \t\n\r\\0aZ_=<", "\x00", "\x85", "\ufeff", "é", "- ", ": ", "\n  ", "null"]
)


@st.composite
def damaged(draw: DrawFn, texts: tuple[str, ...]) -> str:
    """One of the texts with a few things wrong, in its values or in its letters."""
    text = draw(st.sampled_from(texts))
    if draw(st.integers(0, 3)) == 3:
        return _changed_letters(draw, text)
    tree = copy.deepcopy(yaml.safe_load(text))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        if places:
            holder, key = places[draw(st.integers(0, len(places) - 1))]
            draw(st.sampled_from(_CHANGES))(draw, tree, holder, key)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """(mapping or list, key) of every value."""
    items = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in items:
        yield tree, key
        yield from _places(value)


def _replace(draw: DrawFn, tree: Any, holder: Any, key: Any) -> None:
    holder[key] = copy.deepcopy(draw(st.sampled_from(JUNK)))


def _nudge(draw: DrawFn, tree: Any, holder: Any, key: Any) -> None:
    """A number a little off, a flag turned: what people get wrong."""
    value = holder[key]
    if isinstance(value, bool):
        holder[key] = not value
    elif isinstance(value, int | float):
        holder[key] = draw(
            st.sampled_from([value + 1, value - 1, value * 2, value // 2, -value, float(value), str(value)])
        )
    else:
        _move(draw, tree, holder, key)


def _delete(draw: DrawFn, tree: Any, holder: Any, key: Any) -> None:
    del holder[key]


def _rename(draw: DrawFn, tree: Any, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        holder[
            draw(st.sampled_from([f"{key}s", str(key)[:-1], "use", "type", "name", "vision", "layers", "extends"]))
        ] = holder.pop(key)


def _move(draw: DrawFn, tree: Any, holder: Any, key: Any) -> None:
    """The value of one place put into another as well."""
    places = list(_places(tree))
    other, name = places[draw(st.integers(0, len(places) - 1))]
    holder[key] = copy.deepcopy(other[name])


def _rewire(draw: DrawFn, tree: Any, holder: Any, key: Any) -> None:
    """A node reads another, or itself, or a port that is not there."""
    nodes = tree.get("nodes") if isinstance(tree, dict) else None
    if not isinstance(nodes, dict) or not nodes:
        return
    reader, source = (nodes[draw(st.sampled_from(list(nodes)))], draw(st.sampled_from(list(map(str, nodes)))))
    if not isinstance(reader, dict):
        return
    ref = draw(
        st.sampled_from([source, f"{source}.features", f"{source}.hidden", f"{source}.mask", f"{source}.layer_1"])
    )
    reads = reader.get("inputs")
    if isinstance(reads, dict) and reads:
        reads[draw(st.sampled_from([*reads, "mask", "image"]))] = ref
    else:
        reader["inputs"] = ref


def _retype(draw: DrawFn, tree: Any, holder: Any, key: Any) -> None:
    """A node of another type, with the settings of the first."""
    nodes = tree.get("nodes") if isinstance(tree, dict) else None
    found = [node for node in (nodes.values() if isinstance(nodes, dict) else ()) if isinstance(node, dict)]
    if found:
        kind, _, type_ = draw(st.sampled_from(COMPONENTS)).partition("/")
        draw(st.sampled_from(found)).update(kind=kind, type=type_)


def _nest(draw: DrawFn, tree: Any, holder: Any, key: Any) -> None:
    """A value inside many others."""
    for _ in range(draw(st.sampled_from([1, 30, 300]))):
        holder[key] = draw(st.sampled_from([[holder[key]], {"x": holder[key]}]))


COMPONENTS = tuple(
    sorted(
        f"{path.parent.name}/{path.name.removesuffix('.schema.json')}"
        for path in (Path(__file__).parents[1] / "schemas").glob("*/*.schema.json")
        if path.parent.name != "blocks"
    )
)
_CHANGES: tuple[Callable[[DrawFn, Any, Any, Any], None], ...] = (
    *(_nudge, _replace, _delete, _rename, _move),
    *(_rewire, _retype, _nest),
)


def _changed_letters(draw: DrawFn, text: str) -> str:
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 1, 2, 8, 40])))
        text = text[:start] + draw(st.one_of(st.just(""), _LETTERS)) + text[end:]
    return text
