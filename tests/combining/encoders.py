"""Encoders for the table of parts: each adds nodes and inputs to a graph and says what comes out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..block_strategies import Plain, attention, layers, mlp, norm, residual
from .flow import MAX_TOKENS, VOCAB, Features, Growing


def _stack(made: Growing, heads: int, *, order: bool = True, rope: bool = False) -> Plain:
    """The blocks of an encoder."""
    found: Plain = {
        "norm": norm(made),
        "attention": attention(made, heads, decoder=False, rope=rope),
        "mlp": mlp(made),
        **made.maybe(residual=lambda: residual(made)),
        **layers(made, heads, decoder=False, rope=rope),
    }
    if order and made.chance(5):
        count = found["layers"]["count"] if isinstance(found["layers"], dict) else found["layers"]
        found["layers"] = {"count": count, "each": [["attn", "mlp"]]}
        if isinstance(found["norm"], dict):
            found["norm"].pop("place", None)
    return found


def _count(stack: Plain) -> int:
    found = stack["layers"]
    return int(found["count"] if isinstance(found, dict) else found)


def vit(made: Growing) -> list[Features]:
    """A tower for images of one size."""
    size = made.pick(8, [8, 12], 16)
    towers = [node for node in made.nodes.values() if node.get("type") == "vit"]
    twins = [node["inputs"] for node in towers if node["image"]["size"] == size]
    shared = [ref for ref in twins if isinstance(ref, str)]
    pixels = made.pick(*shared) if shared and made.chance(2) else made.input("pixels", "image")
    return _vit(made, pixels, size, rows=f"of {pixels}")


def _vit(
    made: Growing, reads: Any, size: Any, *, rows: str, masked: bool = False, plain: bool = False
) -> list[Features]:
    heads, class_token = made.pick(2, 4), not masked and not plain and made.chance()
    dim, stack = heads * made.pick(4, 6), _stack(made, heads)
    high, wide = size if isinstance(size, list) else (size, size)
    if not class_token and not masked and made.chance(4):
        stack["attention"] |= made.pick(
            {"relative": True}, {"mask": {"grid_window": 2, "edge": "padded"}}, {"mask": {"grid_window": 1}}
        )
        for other in ("softcap", "sinks") if "relative" in stack["attention"] else ():
            stack["attention"].pop(other, None)
    output = {} if plain else _output(made, class_token, _count(stack))
    name = made.node(
        "encoder/vit",
        reads,
        image={"size": size, **made.maybe(channels=lambda: 3)},
        patch={"size": 4, **made.maybe(bias=made.chance)},
        position=made.pick("learned", "none", *(["bucketed"] if masked else [])),
        dim=dim,
        **stack,
        **({"class_token": True} if class_token else {}),
        **made.maybe(input_norm=made.chance, final_norm=made.chance),
        **({"output": output} if output else {}),
    )
    patches = (high // 4) * (wide // 4)
    whole = class_token and not output.get("drop_cls")
    grid = None if whole else (high // 4, wide // 4)
    tokens = patches + whole
    found = [Features(name, dim * len(output.get("layers", [0])), rows, tokens, grid)]
    return found + [Features(f"{name}.layer_{tap}", dim, rows, tokens, grid) for tap in output.get("taps", ())]


def _output(made: Growing, class_token: bool, count: int) -> Plain:
    found: Plain = {}
    if made.chance(3):
        found["layer"] = made.pick(-2, -1, 0, 1)
    elif made.chance(4):
        found["layers"] = made.pick([-2, -1], [1, 0, -1])
    if class_token and made.chance():
        found["drop_cls"] = True
    if made.chance(5):
        found["norm"] = made.chance()
    if made.chance(4):
        found["taps"] = made.pick([1], [count], [1, count] if count > 1 else [1])
    return found


def image_stack(made: Growing) -> list[Features]:
    """Images in stacks, with a mask of their pixels or cut into tiles."""
    size = 8
    if made.chance():
        stack, sizes = made.input("stack", "stack"), made.input("image_sizes", "sizes")
        reads = {"stack": stack, "sizes": sizes}
        if made.chance(3):
            reads["counts"] = made.input("image_counts", "counts")
        size = 16  # so that the flattest image that tests have is a row high
        resolutions = made.pick([[16, 32], [32, 32]], [[16, 16], [32, 16], [48, 16]])
        name = made.node("encoder/image_stack", reads, tiling={"size": size, "resolutions": resolutions})
        found = _vit(made, name, size, rows=f"in {name}", plain=made.chance())
        return [Features(f.ref, f.dim, f.rows, f.tokens, f.grid, cut=name, sizes=sizes) for f in found]
    stack = made.input("stack", "stack")
    if made.chance():
        name = made.node("encoder/image_stack", stack)
        return _vit(made, name, size, rows=f"in {name}")
    reads = {"stack": stack, "stack_mask": made.input("stack_mask", "stack_mask")}
    name = made.node("encoder/image_stack", reads)
    return _vit(made, {"image": name, "pixel_mask": f"{name}.pixel_mask"}, size, rows=f"in {name}", masked=True)


def video(made: Growing) -> list[Features]:
    """Frames of videos, as many images."""
    name, size = made.input("video", "video"), made.pick(8, 16)
    frames = made.node("encoder/video_frames", name)
    found = _vit(made, frames, size, rows=f"in {frames}", plain=made.chance())
    return [replace(each, video=name) for each in found]


def video_vit(made: Growing) -> list[Features]:
    """Videos of so many frames, whose patches see all others, those of their frame, or those at their place."""
    name, heads, frames = made.input("video", "video"), made.pick(2, 4), made.pick(2, 3)
    dim, own, class_token = heads * made.pick(4, 6), {}, made.chance()
    stack = _stack(made, heads, order=False)
    if made.chance():
        stack["attention"]["mask"] = made.pick("frame", "place")
    if made.chance() and not isinstance(stack["layers"], dict):
        own = {"time": {"op": "attention", "heads": heads, "mask": "place", **made.maybe(out_maps=lambda: 2)}}
        stack["layers"] = {"count": stack["layers"], "each": ["time", "attn", "mlp"]}
    vit = made.node(
        "encoder/video_vit",
        name,
        image={"size": [8, 12]},
        frames=frames,
        patch={"size": 4, **made.maybe(bias=made.chance)},
        dim=dim,
        **stack,
        **({"sublayers": own} if own else {}),
        **({"class_token": True} if class_token else {}),
        **made.maybe(final_norm=made.chance),
    )
    return [Features(vit, dim, f"of {name}", 6 * frames + class_token)]


def native_vit(made: Growing) -> list[Features]:
    """A tower for images of any size, whose patches are given."""
    group, frames = made.pick(2, 1), made.pick(None, 2)
    reads = {"patches": made.input("patches", "patches"), "grid": made.input("grid", "grid")}
    return _native(made, reads, {"size": 4, "group": group, **({"frames": frames} if frames else {})})


def upper_tower(made: Growing, source: Features) -> Features | None:
    """A tower over features that stand row by row, with the grid of their images."""
    if not source.measured or source.group > 1 or source.frames > 1 or source.tokens == "merged":
        return None
    reads = {"features": source.ref, "grid": source.measured}
    return replace(source, **{key: getattr(_native(made, reads, {})[-1], key) for key in ("ref", "dim")})


def _native(made: Growing, reads: Plain, patch: Plain) -> list[Features]:
    heads, stack = made.pick(2, 4), None
    dim = heads * made.pick(4, 8)
    stack = _stack(made, heads)
    if made.chance():
        stack["attention"]["mask"] = made.pick("frame", "image", {"grid_window": 2 * patch.get("group", 1)})
    for entry in stack["layers"].get("where", []) if isinstance(stack["layers"], dict) else []:
        entry.get("attention", {}).pop("head_dim", None)
    stack["attention"].pop("head_dim", None)
    learned = {
        "type": "learned",
        "side": made.pick(3, 4),
        **made.maybe(
            interpolation=lambda: made.pick("bilinear", "bicubic"), align=lambda: made.pick("centers", "corners")
        ),
    }
    if made.chance(3):
        learned = {"type": "learned", "side": 5, "interpolation": "nearest"}
    turned = {
        "type": "rope2d",
        **made.maybe(
            theta=lambda: 500.0,
            order=lambda: made.pick("rows", "turns"),
            frequencies=lambda: made.pick("same", "between"),
        ),
    }
    count = _count(stack)
    taps = made.pick([], [], [1], [1, count] if count > 1 else [1])
    alone = not taps and not patch.get("frames") and "mask" not in stack["attention"]
    own = made.maybe(class_token=lambda: True) if alone else {}
    name = made.node(
        "encoder/native_vit",
        reads,
        **({"patch": patch | made.maybe(bias=made.chance, norm=made.chance)} if patch else {}),
        position=made.pick(turned, "none", learned, [turned, learned]),
        dim=dim,
        **stack,
        **own,
        **made.maybe(final_norm=made.chance, input_norm=made.chance),
        **({"output": {"taps": taps}} if taps else {}),
    )
    rows, measured = f"of {name}", str(reads["grid"])
    found = [name, *(f"{name}.layer_{tap}" for tap in taps)]
    return [Features(ref, dim, rows, "patches", None, patch.get("group", 1), measured) for ref in found]


def patches(made: Growing) -> list[Features]:
    """Images of different sizes, cut into patches for a tower of native resolution."""
    group = made.pick(1, 2)
    reads = {"image": made.input("padded_pixels", "image"), "sizes": made.input("image_sizes", "sizes")}
    name = made.node("encoder/patches", reads, patch={"size": 7, "group": group})
    return _native(made, {"patches": name, "grid": f"{name}.grid"}, {"size": 7, "group": group})


def tiled_vit(made: Growing) -> list[Features]:
    """A tower over tiles of images."""
    heads, stack = made.pick(2, 4), None
    dim, stack = heads * 4, _stack(made, heads)
    count = _count(stack)
    behind = made.pick(0, 1)
    taps = made.pick([], [0], [0, 1]) if count - behind > 1 else []
    reads = {"tiles": made.input("tiles", "tiles"), "tile_grid": made.input("tile_grid", "tile_grid")}
    name = made.node(
        "encoder/tiled_vit",
        reads,
        image={"size": 8},
        tiles=made.pick(2, 4),
        patch={"size": 4, **made.maybe(bias=made.chance)},
        dim=dim,
        **stack,
        **made.maybe(multiple=lambda: 4, taps=lambda: taps),
        global_layers=behind,
    )
    wide = dim * (1 + len(made.nodes[name].get("taps", [])))
    return [Features(name, wide, "batch", f"tokens of {name}")]


def audio(made: Growing) -> list[Features]:
    """Clips of sound."""
    heads = made.pick(2, 4)
    dim, frames = heads * 4, made.pick(12, None)
    sound, masked = made.input("sound", "audio"), made.chance()
    reads: Any = sound
    if masked:
        reads = {"audio": sound, "mask": made.input("sound_mask", "mask")}
    strides = made.pick([1, 2], [2], [1])
    pool = made.pick(None, {"type": "mean", "size": 2}, {"type": "concat", "size": 2})
    if pool and made.chance():
        pool["place"] = made.pick("before_norm", "after_norm")
    name = made.node(
        "encoder/audio",
        reads,
        audio={"bins": 6, **({"frames": frames} if frames else {})},
        front={"strides": strides, **made.maybe(kernel=lambda: 5, bias=made.chance, activation=lambda: "relu")},
        position=made.pick("none", *([{"type": "sincos"}] if frames else []), *(["learned"] if frames else [])),
        dim=dim,
        **_stack(made, heads),
        **made.maybe(final_norm=made.chance),
        **({"pool": pool} if pool else {}),
    )
    wide = dim * 2 if pool and pool["type"] == "concat" else dim
    tokens: int | str = f"tokens of {name}"
    if frames:
        tokens = frames // (2 if 2 in strides else 1) // (2 if pool else 1)
    return [Features(name, wide, f"of {sound}", tokens, mask=f"{name}.mask" if masked else "")]


def given(made: Growing) -> list[Features]:
    """Features that somebody else made."""
    dim, tokens = made.pick(12, 16), made.pick(None, 4)
    name = made.input("feats", {"type": "features", "dim": dim, **({"tokens": tokens} if tokens else {})})
    made.loose.append(name)
    return [Features(name, dim, f"of {name}", tokens or f"tokens of {name}", (2, 2) if tokens else None)]


def other_text(made: Growing) -> list[Features]:
    """Embeddings of a text of its own, read as features."""
    ids, dim = made.input("other_ids", "tokens"), made.pick(12, 16)
    name = made.node("encoder/token_embedding", ids, vocab=VOCAB, dim=dim)
    return [Features(name, dim, f"rows of {ids}", f"seq of {ids}")]


def transformer(made: Growing) -> list[Features]:
    """An encoder of a text of its own."""
    ids, heads = made.input("other_ids", "tokens"), made.pick(2, 4)
    dim = heads * made.pick(4, 6)
    words = made.node("encoder/token_embedding", ids, vocab=VOCAB, dim=dim)
    position = made.pick("none", "learned", {"type": "rope", "theta": 500.0})
    name = made.node(
        "encoder/transformer",
        words,
        max_tokens=MAX_TOKENS,
        dim=dim,
        position=position,
        **_stack(made, heads, rope=isinstance(position, dict)),
        **made.maybe(input_norm=made.chance, final_norm=made.chance),
    )
    return [Features(name, dim, f"rows of {ids}", f"seq of {ids}")]
