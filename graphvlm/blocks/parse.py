"""From the settings of a node to a `Stack`: defaults filled in, layers grouped into kinds, the arithmetic checked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..component import Inferred
from ..diagnostics import Label
from ..merging import merge
from ..problems import Problems
from ..settings import Settings
from ..tree import Tree
from .parse_attention import parse_attention
from .parse_linear import check_unread, is_linear, parse_linear
from .parse_mlp import parse_mlp
from .parse_norm import check_residual, make_norm, make_residual, norm_place, norm_settings, parse_norm
from .rope import parse_rope
from .settings import Attention, Delta, LayerKind, Op, Rope, Stack, Sublayer

__all__ = ["layer_count", "parse_norm", "parse_stack"]

_USUAL = ["attn", "mlp"]
_SETTINGS_OF = {"attn": "attention", "mlp": "mlp"}


def layer_count(settings: Settings) -> int:
    """How many layers a node asks for."""
    layers = settings.get("layers")
    return int(layers["count"] if isinstance(layers, dict) else layers)


@dataclass(slots=True)
class _Found:
    """What the layers of a stack come down to, as they are parsed; what is equal is kept once.

    Of each kind of layer it holds the entries of `where` that first made it.
    """

    kinds: list[tuple[LayerKind, tuple[int, ...]]] = field(default_factory=list)
    rotary: list[Rope] = field(default_factory=list)

    def rope(self, rope: Rope | None) -> int | None:
        """The number of these rotary positions."""
        if rope is None:
            return None
        if rope not in self.rotary:
            self.rotary.append(rope)
        return self.rotary.index(rope)

    def kind(self, kind: LayerKind, entries: tuple[int, ...]) -> int:
        """The number of this kind of layer."""
        known = [each for each, _ in self.kinds]
        if kind not in known:
            self.kinds.append((kind, entries))
            known.append(kind)
        return known.index(kind)


@dataclass(frozen=True, slots=True)
class _Layer:
    """The settings of one layer, with what `where` says of it merged in, and what it takes to parse them."""

    settings: Settings
    inferred: Inferred
    mlp_bias: bool
    max_tokens: int
    grid: bool
    problems: Problems


def parse_stack(
    settings: Settings,
    inferred: Inferred,
    *,
    mlp_bias: bool,
    problems: Problems,
    max_tokens: int = 0,
    grid: bool = False,
) -> Stack | None:
    """The stack of a node, or None if something in it is wrong (and noted); `grid` if its tokens are patches of images
    whose places are known."""
    entries = [Settings(tree) for tree in _where(settings)]
    found = _Found()
    parsed: dict[tuple[int, ...], int | None] = {}
    layers: dict[tuple[int, ...], Settings] = {}
    chosen = _entries_by_layer(entries, layer_count(settings), settings, inferred, problems)
    for key in chosen:
        if key not in parsed:
            tree = settings.tree
            for index in key:
                tree = merge(tree, entries[index].tree)
            layers[key] = Settings(tree)
            groups = _groups(_Layer(layers[key], inferred, mlp_bias, max_tokens, grid, problems), found)
            parsed[key] = None if groups is None else found.kind(LayerKind("", groups), key)
    sources = [(settings, list(layers.values()))]
    sources += [(entry, [layers[key] for key in layers if index in key]) for index, entry in enumerate(entries)]
    check_unread(inferred.node, sources, problems)
    order = [kind for key in chosen if (kind := parsed[key]) is not None]
    return _ordered(found, order, inferred.sizes["dim"], entries) if len(order) == len(chosen) else None


def _ordered(found: _Found, order: list[int], dim: int, entries: list[Settings]) -> Stack:
    """The stack. The kind that no entry of `where` made is the usual one: it comes first and needs no name."""
    names: list[str] = []
    for _, key in found.kinds:
        name = "_".join(str(entries[i].get("name", default=f"variant_{i + 1}")) for i in key)
        names.append(_unused(name, names))
    usual = next((index for index, name in enumerate(names) if not name), 0)
    places = [usual, *(index for index in range(len(names)) if index != usual)]
    kinds = tuple(replace(found.kinds[place][0], name=names[place]) for place in places)
    stack = Stack(dim, kinds, tuple(places.index(index) for index in order), tuple(found.rotary))
    # The rotary positions of the usual kind come first too.
    ropes = list(dict.fromkeys(each.rope for each in stack.attentions if each.rope is not None))
    rotary = tuple(found.rotary[rope] for rope in ropes)
    return replace(stack.map_ops(lambda op: _renumbered(op, ropes)), rotary=rotary)


def _renumbered(op: Op, ropes: list[int]) -> Op:
    """The operation with the number of its rotary positions in a new order."""
    if not isinstance(op, Attention) or op.rope is None:
        return op
    return replace(op, rope=ropes.index(op.rope))


def _unused(name: str, taken: list[str]) -> str:
    """`name`, with a number where another kind of layer is called so already."""
    number = 2
    found = name
    while name and found in taken:
        found, number = f"{name}_{number}", number + 1
    return found


def _groups(layer: _Layer, found: _Found) -> tuple[tuple[Sublayer, ...], ...] | None:
    """The sublayers of a layer, those that read the same in one group; None if something in them is wrong."""
    settings = layer.settings
    attention = _attention(layer, found)
    mlp = parse_mlp(settings.child("mlp"), layer.inferred.node, bias=layer.mlp_bias, problems=layer.problems)
    if attention is None or mlp is None or not _check_grid(layer, attention):
        return None
    ops: dict[str, Op] = {"attn": attention, "mlp": mlp}
    order = _each(layer)
    if order is None:
        return None
    for name in ops:
        check_residual(settings, _SETTINGS_OF[name], layer.inferred.node, layer.problems)
    groups = tuple(tuple(_sublayer(name, ops[name], settings) for name in group) for group in order)
    return groups if _check_places(layer, groups) else None


def _check_grid(layer: _Layer, attention: Attention | Delta) -> bool:
    """Whether a mask over the places of patches stands where these are known."""
    if layer.grid or isinstance(attention, Delta) or attention.grid is None:
        return True
    layer.problems.error(
        "bad-mask",
        f"`mask` of `{layer.inferred.node}` goes by frames and windows of images, and this node is not given a grid",
        layer.settings.span("attention", "mask"),
        help="remove `mask`, or encode the images with `type: native_vit`",
    )
    return False


def _attention(layer: _Layer, found: _Found) -> Attention | Delta | None:
    """The attention of a layer, with its rotary positions unless it is linear."""
    own, norm = layer.settings.child("attention"), parse_norm(layer.settings, "norm")
    if is_linear(layer.settings):
        return parse_linear(own.child("linear"), layer.inferred, norm, layer.problems)
    attention = parse_attention(own, layer.inferred, norm, layer.problems)
    if attention is None:
        return None
    rope = parse_rope(layer.settings, layer.inferred, attention, layer.max_tokens, layer.problems)
    return replace(attention, rope=found.rope(rope))


def _each(layer: _Layer) -> list[list[str]] | None:
    """The names of a layer's sublayers in groups; every one must be there, once."""
    settings, layers = layer.settings, layer.settings.get("layers")
    usual = layers.get("each", _USUAL) if isinstance(layers, dict) else _USUAL
    groups = [[item] if isinstance(item, str) else item for item in settings.get("each", default=usual)]
    names = [name for group in groups for name in group]
    if sorted(names) == sorted(_SETTINGS_OF):
        return groups
    twice = next((name for name in names if names.count(name) > 1), None)
    missing = next((name for name in _SETTINGS_OF if name not in names), "")
    layer.problems.error(
        "bad-each",
        f"`each` of `{layer.inferred.node}` names `{twice}` twice"
        if twice
        else f"`each` of `{layer.inferred.node}` leaves `{missing}` out",
        settings.span("each") if settings.has("each") else settings.span("layers", "each"),
        help="write `[attn, mlp]`, or `[[attn, mlp]]` for both on the same input",
    )
    return None


