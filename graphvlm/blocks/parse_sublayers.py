"""The sublayers of one layer: which there are, in what order, and the settings of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..diagnostics import Label, Span
from ..dims import Dim, Var, Written
from ..names import reserved
from ..problems import Problems
from ..settings import Settings
from ..spec import Port
from ..words import listed, suggestion
from .layer import Layer, path_of
from .parse_attention import parse_attention
from .parse_grid import check_grid
from .parse_linear import is_linear, parse_linear
from .parse_mlp import parse_mlp
from .parse_norm import check_residual, make_norm, make_residual, norm_place, norm_settings
from .parse_square import on_square
from .segments import segment_names
from .settings import Attention, Cross, LayerKind, Mlp, Op, Sublayer

_USUAL = ["attn", "mlp"]


def sublayer_names(settings: Settings) -> tuple[str, ...]:
    """The names of all sublayers of a node or of a layer."""
    usual = (name for name in _USUAL if settings.has(*path_of(name)))
    return (*usual, *(name for name in settings.get("sublayers", default={}) if name not in _USUAL))


def read_order(layer: Layer) -> list[list[str]] | None:
    """The names of a layer's sublayers in groups; every one must be there, and none twice."""
    settings, layers = layer.settings, layer.settings.get("layers")
    usual = layers.get("each", _USUAL) if isinstance(layers, dict) else _USUAL
    groups = [[item] if isinstance(item, str) else item for item in settings.get("each", default=usual)]
    names, known = [name for group in groups for name in group], sublayer_names(settings)
    unknown = next((name for name in names if name not in known), None)
    twice = next((name for name in names if names.count(name) > 1), None)
    if unknown is None and twice is None:
        return groups
    node = layer.inferred.node
    layer.problems.error(
        "bad-each",
        f"`each` of `{node}` names `{twice}` twice" if unknown is None else f"`{node}` has no sublayer `{unknown}`",
        _span_of_each(settings),
        help="give a second one a name of its own under `sublayers`"
        if unknown is None
        else suggestion(unknown, known, "sublayer"),
    )
    return None


def _span_of_each(settings: Settings) -> Span:
    return settings.span("each") if settings.has("each") else settings.span("layers", "each")


def parse_sublayers(layer: Layer, names: list[str]) -> dict[str, Sublayer] | None:
    """Each sublayer of a layer; None if something in one is wrong. Rotary positions are set by the caller."""
    found = {name: _sublayer(name, op, layer) for name in names if (op := _op(name, layer)) is not None}
    if len(found) < len(names) or not _check_alone(found, layer):
        return None
    return found


def _check_alone(sublayers: Mapping[str, Sublayer], layer: Layer) -> bool:
    """Whether at most one of them is attention of the tokens to each other: a layer has one cache and one mask."""
    own = [name for name, each in sublayers.items() if not isinstance(each.op, Mlp) and not _port_of(each.op)]
    if len(own) <= 1 or layer.video:
        return True
    message = f"a layer of `{layer.inferred.node}` has {listed(own)}, and its tokens attend to each other once"
    edit = "put one of them into another layer, or let it read a port with `kv`"
    layer.problems.error("bad-each", message, _span_of_each(layer.settings), help=edit)
    return False


def _port_of(op: Op) -> str:
    return op.cross.port if isinstance(op, Attention) and op.cross else ""


def _op(name: str, layer: Layer) -> Op | None:
    own, node = layer.own(name), layer.inferred.node
    if name == "mlp" or own.get("op") == "mlp":
        mlp = parse_mlp(own, node, bias=layer.mlp_bias, problems=layer.problems)
        return None if mlp is None else replace(mlp, by=layer.by(own))
    norm = make_norm(norm_settings(layer.settings.get("norm", default="rms")))
    if name == "attn" and is_linear(layer.settings):
        return parse_linear(own.child("linear"), layer.inferred, norm, layer.problems)
    attention = parse_attention(own, layer.inferred, norm, layer.problems)
    if attention is None or not check_grid(layer, own, attention):
        return None
    attention = replace(attention, by=layer.by(own))
    if layer.video and attention.grid:
        attention = replace(attention, grid=replace(attention.grid, apart=True))
    if name == "attn" or not own.has("kv"):
        return on_square(attention, layer.settings, layer.inferred, layer.square, layer.problems)
    return replace(attention, cross=_cross(own, layer)) if _check_cross(name, own, layer) else None


