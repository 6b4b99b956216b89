"""What the profile has no form for, said of the graph that was written and not of what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace

from ..blocks.head import Head
from ..blocks.segments import marked_segment
from ..blocks.settings import Attention, Mlp, Residual, Stack, Sublayer
from ..blocks.settings_linear import Delta, Fading
from ..blocks.settings_norm import Norm
from ..components.decoder.transformer import Transformer
from ..components.encoder.grid_positions import GridPositions
from ..components.encoder.token_embedding import TokenEmbedding
from ..diagnostics import Span
from ..ir import Graph, Node, Ref
from ..link import link
from ..merging import without
from ..problems import Problems
from ..resolve import resolve
from ..settings import Settings
from ..stages import Stages, split
from .reading import beside_both, read_first


@dataclass(frozen=True, slots=True)
class Parts:
    """The decoder that gives logits, the embedding that its stream begins with, and the stages before it."""

    decoder: Node
    embedding: Node
    stages: Stages


def on_one_device(graph: Graph) -> Graph:
    """The graph without its mesh: how weights lie on devices is for the servers to say."""
    if not graph.parallelism.mesh:
        return graph
    return replace(resolve(link(without(graph.tree, "parallelism"))), passes=graph.passes)


# By kind: what has a part in training alone, and no form in a model that is loaded.
TRAINED = {"loss": "a loss", "sampler": "a sampler", "state": "a queue"}


def deployed(graph: Graph) -> Graph:
    """The graph on one device and without its losses, if something else comes out and nothing else is for training."""
    graph = on_one_device(graph)
    losses = {name for name, node in graph.nodes.items() if node.kind == "loss"}
    outputs = {name: ref for name, ref in graph.outputs.items() if ref.name not in losses}
    others = any(node.follows or node.kind in {*TRAINED} - {"loss"} for node in graph.nodes.values())
    if not losses or not outputs or others:
        return graph
    waiting, kept = [ref.name for ref in outputs.values()], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept.add(name)
            node = graph.nodes.get(name)
            waiting += [*(ref.name for ref in node.inputs.values()), *filter(None, (node.owner,))] if node else []
    return replace(
        graph,
        inputs={name: given for name, given in graph.inputs.items() if name in kept},
        nodes={name: node for name, node in graph.nodes.items() if name in kept},
        outputs=outputs,
        freeze=(),
    )


def parts_of(graph: Graph) -> Parts:
    """The parts of a graph that the profile has a form for. Raises GraphError, with everything that has none."""
    problems, stages = Problems(), split(graph)
    logits = [ref for ref in graph.outputs.values() if ref.port == "logits" and graph.nodes[ref.name].kind == "decoder"]
    decoder = graph.nodes[logits[0].name] if logits else None
    decoders = [name for name in stages.joint if graph.nodes[name].kind == "decoder"]
    if decoder is None or decoders != [decoder.name]:
        why = "gives no logits of one decoder" if decoder is None else f"has {len(decoders)} decoders"
        _refuse(problems, f"`{graph.name}` {why}", graph.tree.get("outputs"), "the models it is for write text")
        problems.stop()
    assert decoder is not None
    for name, ref in graph.outputs.items():
        if ref not in logits:
            why = f"`outputs.{name}` is neither logits nor hidden states of `{decoder.name}`"
            if ref != Ref(decoder.name, "hidden"):
                _refuse(problems, why, graph.tree.get("outputs", name), "remove it for this export")
    embedding = graph.nodes.get(graph.embedding(decoder.name))
    if embedding is None or not isinstance(embedding.spec, TokenEmbedding):
        _refuse(problems, f"the stream of `{decoder.name}` does not begin with tokens", decoder.tree, "feed it tokens")
        problems.stop()
    assert embedding is not None
    for owner, path, what in (
        *((decoder, path, what) for path, what in _of_decoder(decoder)),
        *((embedding, path, what) for path, what in _of_embedding(embedding)),
        *((node, path, what) for node in graph.owners if node is not decoder for path, what in tower_faults(node)),
        *((node, ("module",), "weights that another node has too") for node in graph.owners if node.tie),
    ):
        span = Settings(owner.tree).span(*path)
        message = f"the profile `hf` has no form for {what}, in `{owner.name}`"
        problems.error("outside-profile", message, span, help=HELP)
    _check_stages(graph, stages, decoder, problems)
    problems.stop()
    return Parts(decoder, embedding, stages)


HELP = "`graphvlm build` writes a package that has it; `--onnx` and `--pt2` export that"


def _refuse(problems: Problems, what: str, place: object, help: str) -> None:
    span: Span | None = getattr(place, "span", None)
    problems.error("outside-profile", f"the profile `hf` has no form for this graph: {what}", span, help=help)


def _of_embedding(node: Node) -> Iterator[tuple[tuple[str, ...], str]]:
    spec = node.spec
    assert isinstance(spec, TokenEmbedding)
    if spec.extra and spec.scale != 1:
        yield ("extra_rows",), "rows of a scaled embedding that no token of the vocabulary has"
    if spec.types:
        yield ("token_types",), "token types"


def _of_decoder(node: Node) -> Iterator[tuple[tuple[str, ...], str]]:
    """(path of the setting, what it is)."""
    spec = node.spec
    if not isinstance(spec, Transformer):
        yield ("type",), "this type of decoder"
        return
    if spec.marked and (any(spec.layers.linear) or spec.layers.indexed):
        yield ("mask",), "tokens that see later ones, and linear attention or keys that are chosen"
    if spec.marked and any(spec.layers.chunks):
        yield ("mask",), "tokens that see later ones, and runs of tokens that see no others"
    stack = spec.layers
    limited = any(stack.windows) or any(stack.chunks) or any(stack.linear) or stack.indexed
    if spec.relative and (spec.marked or limited or _softcapped(spec)):
        yield ("position",), "positions by distance where layers see different tokens, or scores have a softcap"
    if any(rope.sections for rope in spec.layers.rotary) and any(op.temperature for op in spec.layers.attentions):
        yield ("position",), "positions of several numbers where scores grow with them"
    if spec.cut:
        yield ("inputs",), "features that stand before the text and not at places in it"
    if spec.head is None or spec.head.transform:
        yield ("head",), "a head of more than one matrix"
    for value in (spec, spec.head):
        for name in unplaced(value) if value else ():
            yield (), f"`{name}`"
    yield from _of_stack(spec.layers)


def _softcapped(spec: Transformer) -> bool:
    return any(op.softcap for op in spec.layers.attentions)


def tower_faults(node: Node) -> Iterator[tuple[tuple[str, ...], str]]:
    """What layers of encoders and projectors cannot have."""
    if node.imported:
        yield ("target",), "modules that are imported"
    stack = node.spec.stack
    if stack is None:
        return
    if any(stack.linear) or stack.choosing:
        yield ("layers",), "linear attention, or experts that choose their tokens"
    yield from _unknown(stack)


def _of_stack(stack: Stack) -> Iterator[tuple[tuple[str, ...], str]]:
    if all(stack.linear):
        yield ("attention",), "linear attention in all layers"
    if stack.crossed and stack.attention(stack.order[0]) is None:
        yield ("layers",), "a first layer that does not attend to the tokens themselves"
    if any(op.maps > 1 for op in stack.attentions):
        yield ("attention",), "several maps behind the heads"
    if stack.segments and not marked_segment(stack.segments):
        yield ("segments",), "several segments at ports of their own"
    if stack.choosing:
        yield ("mlp",), "experts that choose their tokens"
    if stack.indexed and (any(stack.windows) or any(stack.chunks)):
        yield ("attention",), "keys that are chosen within windows or runs"
    limits = {*filter(None, stack.windows)}, {*filter(None, stack.chunks)}
    if max(map(len, limits)) > 1 or all(limits):
        yield ("layers",), "layers with several windows, or with windows and runs"
    yield from _unknown(stack)
    own = [sum(isinstance(s.op, Attention) and not s.op.cross for s in kind.sublayers) for kind in stack.kinds]
    linear = dict(zip(stack.order, stack.linear, strict=True))
    bare = [i for i, count in enumerate(own) if not (count or linear[i] or stack.crossed)]
    if max(own) > 1 or bare:
        yield ("sublayers",), "layers without one self-attention each"


# What the templates of the profile place. A setting that comes later is refused until it stands here.
_PLACED: dict[type, str] = {
    Attention: """by heads kv_heads head_dim bias qk_norm window norm_heads norm_turned scale softcap sinks gated rope
        latent cross merged grid square windows relative chunk temperature index follows maps""",
    Delta: "key_heads value_heads key_dim value_dim conv activation beta_max norm",
    Fading: "heads key_dim value_dim activation norm",
    Mlp: "by hidden activation gated bias moe merged clamp up_offset",
    Sublayer: "name op norm place residual rows scope optional",
    Norm: "by type eps bias unit_offset weight",
    Residual: "scale gate init skip",
    Transformer: """vocab max_tokens layers learned input_norm final_norm head cut inject relative marked hidden
        input_scale""",
    Head: "tied bias scale softcap transform",
}


def _unknown(stack: Stack) -> Iterator[tuple[tuple[str, ...], str]]:
    """Settings of layers that the templates do not know."""
    for kind in stack.kinds:
        for sublayer in kind.sublayers:
            for value in (sublayer, sublayer.op, sublayer.norm, sublayer.residual):
                for name in unplaced(value):
                    yield ("layers",), f"`{name}` of layers"


def unplaced(value: object) -> Iterator[str]:
    """The fields of a setting that are not what they usually are, and that the templates do not place."""
    known = _PLACED.get(type(value))
    if known is None or not is_dataclass(value):
        yield type(value).__name__.lower()
        return
    for field in fields(value):
        if field.name not in known.split() and getattr(value, field.name) != field.default:
            yield field.name


def crossing(decoder: Node) -> dict[str, Ref]:
    """What the layers of a decoder attend to beside the tokens, and what of it they see: port -> where it is from."""
    stack = decoder.spec.stack
    ports = stack.crossed_ports if stack else ()
    return {port: decoder.inputs[port] for port in ports if port in decoder.inputs}


def _check_stages(graph: Graph, stages: Stages, decoder: Node, problems: Problems) -> None:
    """Each stage gives values which the text can do without, or layers keep; all else comes beside tokens and mask."""
    crossed = crossing(decoder)
    for stage in stages.encoders:
        place = graph.inputs[stage.inputs[0]].span
        names = ", ".join(f"`{ref}`" for ref in stage.values)
        if not stage.optional and not {*stage.values} <= {*crossed.values()}:
            what = f"{names}, which each step of the text needs again"
            problems.error("outside-profile", f"the profile `hf` has no form for {what}", place, help=HELP)
    later = [name for name in stages.joint if decoder.name in {ref.name for ref in graph.nodes[name].inputs.values()}]
    for name in later:
        what = f"`{name}`, behind the decoder"
        problems.error("outside-profile", f"the profile `hf` has no form for {what}", graph.nodes[name].tree.span)
    for port, ref in crossed.items():
        if ref.port and ref.name in stages.joint:
            what = f"`{ref}` at `{decoder.name}.{port}`, which depends on the text"
            problems.error("outside-profile", f"the profile `hf` has no form for {what}", decoder.tree.span, help=HELP)
    if read_first(graph, stages):
        for what in beside_both(graph, stages, decoder):
            problems.error("outside-profile", f"the profile `hf` has no form for {what}", decoder.tree.span, help=HELP)
    _check_inputs(graph, stages, decoder, problems)


def _flags(decoder: Node) -> Iterator[str]:
    """The port that says which tokens are of which kind."""
    segment = marked_segment(decoder.spec.stack.segments) if decoder.spec.stack else None
    if segment:
        yield segment.where


def _check_inputs(graph: Graph, stages: Stages, decoder: Node, problems: Problems) -> None:
    """Nothing comes in beside tokens, their mask, and what layers are told of what they attend to."""
    tokens, _ = graph.stream_start(decoder.name)
    mask, marked = decoder.inputs.get(decoder.signature.mask), getattr(decoder.spec, "marked", None)
    known = {*crossing(decoder), *((marked.port,) if marked else ()), *_flags(decoder)}
    for name in stages.joint:
        node = graph.nodes[name]
        for port, ref in node.inputs.items():
            if isinstance(node.spec, GridPositions):
                if ref.port:
                    what = f"positions that follow from `{ref}`, which is encoded first"
                    problems.error(
                        "outside-profile", f"the profile `hf` has no form for {what}", node.tree.span, help=HELP
                    )
                continue  # the grids of images come with them
            if node is decoder and port in known:
                continue
            if not ref.port and ref.name != tokens and ref != mask:
                what = f"the input `{ref.name}`, which `{name}.{port}` reads beside the tokens"
                span = graph.inputs[ref.name].span or graph.nodes[name].tree.span
                problems.error("outside-profile", f"the profile `hf` has no form for {what}", span, help=HELP)
    if mask is not None and mask.port:
        what = f"`{mask}` as the mask of `{decoder.name}`"
        problems.error("outside-profile", f"the profile `hf` has no form for {what}", decoder.tree.span, help=HELP)