def _sublayer(name: str, op: Op, settings: Settings) -> Sublayer:
    """An operation with its norm and residual: those of the layer, with its own over them."""
    own = _SETTINGS_OF[name]
    norm = norm_settings(settings.get("norm", default="rms"), settings.get(own, "norm"))
    residual = make_residual(settings.get("residual"), settings.get(own, "residual"))
    return Sublayer(name, op, make_norm(norm), norm_place(norm), residual)


def _check_places(layer: _Layer, groups: tuple[tuple[Sublayer, ...], ...]) -> bool:
    """Whether every norm can stand where it should; the first that cannot is noted."""
    sublayer, why, edit = next(filter(None, map(_misplaced, groups)), (None, "", ""))
    if sublayer is None:
        return True
    own = (_SETTINGS_OF[sublayer.name], "norm", "place")
    place = own if layer.settings.has(*own) else ("norm", "place")
    layer.problems.clash(
        "bad-norm-place",
        f"`place` of the norm of `{sublayer.name}` of `{layer.inferred.node}` {why}",
        Label(layer.settings.span(*place), f"`{sublayer.place}`"),
        *layer.settings.labels("layers", "each", text="the sublayers"),
        help=edit,
    )
    return False


def _misplaced(group: tuple[Sublayer, ...]) -> tuple[Sublayer, str, str] | None:
    """The first sublayer whose norm cannot stand where it should: (it, why, an edit)."""
    for index, sublayer in enumerate(group):
        if sublayer.place == "shared" and (index == 0 or group[0].place not in ("pre", "sandwich")):
            why = "is `shared`, and no sublayer stands before it in the same brackets with a norm to share"
            return sublayer, why, "write `each: [[attn, mlp]]`, and `shared` for the second alone"
        if sublayer.place == "post" and len(group) > 1:
            return sublayer, "is `post`, and sublayers in brackets have one sum together", "write `place: pre`"
    return None


