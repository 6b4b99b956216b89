"""Projectors for the table of parts: each says which features it takes and what becomes of them."""

from __future__ import annotations

from dataclasses import replace

from ..block_strategies import ACTIVATIONS, Plain, attention, norm
from ..block_strategies import mlp as feed_forward
from .flow import Features, Growing, through


def linear(made: Growing, source: Features) -> Features:
    out = made.pick(12, 16, 18)
    name = made.node("projector/linear", source.ref, **_sizes(made, source, out), **_linear(made))
    return through(source, name, out)


def module(made: Growing, source: Features) -> Features | None:
    """A module of torch as one of somebody's own."""
    if not source.dim:
        return None
    out = made.pick(12, 16, 18)
    name = made.node(
        "projector/module",
        source.ref,
        target="torch.nn:Linear",
        arguments={"in_features": source.dim, "out_features": out, **made.maybe(bias=made.chance)},
        ports={
            "inputs": {"features": ["rows", "tokens", source.dim]},
            "outputs": {"features": ["rows", "tokens", out]},
        },
    )
    return through(source, name, out)


def mlp(made: Growing, source: Features) -> Features:
    out = made.pick(12, 16, 18)
    name = made.node("projector/mlp", source.ref, **_sizes(made, source, out), **_mlp(made))
    return through(source, name, out)


def fitting(made: Growing, source: Features) -> Features:
    """A projector that has to find out how wide it is."""
    if made.chance():
        return through(source, made.node("projector/linear", source.ref, **_linear(made)), 0)
    return through(source, made.node("projector/mlp", source.ref, **_mlp(made)), 0)


def _sizes(made: Growing, source: Features, out: int) -> Plain:
    return {"out": out, **({"in": source.dim} if made.chance() else {})}


def _norm(made: Growing) -> Plain | str:
    found: Plain | str = made.pick(
        "rms", "layer", {"type": "rms", "unit_offset": True}, {"type": "layer", "bias": False}
    )
    return found


def _linear(made: Growing) -> Plain:
    return made.maybe(bias=made.chance, out_norm=lambda: _norm(made), out_activation=lambda: made.pick(*ACTIVATIONS))


def _mlp(made: Growing) -> Plain:
    gated = made.chance(3)
    return made.maybe(
        **({"gated": lambda: True} if gated else {"layers": lambda: made.pick(2, 1, 3)}),
        norm=lambda: _norm(made),
        hidden=lambda: made.pick(14, 10),
        activation=lambda: made.pick(*ACTIVATIONS),
        bias=made.chance,
        out_norm=lambda: _norm(made),
    )


def _square(source: Features) -> bool:
    return source.grid is not None and source.grid[0] == source.grid[1]


def _named_grid(made: Growing, source: Features) -> Plain:
    assert source.grid is not None
    return {} if _square(source) and made.chance() else {"grid": list(source.grid)}


def _even(source: Features) -> bool:
    return source.grid is not None and not any(side % 2 for side in source.grid)


def _halved(source: Features, ref: str, dim: int) -> Features:
    assert source.grid is not None
    high, wide = source.grid[0] // 2, source.grid[1] // 2
    return replace(source, ref=ref, dim=dim, tokens=high * wide, grid=(high, wide), cut="")


