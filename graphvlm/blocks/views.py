"""Finished view models of blocks for templates: class names, lines of code, and the config fields they read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from ..code import Field, literal
from ..names import class_name
from .experts import Moe
from .expressions import Fields, norm_expression, pattern, pattern_field
from .settings import Attention, LayerKind, Mlp, Op, Stack, Sublayer, norms_of
from .settings_linear import Linear
from .settings_norm import Norm
from .use import Use
from .views_block import BlockView, SublayerView
from .views_cross import CrossView, SourceView, cross_view, read_by, source_types, source_views
from .views_index import IndexView, index_view
from .views_linear import DeltaView, FadingView, LinearView, linear_view
from .views_lines import block_lines, passed
from .views_mlp import MlpView, MoeView, mlp_view, moe_view, of_several_widths, shared_by_all
from .views_ops import AttentionView, Given, LatentView, attention_view, latent_view
from .views_parts import LimitView, PartsView, parts_type, parts_view
from .views_rope import RopesView, rope_dim, ropes_view, rotation_type, rotation_views
from .views_shared import SharedView, shared_views


@dataclass(frozen=True, slots=True)
class StackView:
    """All classes of a stack and how its `ModuleList` is filled. `window` and `chunk` are what limits how far queries
    see, `linear` is which layers have linear attention."""

    config: str
    attentions: tuple[AttentionView, ...]
    latents: tuple[LatentView, ...]
    indexes: tuple[IndexView, ...]
    linears: tuple[LinearView, ...]
    crosses: tuple[CrossView, ...]
    mlps: tuple[MlpView, ...]
    moes: tuple[MoeView, ...]
    blocks: tuple[BlockView, ...]
    pattern: str
    window: LimitView | None
    chunk: LimitView | None
    linear: Literal["", "some", "all"]
    given: Given
    sources: tuple[SourceView, ...]
    ropes: RopesView | None
    offset_norm: bool
    parts: PartsView | None
    fields: tuple[Field, ...]
    shared: tuple[SharedView, ...] = ()
    own_gates: bool = False  # of tokens that ranks share
    peers: tuple[SourceView, ...] = ()  # the sources of all stacks of the package, if several have some: of one type

    @property
    def deltas(self) -> tuple[DeltaView, ...]:
        """Those linear attentions that correct their states."""
        return tuple(view for view in self.linears if isinstance(view, DeltaView))

    @property
    def fadings(self) -> tuple[FadingView, ...]:
        """Those whose states only fade."""
        return tuple(view for view in self.linears if isinstance(view, FadingView))

    @property
    def numbered(self) -> bool:
        """Whether blocks are told which layer they are."""
        return bool(self.fadings)

    @property
    def limits(self) -> tuple[LimitView, ...]:
        """Those of window and chunk that there are."""
        return tuple(limit for limit in (self.window, self.chunk) if limit)

    @property
    def varying(self) -> tuple[LimitView, ...]:
        """Those of them that layers differ in."""
        return tuple(limit for limit in self.limits if limit.varies)

    @property
    def seen(self) -> str:
        """The mask of layer i in the loop of its node."""
        if not self.varying:
            return "visible"
        return "seen[limits[i]]" if len(self.varying) > 1 else f"seen[self.{self.varying[0].field}[i]]"

    @property
    def placed(self) -> bool:
        """Whether layers are told where their tokens stand."""
        return self.given.placed

    @property
    def masked(self) -> bool:
        """Whether not every key from elsewhere is always seen."""
        return any(source.masked for source in self.peers or self.sources)

    @property
    def all_masked(self) -> bool:
        """Whether that holds wherever keys come from."""
        return all(source.masked for source in self.peers or self.sources)

    @property
    def rowed(self) -> bool:
        """Whether tokens that see nothing stay as they are."""
        return any(source.rows for source in self.peers or self.sources)

    @property
    def choosing(self) -> bool:
        """Whether experts choose their tokens."""
        return any(view.capacity for view in self.moes)

    @property
    def calls(self) -> bool:
        """Whether there are functions that are given others."""
        parts = self.parts
        return parts is not None and (parts.weights or (parts.scoped and bool(parts.marked)))

    @property
    def quick_gelu(self) -> bool:
        views: tuple[MlpView | MoeView | LinearView, ...] = (*self.mlps, *self.moes, *self.linears)
        return any(view.activation == "quick_gelu" for view in views)

    @property
    def own_scores(self) -> bool:
        """Whether some attention makes its scores itself, so that masks are always written out."""
        scores = [view.scores for view in self.attentions] + [view.scores for view in self.latents]
        return any(each.own for each in scores)

    @property
    def local(self) -> bool:
        """Whether there are parameters, beside those of modules of torch, of which a rank holds a part."""
        scores = [view.scores for view in self.attentions] + [view.scores for view in self.latents]
        split = any(view.local for view in self.moes) or any(view.tp for view in self.deltas) or self.own_gates
        return split or any(each.local for each in scores)

    @property
    def functional(self) -> bool:
        """Whether the classes call functions of `torch.nn.functional`."""
        return bool({view.activation for view in self.mlps} - {"quick_gelu"}) or self.scored

    @property
    def scored(self) -> bool:
        """Whether they do where activations are modules."""
        scores = [view.scores for view in self.attentions] + [view.scores for view in self.latents]
        known = self.moes or self.linears or self.offset_norm or self.crosses or self.indexes
        return bool(known) or not all(each.own for each in scores) or any(view.padded for view in self.attentions)

    @property
    def torch(self) -> bool:
        """Whether the classes call functions of `torch` itself."""
        split = any(attention.merged and attention.grouped for attention in self.attentions)
        tables = any(block.gated for block in self.blocks) or any(cross.own for cross in self.crosses)
        gated = any(view.scores.gated or view.scores.relative for view in self.attentions)
        known = (
            gated or self.quick_gelu or self.offset_norm or self.own_scores or self.moes or self.linears or self.indexes
        )
        joined = any(sublayer.join for block in self.blocks for sublayer in block.sublayers)
        return split or tables or bool(known) or joined


def stack_view(stack: Stack, config: str, use: Use, *, tp: int, outer: tuple[Norm | None, ...] = ()) -> StackView:
    """The view of `stack` for a node whose config class is `config`; `outer` are norms outside its layers."""
    classes = _Classes(stack, config, use, tp)
    of_kind = [classes.block(kind) for kind in stack.kinds]
    fields, ropes = classes.fields, stack.rope_of
    window, chunk = (_limit(*limit, fields, use) for limit in (("window", stack.windows), ("chunk", stack.chunks)))
    if len(set(stack.linear)) > 1:
        _add_pattern(fields, "linear", [literal(linear) for linear in stack.linear], "bool")
    if len(set(ropes)) > 1:
        numbers = [len(stack.rotary) if rope is None else rope for rope in ropes]
        _add_pattern(fields, "rope_of", [str(number) for number in numbers], "int")
    norms = [*outer, *(norm for kind in stack.kinds for sublayer in kind.sublayers for norm in norms_of(sublayer))]
    return StackView(
        config=config,
        attentions=tuple(classes.attentions.values()),
        latents=tuple(classes.latents.values()),
        indexes=tuple(classes.indexes.values()),
        linears=(*classes.deltas.values(), *classes.fadings.values()),
        crosses=tuple(classes.crosses.values()),
        mlps=tuple(classes.mlps.values()),
        moes=tuple(classes.moes.values()),
        blocks=tuple(classes.blocks.values()),
        pattern="" if len(classes.blocks) <= 1 else pattern("kinds = ", [of_kind[i] for i in stack.order], 8),
        window=window,
        chunk=chunk,
        linear="some" if len(set(stack.linear)) > 1 else "all" if any(stack.linear) else "",
        given=classes.given,
        sources=source_views(stack),
        shared=tuple(shared_views(stack)),
        ropes=classes.ropes(),
        offset_norm=any(norm is not None and norm.unit_offset for norm in norms),
        parts=parts_view(stack, norms, tp),
        own_gates=any(s.residual.gate and s.residual.tokens for kind in stack.kinds for s in kind.sublayers),
        fields=tuple(fields.found.values()),
    )


def _limit(name: str, found: tuple[int | None, ...], fields: Fields, use: Use) -> LimitView | None:
    """A limit of the layers and its config field, if it is one of a causal stack and some layer has it."""
    if not use.causal or not any(found):
        return None
    view = LimitView(name, varies=len(set(found)) > 1, always=None not in found)
    if view.varies:
        _add_pattern(fields, view.field, [literal(limit) for limit in found], view.type)
    else:
        fields.add(name, found[0] or 0)
    return view


def _stem(sublayer: str) -> str:
    """What tells the fields and classes of a sublayer from those of others of its operation: `image` of `image_mlp`."""
    return sublayer.removesuffix("_mlp").removesuffix("_attn") or sublayer


def _add_pattern(fields: Fields, name: str, values: list[str], item: str = "int | None") -> None:
    """A field that has a value for each layer."""
    fields.found[name] = pattern_field(name, values, item)


_View = TypeVar(
    "_View", AttentionView, LatentView, IndexView, DeltaView, FadingView, CrossView, MlpView, MoeView, BlockView
)


class _Classes:
    """The classes of a stack as they are met; equal ones are written once."""

    def __init__(self, stack: Stack, config: str, use: Use, tp: int) -> None:
        self.fields = Fields()
        self.fields.add("dim", stack.dim)
        self.fields.add("layers", len(stack.order))
        self.attentions: dict[AttentionView, AttentionView] = {}
        self.latents: dict[LatentView, LatentView] = {}
        self.indexes: dict[IndexView, IndexView] = {}
        self.deltas: dict[DeltaView, DeltaView] = {}
        self.fadings: dict[FadingView, FadingView] = {}
        self.crosses: dict[CrossView, CrossView] = {}
        self.mlps: dict[MlpView, MlpView] = {}
        self.moes: dict[MoeView, MoeView] = {}
        self.blocks: dict[BlockView, BlockView] = {}
        self._stack, self._config, self._tp = stack, config, tp
        self._spared, self._open = use.spared, use.open
        self._taken = {config.removesuffix("Config")}
        self._rotations = rotation_views(stack, self._named)
        rope = rotation_type(stack, self._rotations) or use.rope
        parts = parts_type(stack) if stack.parted else ()
        sources = source_types(stack, direct=use.direct)
        given = use.given(rope, sources, parts, placed=stack.tempered, real=stack.choosing)
        self.given = replace(given, chosen=stack.handed)
        self._turned: dict[int, str] = {}  # number of rotary positions -> how much of a head they turn
        self._sized = of_several_widths(stack)

    def block(self, kind: LayerKind) -> str:
        """The class of a kind of layer."""
        views = tuple(self._sublayer(sublayer, kind) for sublayer in kind.sublayers)
        linear = self.given.linear
        lines = block_lines(kind, passed(self._stack, self.given, linear, self._open))
        has_linear = any(isinstance(sublayer.op, Linear) for sublayer in kind.sublayers)
        given = replace(self.given, mask=linear.mask) if has_linear else self.given
        given = given.sparing((self._spared - read_by(kind)) | self._open)
        return self._once(self.blocks, BlockView("", given, views, lines, self._stack.numbered), "Block", kind.name)

    def _sublayer(self, sublayer: Sublayer, kind: LayerKind) -> SublayerView:
        name, residual = sublayer.name, sublayer.residual
        if name not in ("attn", "mlp") and not kind.name:
            kind = replace(kind, name=_stem(name))
        norm = self._norm(sublayer.norm, kind) if sublayer.normed else ""
        op = sublayer.op
        made, given = self._op(op, kind)
        size = "config.dim" if residual.gate == "layer_scale" else "1"
        named = isinstance(op, Attention) and op.cross and self.given.cached and not self.given.direct
        parted = isinstance(op, Mlp) and op.by
        return SublayerView(
            name=name,
            class_name="Parted" if parted else made,
            arguments=f"{made}, {given}" if parted else f'{given}, "{name}"' if named else given,
            norm=norm,
            post_norm=norm if sublayer.place == "sandwich" else "",
            gate=size if residual.gate else "",
            gate_init=literal(residual.init),
            scale=self.fields.add(f"{name}_scale", residual.scale, kind.name) if residual.scale != 1 else "",
            skip=self.fields.add(f"{name}_skip", residual.skip, kind.name) if residual.skip not in (0, 1) else "",
            join=self._joined(sublayer, kind) if residual.join else "",
        )

    def _joined(self, sublayer: Sublayer, kind: LayerKind) -> str:
        """How many results become one."""
        return str(next(len(group) for group in kind.groups if group[0] == sublayer))

    def _op(self, op: Op, kind: LayerKind) -> tuple[str, str]:
        """The class of an operation, and what its constructor is given."""
        if isinstance(op, Attention):
            return self._attention(op, kind), "config"
        if isinstance(op, Linear):
            view = linear_view(op, kind, self.fields, self.given.linear, self._tp)
            if isinstance(view, DeltaView):
                return self._once(self.deltas, view, "GatedDeltaNet", kind.name), "config"
            return self._once(self.fadings, view, "FadingAttention", kind.name), "config, layer"
        return (self._mixture(op, op.moe, kind), "config") if op.moe else self._mlp(op, kind)

    def _norm(self, norm: Norm, kind: LayerKind) -> str:
        return norm_expression(norm, "config.dim", self.fields.eps(norm, kind))

    def _attention(self, op: Attention, kind: LayerKind) -> str:
        if op.cross:
            cross = cross_view(op, op.cross, kind, self.fields, self.given, tp=self._tp)
            return self._once(self.crosses, cross, "CrossAttention", kind.name)
        if op.latent:
            latent = latent_view(op, op.latent, kind, self.fields, given=self.given, tp=self._tp)
            latent = replace(latent, scores=replace(latent.scores, index=self._index(op, latent.q_rank, kind)))
            name = self._once(self.latents, latent, "LatentAttention", kind.name)
        else:
            view = attention_view(op, kind, self.fields, self.given, self._tp)
            view = replace(view, scores=replace(view.scores, index=self._index(op, "", kind)))
            name = self._once(self.attentions, view, "Attention", kind.name)
        if op.rope is not None and op.rope not in self._turned:
            self._turned[op.rope] = rope_dim(op, self._stack.rotary[op.rope], kind, self.fields)
        return name

    def _index(self, op: Attention, narrow: str, kind: LayerKind) -> IndexView | None:
        """The class of an indexer, whose queries may come from a narrow vector."""
        if op.index is None:
            return None
        rope = None if op.rope is None else self._stack.rotary[op.rope]
        given = (self.given.rope, self.given.memory if self.given.cached else "")
        view = index_view(op.index, kind, self.fields, narrow=narrow, rope=rope, given=given)
        return replace(view, name=self._once(self.indexes, view, "Indexer", kind.name))

    def _mlp(self, op: Mlp, kind: LayerKind, field: str = "mlp_hidden", name: str = "") -> tuple[str, str]:
        width = self.fields.add(field, op.hidden, kind.name)
        sized = replace(op, hidden=0) in self._sized
        view = mlp_view(op, kind, self.fields, self._tp, hidden="hidden" if sized else width, sized=sized)
        made = self._once(self.mlps, view, "MLP", name or kind.name)
        return made, f"config, {width}" if sized else "config"

    def _mixture(self, op: Mlp, moe: Moe, kind: LayerKind) -> str:
        shared = ""
        if moe.shared:
            name = f"{kind.name}_shared" if "SharedMLP" in self._taken else "shared"
            shared = "{}({})".format(*self._mlp(shared_by_all(op, moe.shared), kind, "shared_hidden", name))
        mixture = moe_view(op, moe, kind, self.fields, dim=self._stack.dim, shared=shared, tp=self._tp)
        if mixture not in self.moes:
            name = self._once(self.moes, mixture, "MoE", kind.name)
            experts = self._named(name.replace("MoE", "Experts"))
            self.moes[mixture] = replace(self.moes[mixture], experts_class=experts)
        return self.moes[mixture].name

    def ropes(self) -> RopesView | None:
        """The rotary positions, once all kinds of layers are known; their fields come last."""
        return ropes_view(
            self._stack,
            rotations=self._rotations,
            turned=self._turned,
            fields=self.fields,
            config=self._config,
            named=self._named,
        )

    def _once(self, known: dict[_View, _View], view: _View, base: str, kind: str) -> str:
        """The class for `view`: an equal one met before, else one called `base`, told apart by the kind of layer."""
        found = known.get(view)
        if found is None:
            name = self._named(base if not known else f"{class_name(kind)}{base}")
            found = known[view] = replace(view, name=name)
        return found.name

    def _named(self, name: str) -> str:
        """`name`, or one like it where a class of the file is called so already, such as that of the node."""
        number, found = 1, name
        while found in self._taken:
            found, number = f"{name}Layer{number if number > 1 else ''}", number + 1
        self._taken.add(found)
        return found