def _cross(own: Settings, layer: Layer) -> Cross:
    port = port_of(own)
    width = layer.inferred.inputs[port].shape[-1]
    assert isinstance(width, int)
    normed = own.get("kv_norm", default="none")
    visible, present = own.get("mask", "visible", default=""), own.get("mask", "present", default="")
    each = not visible and not present and mask_of(port) in layer.inferred.inputs
    present = mask_of(port) if each else present
    return Cross(
        port,
        width,
        visible=visible,
        present=present,
        each=each,
        norm=None
        if normed == "none"
        else make_norm(norm_settings(layer.settings.get("norm"), own.get("norm"), normed)),
        own=_joined(own),
        placed=_placed(layer.settings.get("position")),
    )


def _placed(position: Any) -> Literal["", "keys", "both"]:
    """Whether keys, and queries, have fixed positions."""
    if not isinstance(position, dict) or position.get("type") != "sincos":
        return ""
    return "keys" if position.get("of") == "keys" else "both"


def port_of(own: Settings) -> str:
    """The port that the keys of a sublayer come from; empty if they are of its own tokens alone."""
    ports = own.get("kv", "concat") if _joined(own) else [own.get("kv", default="")]
    return str(next((port for port in ports if port != _OWN), ""))


_OWN = "self"


def _joined(own: Settings) -> bool:
    """Whether keys of the tokens themselves stand beside those of a port."""
    return own.has("kv", "concat")


# What an attention over the tokens of a port has nothing to do with, and why.
_BESIDE_OWN = {"kv_dim": "is the width of the node, so that one matrix makes the keys of the port and of its tokens"}
_OF_ONE_SEQUENCE = {
    "window": "counts back along one sequence",
    "latent": "makes keys of its own tokens",
    "sinks": "is of self-attention only in this language",
    "out_maps": "is of self-attention only in this language",
    "softcap": "is of self-attention only in this language",
}


def _check_cross(name: str, own: Settings, layer: Layer) -> bool:
    """Whether its options go with keys from elsewhere, and the masks of one port are the same everywhere."""
    if isinstance(own.get("mask"), str):
        message = f"`mask` of `{name}` of `{layer.inferred.node}` is of patches of a video, and it reads a port"
        layer.problems.error(
            "bad-mask", message, own.span("mask"), help="remove `mask`, or write a port that says more"
        )
        return False
    node = layer.inferred.node
    taken = next((each for each in (port_of(own), *masks_of(own)) if each in _TAKEN or reserved(each, "input")), None)
    if taken is not None:
        message = f"`{name}` of `{node}` reads a port called `{taken}`, and that name is in use in a decoder"
        layer.problems.error("bad-cross", message, own.span("kv"), help=f"call the port `{taken}_states`, or as it is")
        return False
    if _joined(own) and (fault := _fault_of_joined(own, layer)):
        layer.problems.error("bad-cross", f"`kv` of `{name}` of `{node}` {fault[0]}", own.span("kv"), help=fault[1])
        return False
    if own.has("mask", "visible") and not layer.max_tokens:
        message = f"`visible` of `{name}` of `{node}` says what each token of a text sees, and here are none"
        edit = "write `mask: {present: PORT}`, which says what stands there for all"
        layer.problems.error("bad-mask", message, own.span("mask", "visible"), help=edit)
        return False
    useless = _OF_ONE_SEQUENCE | (_BESIDE_OWN if _joined(own) else {})
    wrong = next((key for key in useless if own.get(key)), None)
    if wrong is not None:
        layer.problems.clash(
            "bad-cross",
            f"`{wrong}` of `{name}` of `{node}` {useless[wrong]}, and the keys come from `{port_of(own)}`",
            Label(own.span(wrong), "not read"),
            Label(own.span("kv"), "keys from a port"),
            help=f"remove `{wrong}`",
        )
    return wrong is None