def pixel_shuffle(made: Growing, source: Features) -> Features | None:
    if source.grid is None:
        return None
    if not _even(source):
        high, wide = (-(-side // 2) for side in source.grid)
        numbers = made.maybe(numbers=lambda: made.pick("channels", "tokens"))
        name = made.node("projector/pixel_shuffle", source.ref, grid=list(source.grid), remainder="pad", **numbers)
        return replace(source, ref=name, dim=4 * source.dim, tokens=high * wide, grid=(high, wide), cut="")
    name = made.node("projector/pixel_shuffle", source.ref, **made.maybe(factor=lambda: 2), **_named_grid(made, source))
    return _halved(source, name, 4 * source.dim)


def codebook(made: Growing, source: Features) -> Features:
    out = made.pick(12, 16)
    choose = made.maybe(choose=lambda: made.pick("softmax", "argmax"))
    name = made.node("projector/codebook", source.ref, **_sizes(made, source, out), **choose)
    return through(source, name, out)


def pool(made: Growing, source: Features) -> Features | None:
    if source.grid is None:
        return None
    if _even(source) and made.chance():
        return _halved(
            source, made.node("projector/pool", source.ref, window=2, **_named_grid(made, source)), source.dim
        )
    side = made.pick(*range(1, min(source.grid) + 1))
    name = made.node("projector/pool", source.ref, tokens=side**2, **_named_grid(made, source))
    return replace(source, ref=name, tokens=side**2, grid=(side, side), cut="")


def conv(made: Growing, source: Features) -> Features | None:
    if source.grid is None:
        return None
    out, grid = made.pick(12, 16), source.grid
    settings = _named_grid(made, source)
    if made.chance(3):
        grid = (3, 2)
        settings |= {"grid": list(source.grid), "resize": list(grid)}
    convolutions = [{"kernel": made.pick(1, 3), **made.maybe(stride=lambda: made.pick(1, 2))}]
    if made.chance():
        convolutions.insert(0, {"kernel": 3, "out": 10})
    for each in convolutions:
        stride = int(each.get("stride", 1))
        grid = (-(-grid[0] // stride), -(-grid[1] // stride))
    if any(each.get("stride", 1) > 1 for each in convolutions):
        settings["grid"] = list(source.grid)
    more = made.maybe(norm=lambda: _norm(made), bias=made.chance)
    name = made.node("projector/conv", source.ref, out=out, convolutions=convolutions, **settings, **more)
    return replace(source, ref=name, dim=out, tokens=grid[0] * grid[1], grid=grid, cut="")


def patch_merger(made: Growing, source: Features) -> Features | None:
    if source.tokens == "merged" or (source.grid is None and not source.measured):
        return None
    if source.grid is not None and not _even(source):
        return None
    group = source.group if source.measured else made.pick(2, 1)
    reads: Plain | str = source.ref
    if source.measured and group == 1 and source.frames == 1 and made.chance() is False:
        group, reads = 2, {"features": source.ref, "grid": source.measured}
    out = made.pick(12, 16)
    layers = made.pick(2, 1, 3)
    order = made.pick("patches", "channels", *(["convolution"] if layers == 1 else []))
    settings = made.maybe(
        norm=lambda: norm_of_block(made),
        activation=lambda: made.pick(*ACTIVATIONS),
        bias=made.chance,
        out_norm=lambda: _norm(made),
        hidden=lambda: made.pick(14, 10),
    )
    if made.chance(4):
        out = source.dim
        settings["skip"] = "mean"
    if "norm" in settings and made.chance():
        settings["norm_over"] = made.pick("patch", "block")
    name = made.node("projector/patch_merger", reads, group=group, out=out, layers=layers, order=order, **settings)
    if isinstance(reads, dict):
        rows = f"{source.rows} in squares"
        return replace(source, ref=name, rows=rows, dim=out, tokens=f"of {name}", measured=f"{name}.grid")
    tokens: int | str = "merged" if source.measured else int(source.tokens) // group**2
    return replace(
        source, ref=name, dim=out, tokens=tokens, grid=None, group=1 if not source.measured else source.group
    )


def frame_merger(made: Growing, source: Features) -> Features | None:
    """Pairs of frames, or three; that of an image is taken twice."""
    if not source.measured or source.frames > 1:
        return None
    frames, group = made.pick(2, 3), source.group if source.tokens == "merged" else 1
    name = made.node(
        "projector/frame_merger",
        {"features": source.ref, "grid": source.measured},
        frames=frames,
        **({"group": group} if group > 1 else {}),
    )
    rows = f"{frames} frames of {source.rows}"
    return replace(source, ref=name, rows=rows, dim=frames * source.dim, frames=frames)


def norm_of_block(made: Growing) -> Plain | str:
    found = norm(made)
    if isinstance(found, dict):
        found.pop("place", None)
    return found  # type: ignore[no-any-return]


def tile_packing(made: Growing, source: Features) -> Features | None:
    """Tiles put together again; only what was cut from an image can be."""
    if not source.cut or source.grid is None:
        return None
    reads = {"features": source.ref, "grid": f"{source.cut}.grid"}
    settings = made.maybe(
        newline=made.chance, separator=made.chance, max_tiles=lambda: 2, whole=lambda: made.pick("first", "last")
    )
    if settings.get("newline", True) and made.chance(3):
        settings["newline_after"] = made.pick("all", "tiles")
    if made.chance():
        settings["unpad"] = False
    else:
        reads["sizes"] = source.sizes
    name = made.node("projector/tile_packing", reads, **settings)
    return Features(name, source.dim, f"one of {source.cut}", f"packed {name}")


def video_packing(made: Growing, source: Features) -> Features | None:
    """The frames of a video behind each other; behind them the newline of some tiles, perhaps."""
    if not source.video:
        return None
    lines = [
        name
        for name, node in made.nodes.items()
        if node.get("type") == "tile_packing" and node.get("newline", True) and made.chance()
    ]
    newline = {"newline": f"{lines[0]}.newline"} if lines else {}
    name = made.node("projector/video_packing", {"features": source.ref, "video": source.video, **newline})
    return Features(name, source.dim, f"of {source.video}", f"packed {name}")


def transformer(made: Growing, source: Features) -> Features | None:
    """Learned tokens that attend to those of an image."""
    heads = made.pick(2, 4)
    dim, count = heads * made.pick(4, 6), made.pick(3, 1)
    cross = {"op": "attention", "heads": heads, "kv": "image", **made.maybe(bias=made.chance, scale=lambda: 0.3)}
    each = made.pick(["cross", "mlp"], ["attn", "cross", "mlp"], ["cross", "attn", "mlp"])
    own = {"attention": attention(made, heads, decoder=False, rope=False)} if "attn" in each else {}
    name = made.node(
        "projector/transformer",
        {"image": source.ref},
        segments={"query": {"learned": count}},
        dim=dim,
        norm=norm(made),
        mlp=feed_forward(made),
        sublayers={"cross": cross},
        layers={"count": made.pick(1, 2), "each": each},
        **own,
        **made.maybe(input_norm=made.chance, final_norm=made.chance),
    )
    return Features(name, dim, source.rows, count)