def _where(settings: Settings) -> tuple[Tree, ...]:
    found = settings.tree.get("layers", "where")
    return found.elements() if found else ()


def _entries_by_layer(
    entries: list[Settings], count: int, settings: Settings, inferred: Inferred, problems: Problems
) -> list[tuple[int, ...]]:
    """For each layer, the indices of the entries that say something about it."""
    chosen: list[list[int]] = [[] for _ in range(count)]
    for index, entry in enumerate(entries):
        wanted, key = _layers_of(entry, count)
        outside = [layer for layer in wanted if not 0 <= layer < count]
        if outside or not wanted:
            what = f"names layer {outside[0]}" if outside else f"names no layer: `{key}: {entry.get(key)}`"
            problems.clash(
                "no-such-layer",
                f"`layers.where` of `{inferred.node}` {what}; there are {count} layers, 0 to {count - 1}",
                Label(entry.span(key), "no such layer" if outside else "no layer"),
                *(settings.labels("layers", "count", text=f"{count} layers")),
                help=_EDITS[key].format(last=count - 1, count=count),
            )
            continue
        for layer in wanted:
            chosen[layer].append(index)
    return [tuple(indices) for indices in chosen]


_EDITS = {
    "at": "use numbers from 0 to {last}",
    "range": "write `[first, end]` with first < end, and end at most {count}",
    "from": "use a number from 0 to {last}",
}


def _layers_of(entry: Settings, count: int) -> tuple[range | list[int], str]:
    """The layers that an entry names, and the key that names them."""
    if entry.has("every"):
        return range(entry.get("from", default=0), count, entry.get("every")), "from"
    if entry.has("range"):
        return range(*entry.get("range")), "range"
    return entry.get("at", default=[]), "at"
