"""From the settings of a node to a `Stack`: defaults filled in, layers grouped into kinds, the arithmetic checked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..diagnostics import Label
from ..merging import merge
from ..problems import Problems
from ..settings import Settings
from ..spec import Inferred
from ..tree import Tree
from .layer import Layer, path_of
from .parameters import Parameter, copies, shared_layers
from .parameters import stack as weights_of
from .parse_index import check_choices, with_index
from .parse_linear import check_unread
from .parse_norm import parse_norm
from .parse_scopes import check_parted
from .parse_square import Square
from .parse_sublayers import check_ports, check_skip, parse_sublayers, read_order, sublayer_names
from .rope import parse_rope
from .segments import check_scopes, read_segments
from .settings import Attention, LayerKind, Op, Stack, Sublayer
from .settings_position import Rope

__all__ = ["layer_count", "parse_norm", "parse_stack"]


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


def parse_stack(
    settings: Settings,
    inferred: Inferred,
    *,
    mlp_bias: bool,
    problems: Problems,
    max_tokens: int = 0,
    causal: bool = False,
    grid: bool = False,
    square: Square | None = None,
    video: bool = False,
) -> Stack | None:
    """The stack of a node, or None if something in it is wrong (and noted); `grid` if its tokens are patches of images
    whose places are known, `square` are the rows and columns of those of one size; `video` if they are of frames."""
    if not check_scopes(inferred.node, settings, problems):
        return None
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
            layer = Layer(layers[key], inferred, mlp_bias, max_tokens, causal, grid, square, problems, video)
            groups = _groups(layer, found)
            parsed[key] = None if groups is None else found.kind(LayerKind("", groups), key)
    for index, entry in enumerate(entries):
        check_unread(inferred.node, entry, [layers[key] for key in layers if index in key], problems)
    order = [kind for key in chosen if (kind := parsed[key]) is not None]
    if len(order) < len(chosen) or not _check_used(found, settings, inferred.node, problems):
        return None
    if not check_ports([kind for kind, _ in found.kinds], settings, inferred.node, problems):
        return None
    stack = _ordered(found, order, inferred.sizes["dim"], entries)
    check_choices(stack, [layers[key] for key in chosen], inferred.node, problems)
    return _with_shared(replace(stack, segments=read_segments(settings)), settings, inferred.node, problems)


def _with_shared(stack: Stack, settings: Settings, node: str, problems: Problems) -> Stack | None:
    """The stack with what its layers have together; modules that they do not have, or in other shapes, are noted."""
    written = settings.tree.get("layers", "share")
    if written is None:
        return stack
    found = replace(stack, shared=tuple((module, int(count.plain())) for module, count in written.items()))
    whole = [*weights_of(found), *copies(found)]
    for module, runs in shared_layers(found).items():
        if runs and all(_alike(whole, module, run) for run in runs):
            continue
        why = "and these have other shapes in one layer than in the next" if runs else "and no layer has that"
        edit = "give the layers of a run the same sizes" if runs else "write a module of a layer, such as `cross.wk`"
        message = f"layers of `{node}` have the weights of `{module}` together, {why}"
        problems.error("bad-share", message, written.key_span(module), help=edit)
        return None
    return found


def _alike(weights: list[Parameter], module: str, run: tuple[int, ...]) -> bool:
    """Whether a module has the same parameters in all layers of a run."""
    stems = [f"layers.{layer}.{module}." for layer in run]
    found = [{each.path.removeprefix(s): each.shape for each in weights if each.path.startswith(s)} for s in stems]
    return all(each == found[0] for each in found)


def _check_used(found: _Found, settings: Settings, node: str, problems: Problems) -> bool:
    """Whether some layer runs each sublayer that the node has."""
    run = {sublayer.name for kind, _ in found.kinds for sublayer in kind.sublayers}
    unused = next((name for name in sublayer_names(settings) if name not in run), None)
    if unused is None:
        return True
    problems.clash(
        "unused-sublayer",
        f"no layer of `{node}` runs `{unused}`",
        Label(settings.span(*path_of(unused)), "never run"),
        *settings.labels("layers", text="the layers"),
        help=f"name `{unused}` in `each` of some layers, or remove it",
    )
    return False


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


def _groups(layer: Layer, found: _Found) -> tuple[tuple[Sublayer, ...], ...] | None:
    """The sublayers of a layer, those that read the same in one group; None if something in them is wrong."""
    order = read_order(layer)
    if order is None:
        return None
    sublayers = parse_sublayers(layer, [name for group in order for name in group])
    if sublayers is None:
        return None
    for name, own in sublayers.items():
        if isinstance(own.op, Attention) and own.op.cross is None:
            rope = parse_rope(layer.settings, layer.inferred, own.op, layer.max_tokens, layer.problems)
            indexed = with_index(own.op, rope, layer)
            if indexed is None:
                return None
            sublayers[name] = replace(own, op=replace(indexed, rope=found.rope(rope)))
    groups = tuple(tuple(sublayers[name] for name in group) for group in order)
    checked = _check_places(layer, groups) and check_parted(layer, groups) and _check_joined(layer, groups)
    return groups if checked and all(check_skip(layer, group) for group in groups) else None


def _check_places(layer: Layer, groups: tuple[tuple[Sublayer, ...], ...]) -> bool:
    """Whether every norm can stand where it should; the first that cannot is noted."""
    sublayer, why, edit = next(filter(None, map(_misplaced, groups)), (None, "", ""))
    if sublayer is None:
        return True
    own = (*path_of(sublayer.name), "norm", "place")
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
        if sublayer.place == "shared" and (index == 0 or group[0].place not in ("pre", "sandwich", "post")):
            why = "is `shared`, and no sublayer stands before it in the same brackets with a norm to share"
            return sublayer, why, "write `each: [[attn, mlp]]`, and `shared` for the second alone"
        whole = index == 0 and all(each.place == "shared" and not each.scope for each in group[1:])
        if sublayer.place == "post" and len(group) > 1 and (not whole or sublayer.scope):
            edit = "write `place: shared` for all but the first, or `place: pre`"
            return sublayer, "is `post`, and sublayers in brackets have one sum together", edit
        if sublayer.place == "through" and len(group) > 1:
            return sublayer, "is `through`, and sublayers in brackets have one sum together", "write `place: pre`"
    return None


def _check_joined(layer: Layer, groups: tuple[tuple[Sublayer, ...], ...]) -> bool:
    """Whether results are put side by side where there are several, as the first in brackets says."""
    for group in groups:
        for index, sublayer in enumerate(group):
            scoped = any(each.scope for each in group)
            if not sublayer.residual.join or (index == 0 and len(group) > 1 and not scoped):
                continue
            own = (*path_of(sublayer.name), "residual", "join")
            layer.problems.error(
                "bad-join",
                f"`join` of `{sublayer.name}` of `{layer.inferred.node}` is of the results of all in brackets",
                layer.settings.span(*own) if layer.settings.has(*own) else layer.settings.span("residual", "join"),
                help="remove `scope`: those in brackets update the same tokens"
                if scoped
                else "write it for the first in the brackets of `each`, or remove it",
            )
            return False
    return True


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
