"""The overrides that make a node of a shipped graph tiny: odd widths, few layers, a vocabulary around placeholders."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from math import prod
from types import MappingProxyType
from typing import Any

from graphvlm.blocks.settings import Mlp
from graphvlm.components.decoder.transformer import Transformer
from graphvlm.components.encoder.audio import Audio
from graphvlm.components.encoder.first_token import FirstToken
from graphvlm.components.encoder.grid_positions import GridPositions
from graphvlm.components.encoder.image_stack import ImageStack
from graphvlm.components.encoder.native_vit import NativeVit
from graphvlm.components.encoder.patches import Patches
from graphvlm.components.encoder.tiled_vit import TiledVit
from graphvlm.components.encoder.transformer import Transformer as Encoder
from graphvlm.components.encoder.vit import Vit
from graphvlm.components.fusion.scatter import Scatter
from graphvlm.components.fusion.spread import Spread
from graphvlm.components.projector.conv import Conv
from graphvlm.components.projector.linear import Linear
from graphvlm.components.projector.mlp import MlpProjector
from graphvlm.components.projector.patch_merger import PatchMerger
from graphvlm.components.projector.pixel_shuffle import PixelShuffle
from graphvlm.components.projector.pool import Pool
from graphvlm.components.projector.transformer import Queries
from graphvlm.components.sampler.candidates import Candidates
from graphvlm.ir import Node

VOCAB = 101
PLACEHOLDER = 97
_HIDDEN = 44
LINEAR = "{key_heads: 2, value_heads: 4, key_dim: 6, value_dim: 10, conv: 3}"


def shrunk(node: Node) -> Iterator[str]:
    """The overrides of one node."""
    make = _SHRINK.get(type(node.spec)) if node.source == node.name else _call
    for line in make(node) if make else ():
        yield f"nodes.{node.name}{line}"


def _placeholders(node: Node) -> Iterator[str]:
    tree = node.tree.get("placeholder")
    placeholder = tree.plain() if tree else {}
    different = [*dict.fromkeys(placeholder.values())]
    for port, token in placeholder.items():
        yield f".placeholder.{port}={PLACEHOLDER - different.index(token)}"
    between = node.tree.get("between")
    for index, port in enumerate(between.plain() if between else ()):
        yield f".between.{port}={[PLACEHOLDER - 20 - 2 * index, PLACEHOLDER - 21 - 2 * index]}"
    marks = node.tree.get("marks")
    for port, ids in marks.plain().items() if marks else ():
        yield f".marks.{port}={[PLACEHOLDER - 10 - place for place, _ in enumerate(ids)]}"


def _vit(node: Node) -> Iterator[str]:
    assert isinstance(node.spec, Vit)
    side, layers = 6 if node.spec.bucketed or node.spec.rope else 3, "3"  # tokens of these are joined afterwards
    if node.spec.grid:
        side, layers = 4, "{where: [{name: whole, at: [2], attention: {mask: image}}], count: 3}"
        yield ".attention.mask.grid_window=3"
    yield f"={{dim: 24, layers: {layers}, image: {{size: {side * node.spec.patch}}}}}"
    yield from (".attention.heads=3", f".mlp.hidden={_HIDDEN}")
    deep = node.tree.get("output", "layers")
    if deep:
        yield f".output.layers={[(-2, 1)[index % 2] for index, _ in enumerate(deep.plain())]}"


def _stack(node: Node) -> Iterator[str]:
    """Tiles of three patches of 14."""
    if node.tree.get("tiling"):
        resolutions = ", resolutions: [[42, 84], [126, 84]]" if node.tree.get("tiling", "resolutions") else ""
        yield f".tiling={{size: 42{resolutions}}}"


def _native(node: Node) -> Iterator[str]:
    """Taps after the first layers, where they are few enough to be told apart."""
    assert isinstance(node.spec, NativeVit)
    taps = list(range(1, len(node.spec.taps) + 1))
    patch = ", patch: {size: 7, channels: 2}" if node.spec.patch else ""
    layers = "{count: 1}" if node.tree.get("layers", "each") else len(taps) + 2
    yield f"={{dim: 24, layers: {layers}{patch}, output: {{taps: {taps}}}}}"
    yield ".attention.heads=3"
    yield from [f".mlp.hidden={_HIDDEN}"] if node.tree.get("mlp") else []


def _patches(node: Node) -> Iterator[str]:
    yield ".patch={size: 7, channels: 2}"


def _tiled(node: Node) -> Iterator[str]:
    assert isinstance(node.spec, TiledVit)
    yield f"={{dim: 24, tiles: 2, image: {{size: {3 * node.spec.patch}}}}}"
    yield from few_layers(node)
    yield from (".attention.heads=3", f".mlp.hidden={_HIDDEN}")
    yield from (".sublayers.global_attn.heads=3", f".sublayers.global_mlp.hidden={_HIDDEN}")


def few_layers(node: Node) -> Iterator[str]:
    """As few layers as show all of their kinds, where `where` gives some of them other sublayers."""
    where = node.tree.get("layers", "where")
    if not node.tree.get("sublayers") or where is None:
        return
    (entry,) = where.plain()
    last = 2 if isinstance(node.spec, TiledVit) else 1
    yield f".layers={{count: 3, where: [{{at: [{last}], each: [{', '.join(entry['each'])}]}}]}}"
    if isinstance(node.spec, TiledVit):
        yield "={global_layers: 1, taps: [0, 1]}"


def _crossed(node: Node) -> Iterator[str]:
    """Attention over a port in one of the layers."""
    sublayers = node.tree.get("sublayers")
    for name, settings in sublayers.plain().items() if sublayers else ():
        small = "{heads: 3, kv_heads: 1}" if settings["op"] == "attention" else "{hidden: 20}"
        yield f".sublayers.{name}={small}"


def _call(node: Node) -> Iterator[str]:
    """What calls a merger of a tap reads another; ranges of layers are those of a stack of four in two halves."""
    if layers := node.tree.get("call", "layers"):
        yield f".layers={[{0: 0, 6: 2, 12: 4}[place] for place in layers.plain()]}"
    if isinstance(node.spec, PatchMerger) and node.inputs["features"].port != "features" and not node.spec.rows:
        yield f".inputs={node.inputs['features'].name}.layer_{node.name[-1]}"


def _merger(node: Node) -> Iterator[str]:
    """The mergers of taps end in the number of theirs."""
    yield from _call(node)
    yield f".out={24 if node.spec.resolved()['out'] == node.spec.resolved()['in'] else 48}"
    yield from [f".hidden={_HIDDEN}"] if node.tree.get("hidden") else []


def _projector(node: Node) -> Iterator[str]:
    yield from (f".{key}={size}" for key, size in (("hidden", _HIDDEN), ("out", 48)) if node.tree.get(key))


def _pool(node: Node) -> Iterator[str]:
    """Towers of images of one size have three rows of patches: one token of all, or two rows."""
    yield ".window=3" if node.tree.get("window") else ".tokens=4"


def _shuffle(node: Node) -> Iterator[str]:
    yield "={factor: 2, grid: [3, 3]}" if node.tree.get("remainder") else ".factor=3"


def _conv(node: Node) -> Iterator[str]:
    """As many of the same kernels and strides; stretched to four times the rows of a small tower."""
    assert isinstance(node.spec, Conv)
    kernels = ", ".join(f"{{kernel: {each.kernel}, stride: {each.stride}}}" for each in node.spec.convolutions)
    yield f"={{out: 40, convolutions: [{kernels}]}}"
    yield from [".resize=[12, 12]"] if node.spec.resized else []


def _queries(node: Node) -> Iterator[str]:
    """Two layers; as wide as the text where keys of the tokens stand beside those of what they read."""
    assert isinstance(node.spec, Queries)
    joined = any(cross.own for cross in node.spec.layers.crossed)
    yield f"={{dim: {48 if joined else 40}, segments: {{{node.spec.segment}: {{learned: 4}}}}, layers: {{count: 2}}}}"
    yield from [".attention.heads=4"] if node.tree.get("attention") else []
    yield from [f".mlp.hidden={_HIDDEN}"] if node.tree.get("mlp") else []
    for name, own in node.tree.plain()["sublayers"].items():
        heads = {"heads": 4, "kv_heads": 2, "head_dim": 10}
        small = heads if own["op"] == "attention" else {"hidden": _HIDDEN}
        kept = ", ".join(f"{key}: {small[key]}" for key in small if key in own)
        yield f".sublayers.{name}={{{kept}}}"


def _audio(node: Node) -> Iterator[str]:
    assert isinstance(node.spec, Audio)
    tokens = node.spec.pool.size * 3 if node.spec.pool else 6
    yield f"={{dim: 24, layers: 2, audio: {{bins: 10, frames: {tokens * prod(node.spec.strides)}}}}}"
    yield from (".attention.heads=3", f".mlp.hidden={_HIDDEN}")


def _encoder(node: Node) -> Iterator[str]:
    layers, sublayers = node.tree.get("layers"), node.tree.get("sublayers")
    count = "{count: 3}" if layers and layers.is_mapping else 2
    if layers and layers.get("where"):
        run = ", run: [0, 2]" if layers.get("run") else ""
        count = f"{{count: 4{run}, where: [{{name: fusion, range: [2, 4], each: [attn, cross, mlp]}}]}}"
    yield f"={{vocab: {VOCAB}, dim: 48, layers: {count}, max_tokens: 192}}"
    yield from (".attention.heads=3", f".mlp.hidden={_HIDDEN}")
    yield from (f".sublayers.{name}.heads=4" for name, _ in (sublayers.items() if sublayers else ()))


def _first_token(node: Node) -> Iterator[str]:
    yield ".token=5"


def _period(node: Node) -> str:
    """Four layers, of which the last is what `where` says of every eighth."""
    found = node.tree.get("layers", "where")
    entries: list[dict[str, Any]] = found.plain() if found else []
    if not any(entry.get("every", 0) > 4 for entry in entries):
        return "{count: 4}"
    (entry,) = entries
    return f"{{count: 4, where: [{json.dumps(entry | {'every': 4, 'from': 3})}]}}"


def _decoder(node: Node) -> Iterator[str]:
    spec = node.spec
    assert isinstance(spec, Transformer)
    if node.tie:  # to an encoder
        yield from _encoder(node)
        return
    kv_heads = 6 if all(each.kv_heads == each.heads for each in spec.layers.attentions) else 2
    layers = _period(node) if any(spec.layers.linear) else max(2, len(spec.inject))
    if node.tree.get("layers", "each"):
        layers = "{count: 2, where: null}"
    yield f"={{vocab: {VOCAB}, dim: 48, layers: {layers}, max_tokens: 192}}"
    if any(each.latent for each in spec.layers.attentions):
        ranks = "" if node.tree.get("attention", "latent", "q_rank") is None else "q_rank: 12, "
        sizes = f"{ranks}kv_rank: 16, nope_dim: 10, rope_dim: 8, value_dim: 14"
        yield f".attention={{heads: 6, latent: {{{sizes}}}}}"
    else:
        yield f".attention={{heads: 6, kv_heads: {kv_heads}, head_dim: 20}}"
    yield ".mlp.hidden=72"
    for rope in spec.layers.rotary:
        if rope.sections:
            yield f".position.sections={'[4, 3, 3]' if rope.whole else '[1, 2, 2]'}"
        if not rope.whole:
            yield f".position.dim={10 if rope.sections else 8}"
    if node.tree.get("position", "scaling", "short_factors"):
        short, long = [1 + pair / 8 for pair in range(10)], [2.0**pair for pair in range(10)]
        yield f".position.scaling={{original_max_tokens: 96, short_factors: {short}, long_factors: {long}}}"
    yield from few_layers(node)
    yield from _crossed(node)
    if any(spec.layers.linear):
        fading = node.tree.get("attention", "linear", "rule") is not None
        yield f".attention.linear={'{key_heads: 2, key_dim: 6}' if fading else LINEAR}"
    ops = [sublayer.op for kind in spec.layers.kinds for sublayer in kind.sublayers]
    if any(isinstance(op, Mlp) and op.moe for op in ops):
        yield f".mlp.moe={{experts: 5{'' if spec.layers.choosing else ', top: 2'}}}"
    for name, own in (node.tree.plain().get("sublayers") or {}).items():
        if own["op"] == "mlp" and not spec.layers.choosing:
            yield f".sublayers.{name}.hidden={_HIDDEN}"
            yield from [f".sublayers.{name}.moe={{experts: 5, top: 2}}"] if "moe" in own else []


_SHRINK: Mapping[type, Callable[[Node], Iterator[str]]] = MappingProxyType(
    {
        **dict.fromkeys((Scatter, Spread, GridPositions), _placeholders),
        **dict.fromkeys((Linear, MlpProjector), _projector),
        Conv: _conv,
        Pool: _pool,
        PixelShuffle: _shuffle,
        Vit: _vit,
        ImageStack: _stack,
        TiledVit: _tiled,
        NativeVit: _native,
        Patches: _patches,
        PatchMerger: _merger,
        Queries: _queries,
        Audio: _audio,
        Encoder: _encoder,
        FirstToken: _first_token,
        Candidates: lambda _: iter((".top=3",)),
        Transformer: _decoder,
    }
)
