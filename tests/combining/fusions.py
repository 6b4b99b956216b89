"""Fusions for the table of parts: joining features of the same tokens, and bringing features into a text."""

from __future__ import annotations

from dataclasses import replace

from ..block_strategies import ACTIVATIONS, Plain
from .flow import Features, Growing, Stream, through
from .projectors import fitting, linear


def concat(made: Growing, group: list[Features]) -> Features:
    """Features of the same tokens side by side, now and then behind each other or in turn."""
    if group[0].measured == "" and not str(group[0].tokens).startswith(("packed", "merged")) and made.chance(3):
        return behind(made, group, interleave=made.chance())
    reads = {f"part_{index}": each.ref for index, each in enumerate(group)}
    name = made.node("fusion/concat", reads, **made.maybe(activation=lambda: made.pick(*ACTIVATIONS)))
    return through(group[0], name, sum(each.dim for each in group))


def behind(made: Growing, group: list[Features], *, interleave: bool = False) -> Features:
    """Tokens of the same images behind each other, or in turn, once they are equally wide."""
    level = _level(made, group)
    reads = {f"part_{index}": each.ref for index, each in enumerate(level)}
    settings = {"interleave": True} if interleave else {}
    name = made.node("fusion/concat", reads, axis="tokens", **settings)
    counts = [each.tokens for each in group]
    tokens = sum(count for count in counts if isinstance(count, int))
    mask = f"{name}.mask" if any(each.mask for each in group) else ""
    known = all(isinstance(count, int) for count in counts)
    return Features(
        name, level[0].dim, group[0].rows, tokens if known else f"tokens of {name}", mask=mask, video=group[0].video
    )


def add(made: Growing, group: list[Features]) -> Features:
    """Their sum, once they are equally wide."""
    level, width = _level(made, group), group[0].dim
    reads = {f"part_{index}": each.ref for index, each in enumerate(level)}
    gates = {port: made.pick(0.5, 1) for port in reads if made.chance()}
    return through(level[0], made.node("fusion/add", reads, **({"gates": gates} if gates else {})), width)


def _level(made: Growing, group: list[Features]) -> list[Features]:
    """All as wide as the first."""
    width = group[0].dim
    return [each if each.dim == width else through(each, _to(made, each, width), width) for each in group]


def _to(made: Growing, source: Features, width: int) -> str:
    return made.node("projector/linear", source.ref, out=width)


def scatter(made: Growing, stream: Stream, sources: list[Features], dim: int) -> Stream | None:
    """Some of the features at the places of their tokens."""
    if not stream.ids or stream.prefixed:
        return None
    chosen = [sources.pop(0)]
    while sources and made.chance():
        chosen.append(sources.pop(0))
    ports = {f"seen_{index}": wide(made, each, dim) for index, each in enumerate(chosen)}
    placeholder = {port: made.token() for port in ports}
    more: Plain = made.maybe(placing=lambda: "add") if made.chance(5) else {}
    if len(ports) > 1 and made.chance(3):  # one token for two, which others stand around
        placeholder["seen_1"] = placeholder["seen_0"]
        more["between"] = {"seen_1": [made.token(), made.token()]}
    masks = {f"{port}_mask": each.mask for port, each in ports.items() if each.mask and made.chance(3) is False}
    counts = {port: each.tokens for port, each in ports.items() if isinstance(each.tokens, int) and made.chance(4)}
    name = made.node(
        "fusion/scatter",
        {"text": stream.ref, **{port: each.ref for port, each in ports.items()}, "ids": stream.ids, **masks},
        placeholder=placeholder,
        **({"tokens": counts} if counts else {}),
        **more,
    )
    alone = ports if "between" not in more else {}  # what reads these tokens too cannot tell them apart
    made.scattered[name] = [(each, placeholder[port]) for port, each in alone.items()]
    return replace(stream, ref=name, placed=name)


def prefix(made: Growing, stream: Stream, sources: list[Features], dim: int) -> Stream | None:
    """Features before everything else; of what comes in stacks, nobody knows how many there are."""
    if sources[0].rows.startswith("in "):
        return None
    image = wide(made, sources.pop(0), dim)
    more = made.maybe(logits=lambda: made.pick("text", "all"))
    if image.rows.startswith(("of pixels", "of feats")) and made.chance():
        more["images"] = 2
    name = made.node("fusion/prefix", {"text": stream.ref, "image": image.ref}, **more)
    return replace(stream, ref=name, prefixed=True, placed="")


def spread(made: Growing, stream: Stream, dim: int) -> list[str]:
    """What a decoder adds in its layers, at the tokens of a scatter: features of as many tokens."""
    placed = made.scattered.get(stream.placed, [])
    if not placed or not stream.ids:
        return []
    source, token = placed[0]
    if source.mask:
        return []
    depths = made.pick(1, 2)
    reads = {f"image_{depth + 1}": wide(made, replace(source), dim).ref for depth in range(depths)}
    name = made.node("fusion/spread", {"ids": stream.ids, **reads}, placeholder={"image": token}, depths=depths)
    return [f"{name}.depth_{depth + 1}" for depth in range(depths)]


def wide(made: Growing, source: Features, dim: int) -> Features:
    """The features if they are as wide as the stream, else behind a projector that finds out how wide that is."""
    if source.dim == dim:
        return source
    found = linear(made, source) if made.chance(6) else source
    return found if found.dim == dim else replace(fitting(made, found), dim=dim)