def _fault_of_joined(own: Settings, layer: Layer) -> tuple[str, str] | None:
    """Why keys of a port and of the tokens cannot stand side by side so, and an edit."""
    if own.get("kv", "concat").count(_OWN) != 1:
        return "joins something else than a port and the tokens themselves", "write `{concat: [image, self]}`"
    if layer.max_tokens:
        edit = "let another sublayer read the port: write its name alone"
        return "joins keys of a port and of the tokens themselves, which only a node of learned tokens can do", edit
    return None


_TAKEN = ("features", "x", "mask", "rope", "layer", "visible", "seen", "sizes", "real", "marked", "positions")


def mask_of(port: str) -> str:
    """The port of the padding of what comes in at another, where nothing else says what is seen of it."""
    return f"{port}_mask"


def masks_of(own: Settings) -> tuple[str, ...]:
    """The ports of masks that a sublayer names."""
    masks = own.get("mask", default={})
    return tuple(masks[kind] for kind in ("visible", "present") if masks.get(kind))


def _sublayer(name: str, op: Op, layer: Layer) -> Sublayer:
    """An operation with its norm and residual: those of the layer, with its own over them."""
    settings, own = layer.settings, layer.own(name)
    check_residual(settings, path_of(name), layer.inferred.node, layer.problems)
    norm = norm_settings(settings.get("norm", default="rms"), own.get("norm"))
    residual = make_residual(settings.get("residual"), own.get("residual"))
    scope: str = own.get("scope", default="")
    made = make_norm(norm, () if scope else segment_names(settings))
    optional = bool(own.get("optional", default=False))
    if optional and not _port_of(op):
        message = f"`optional` of `{name}` of `{layer.inferred.node}`: only what reads a port can be left out"
        edit = "remove `optional`, or give the sublayer `kv`"
        layer.problems.error("unread-setting", message, own.span("optional"), help=edit)
    return Sublayer(name, op, made, norm_place(norm), residual, own.get("rows", default=""), scope, optional)


def check_skip(layer: Layer, group: tuple[Sublayer, ...]) -> bool:
    """Whether results that take the place of the tokens leave nothing open: in brackets all of them do, or none."""
    bare = next((sublayer for sublayer in group if not sublayer.residual.skip), None)
    if bare is None or (len({each.residual.skip for each in group}) == 1 and not bare.rows):
        return True
    node, own = layer.inferred.node, (*path_of(bare.name), "residual")
    span = layer.settings.span(*own, "skip") if layer.settings.has(*own) else layer.settings.span("residual", "skip")
    if bare.rows:
        message = (
            f"`rows` of `{bare.name}` of `{node}` leaves tokens as they are, and without `skip` nothing of them stays"
        )
        layer.problems.error("bad-skip", message, span, help="remove `rows`, or `skip: false`")
        return False
    names = listed([each.name for each in group])
    message = f"{names} of `{node}` stand in brackets, and the tokens are in the sum of these or not"
    layer.problems.error("bad-skip", message, span, help="write the same `skip` for all in the brackets")
    return False


