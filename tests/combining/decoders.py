"""Decoders for the table of parts: blocks of every option, attention to other features, features added inside."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..block_strategies import Plain, attention, layers, mlp, norm, residual, rope
from .flow import MAX_TOKENS, VOCAB, Features, Growing, Stream
from .fusions import spread
from .segments import segments


def transformer(made: Growing, stream: Stream, dim: int, others: list[Features]) -> Features:
    """A decoder behind a stream; it may attend to some of the other features."""
    heads, turned = made.pick(2, 4), not made.chance(4)
    settings: Plain = {
        "vocab": VOCAB,
        "dim": dim,
        "max_tokens": MAX_TOKENS,
        "norm": norm(made),
        "attention": attention(made, heads, decoder=True, rope=turned),
        "mlp": mlp(made),
        "position": rope(made) if turned else made.pick("none", "learned", {"type": "learned", "offset": 2}),
        **made.maybe(residual=lambda: residual(made), input_norm=made.chance),
        **layers(made, heads, decoder=True, rope=turned),
        **made.maybe(final_norm=made.chance),
    }
    reads: Plain = {"features": stream.ref}
    for change in (_long, _latent, _three_numbers, _marks, _inject, segments, _indexer, _cross, _order):
        change(made, settings, reads, stream, others)
    embedded = made.nodes.get(f"{stream.ref.partition('.')[0]}", {}).get("type") in ("linear", "mlp")
    head = _head(made, tied=bool(stream.ids) and not embedded)
    name = made.node("decoder/transformer", reads, **settings, **({} if head is None else {"head": head}))
    rows = f"rows of {stream.ids}" if stream.ids else f"rows of {stream.ref}"
    return Features(f"{name}.hidden", dim, rows, f"out of {name}")


def _head(made: Growing, *, tied: bool) -> Any:
    more = made.maybe(scale=lambda: 0.5, softcap=lambda: 10.0)
    return made.pick(None, {}, {"bias": True}, {"tied": tied}, more, None, {}, "none")


def _count(settings: Plain) -> int:
    found = settings["layers"]
    return int(found["count"] if isinstance(found, dict) else found)


def _where(settings: Plain) -> list[Plain]:
    found = settings["layers"]
    where: list[Plain] = found.get("where", []) if isinstance(found, dict) else []
    return where


def _rope(settings: Plain) -> bool:
    return isinstance(settings["position"], dict) and settings["position"]["type"] == "rope"


def _long(made: Growing, settings: Plain, reads: Plain, stream: Stream, others: list[Features]) -> None:
    """Positions stretched by a factor a pair; positions that some layers do without, or have of their own."""
    if not _rope(settings):
        return
    pairs = settings["position"].get("dim", settings["attention"]["head_dim"]) // 2
    if made.chance(6):
        factors = {"short_factors": [1.0] * pairs, "long_factors": [float(2 + pair) for pair in range(pairs)]}
        settings["position"]["scaling"] = {"type": "longrope", "factor": 4, "original_max_tokens": 8, **factors}
    for entry in _where(settings):
        if made.chance(3):
            entry["position"] = made.pick("none", {"theta": 900.0})


def _latent(made: Growing, settings: Plain, reads: Plain, stream: Stream, others: list[Features]) -> None:
    """Keys and values of all heads from one narrow vector."""
    if made.even or not _rope(settings) or not made.chance(5):
        return
    own = settings["attention"]
    for key in ("kv_heads", "head_dim", "qk_norm"):
        own.pop(key, None)
        for entry in _where(settings):
            entry.get("attention", {}).pop(key, None)
    own["latent"] = {"kv_rank": 6, "nope_dim": made.pick(4, 5), "rope_dim": 4, "value_dim": made.pick(6, 3)}
    own["latent"] |= made.maybe(q_rank=lambda: 7, norm=lambda: made.pick("rms", "layer"))
    scaling = settings["position"].get("scaling", {})
    if settings["position"].pop("dim", None) or scaling.get("type") == "longrope":
        settings["position"].pop("scaling", None)


def _indexer(made: Growing, settings: Plain, reads: Plain, stream: Stream, others: list[Features]) -> None:
    """Keys that small heads choose, in some layers for the next ones too."""
    own, position = settings["attention"], settings["position"]
    if "weights_by" in own or (isinstance(position, dict) and position["type"] in ("relative", "alibi")):
        return
    if not made.chance(4):
        return
    # With few heads, several keys of a query would have a score of zero, and any of them could be chosen.
    own["indexer"] = {"heads": 17, "head_dim": 12, "top": made.pick(1, 3, 50)}
    if _rope(settings) and not any(entry.get("position") == "none" for entry in _where(settings)):
        own["indexer"] |= made.maybe(style=lambda: made.pick("half", "interleaved"))
    if _count(settings) > 1 and made.chance():
        found = settings["layers"]
        last = {"name": "sharing", "at": [_count(settings) - 1], "attention": {"indexer": "shared"}}
        layers_ = found if isinstance(found, dict) else {"count": found}
        settings["layers"] = {**layers_, "where": [*layers_.get("where", []), last]}


def _three_numbers(made: Growing, settings: Plain, reads: Plain, stream: Stream, others: list[Features]) -> None:
    """Positions of frame, row and column."""
    if not _rope(settings) or settings["attention"].get("latent") or not made.chance(3):
        return
    pairs = settings["attention"]["head_dim"] // 2
    sections = [pairs - 2, 1, 1]
    settings["position"] = {"type": "mrope", "sections": sections, "theta": 1000.0} | made.maybe(
        layout=lambda: made.pick("contiguous", "interleaved", "turns")
    )
    for entry in _where(settings):
        entry.pop("position", None)
    measured = [(each, token) for each, token in made.scattered.get(stream.placed, []) if each.measured]
    if measured and stream.ids and not stream.prefixed and made.chance(4) is False:
        grids = {f"grid_{index}": each.measured for index, (each, _) in enumerate(measured)}
        tokens = {f"grid_{index}": token for index, (_, token) in enumerate(measured)}
        groups = {(_side(each), each.frames) for each, _ in measured}
        if len(groups) == 1:
            more = made.maybe(frames=lambda: made.pick("together", "apart"))
            ((group, merged),) = groups
            more |= {"merged_frames": merged} if merged > 1 else {}
            reads["positions"] = made.node(
                "encoder/grid_positions",
                {"ids": stream.ids, **grids},
                placeholder=tokens,
                group=group,
                **more,
            )


def _side(features: Features) -> int:
    """How many rows and columns of patches one of these tokens is."""
    return features.group if features.tokens == "merged" else 1


def _marks(made: Growing, settings: Plain, reads: Plain, stream: Stream, others: list[Features]) -> None:
    """Tokens that see each other whatever their order."""
    if stream.prefixed or not stream.ids or not made.chance(5):
        return
    kind = made.pick("spans", "prefix")
    placed = kind == "spans" and stream.placed and made.chance()
    reads["marked"] = f"{stream.placed}.places" if placed else made.input("marks", "mask")
    settings["attention"]["mask"] = {"any": ["causal", {kind: "marked"}]}


def _inject(made: Growing, settings: Plain, reads: Plain, stream: Stream, others: list[Features]) -> None:
    """Features added behind some layers."""
    if stream.prefixed or not made.chance(3):
        return
    found = spread(made, stream, settings["dim"])
    if not found and made.chance():
        found = [stream.ref]
    found = found[: _count(settings)]
    if found:
        settings["inject"] = list(range(len(found)))
        reads |= {f"inject_{layer}": ref for layer, ref in enumerate(found)}


def _cross(made: Growing, settings: Plain, reads: Plain, stream: Stream, others: list[Features]) -> None:
    """Attention to other features, in some layers, and feed-forwards for the tokens that see some."""
    sublayers: Plain = settings.pop("sublayers", {})
    for index in range(made.pick(0, 1, 1, 2)):
        if not others:
            break
        source = others.pop(0)
        port, heads = f"other_{index}", made.pick(2, 4)
        own: Plain = {"op": "attention", "heads": heads, "kv": port}
        own |= made.maybe(
            kv_heads=partial(made.pick, heads, 1),
            bias=made.chance,
            qk_norm=lambda: made.pick("rms", "layer"),
            scale=lambda: 0.3,
            kv_dim=partial(int, source.dim),
            residual=lambda: made.pick({"gate": "tanh", "init": 0.4}, {"scale": 2.0}),
        )
        if settings["dim"] % heads or made.chance(4):
            own["head_dim"] = made.pick(4, 6)
        reads[port] = source.ref
        _seen(made, own, reads, port, source, whole="features" in reads)
        if "segments" in settings and made.chance(3):
            own["scope"] = made.pick(*settings["segments"])
        sublayers[f"cross_{index}"] = own
        if own.get("mask") and made.chance():
            sublayers[f"after_{index}"] = {
                "op": "mlp",
                "hidden": 12,
                "rows": port,
                "residual": {"gate": "alpha", "init": 0.5},
            }
    if made.chance(5):
        sublayers["second_mlp"] = {"op": "mlp", **mlp(made)}
    if not sublayers:
        return
    settings["sublayers"] = sublayers
    order = [*(name for name in sublayers if made.chance() is False), "attn", "mlp"]
    order += [name for name in sublayers if name not in order]
    found = settings["layers"]
    layers_ = found if isinstance(found, dict) else {"count": found}
    if made.chance():
        settings["layers"] = {**layers_, "each": order}
    else:
        entry = made.pick({"at": [layers_["count"] - 1]}, {"every": 2, "from": layers_["count"] - 1}, {"at": [0]})
        settings["layers"] = {**layers_, "where": [*layers_.get("where", []), {**entry, "each": order}]}


def _seen(made: Growing, own: Plain, reads: Plain, port: str, source: Features, *, whole: bool) -> None:
    """Which tokens see which of the features, if not all see all."""
    counted = isinstance(source.tokens, int) and source.rows.startswith("of ")
    if whole and "tiled_vit" in source.ref and made.chance(4) is False:
        reads[f"{port}_seen"] = made.input("visible", "visible")
        own["mask"] = {"visible": f"{port}_seen"}
    elif counted and made.chance(3):
        reads[f"{port}_mask"] = made.input("present", "mask")
        own["mask"] = {"present": f"{port}_mask"}
    if own.get("mask") and made.chance():
        own["rows"] = port


def _order(made: Growing, settings: Plain, reads: Plain, stream: Stream, others: list[Features]) -> None:
    """Attention and feed-forward that read the same."""
    if "sublayers" in settings or not made.chance(5):
        return
    if isinstance(settings["norm"], dict) and settings["norm"].get("place", "pre") not in ("pre",):
        settings["norm"].pop("place")
    for entry in _where(settings):
        if isinstance(entry.get("norm"), dict):
            entry["norm"].pop("place", None)
    found = settings["layers"]
    settings["layers"] = {**(found if isinstance(found, dict) else {"count": found}), "each": [["attn", "mlp"]]}