def check_ports(kinds: list[LayerKind], settings: Settings, node: str, problems: Problems) -> bool:
    """Whether the layers agree on the masks of a port, and a mask says which tokens see nothing of it."""
    masks: dict[str, set[tuple[str, str]]] = {}
    sublayers = [sublayer for kind in kinds for sublayer in kind.sublayers]
    for cross in (s.op.cross for s in sublayers if isinstance(s.op, Attention) and s.op.cross):
        masks.setdefault(cross.port, set()).add((cross.visible, cross.present))
    for sublayer in sublayers:
        rows, span = sublayer.rows, settings.span(*path_of(sublayer.name), "rows")
        if rows and rows not in masks:
            message = f"`rows` of `{sublayer.name}` names `{rows}`, and no attention of `{node}` reads such a port"
            problems.error("unknown-port", message, span, help=suggestion(rows, list(masks), "port") if masks else "")
            return False
        if rows and masks[rows] == {("", "")}:
            message = f"no mask says which tokens of `{node}` see `{rows}`: every one sees all of it"
            edit = f"give the attention over `{rows}` a `mask`, or remove `rows`"
            problems.error("rows-without-mask", message, span, help=edit)
            return False
    port = next((port for port, found in masks.items() if len(found) > 1), None)
    if port is not None:
        message = f"sublayers of `{node}` read `{port}` with different masks, and what is seen of it is one for all"
        first = next(own for _, own in ports_of(settings) if port_of(own) == port)
        edit = "write the same `mask`, or connect the features to a second port"
        problems.error("bad-cross", message, first.span("kv"), help=edit)
    return port is None


def ports_of(settings: Settings) -> Iterator[tuple[str, Settings]]:
    """(name, settings) of every sublayer that reads a port, as the node and its `where` write them."""
    where = settings.tree.get("layers", "where")
    for each in (settings, *(Settings(tree) for tree in (where.elements() if where else ()))):
        for name in each.get("sublayers", default={}):
            yield name, each.child("sublayers", name)


@dataclass(frozen=True, slots=True)
class CrossPorts:
    """The input ports that a stack reads besides its tokens, and the width of each as a size to be inferred."""

    ports: dict[str, Port]
    sizes: dict[str, Var]
    written: dict[Var, Written]


def cross_ports(
    node: str, settings: Settings, axes: tuple[Dim, Dim, Dim], *, skippable: bool = True, keys: Dim = 0
) -> CrossPorts:
    """What the sublayers of a node, whose tokens have these axes, add to its signature.

    With `keys`, the tokens are made of so many of what is read, and as wide.
    """
    found = CrossPorts({}, {}, {})
    readers = [(name, own) for name, own in ports_of(settings) if own.has("kv")]
    alone = len({port_of(own) for _, own in readers}) == 1
    joined = {port_of(own) for _, own in readers if _joined(own)}
    batch, seq, dim = axes
    for _, own in readers:
        port = port_of(own)
        same = bool(keys) or port in joined
        width = dim if same else Var(f"{node}.{port}.dim", "dim", hole=True)
        shape = (batch, keys or Var(f"{node}.{port}.keys", "tokens"), width)
        found.ports.setdefault(port, Port("features", shape, skippable=skippable))
        if isinstance(width, Var) and not same:
            found.sizes["kv_dim" if alone else f"kv_dim of {port}"] = width
            if own.has("kv_dim"):
                found.written.setdefault(width, Written(int(own.get("kv_dim")), own.span("kv_dim"), node, "kv_dim"))
        masks = [(kind, own.get("mask", kind)) for kind in ("visible", "present") if own.has("mask", kind)]
        for kind, name in masks:
            found.ports.setdefault(name, _mask_port(f"{node}.{name}", kind, batch, seq))
        if not masks and port not in joined:
            padding = Port("mask", (batch, shape[1]), optional=True, of=port)
            found.ports.setdefault(mask_of(port), padding)
    return found


def _mask_port(name: str, kind: str, batch: Dim, seq: Dim) -> Port:
    if kind == "present":
        return Port("mask", (batch, Var(f"{name}.runs", "runs")))
    return Port("visible", (batch, seq, Var(f"{name}.images", "images"), Var(f"{name}.tiles", "tiles")), skippable=True)
