"""The files of the profile: file name -> template and what it places, and the JSON beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..blocks.segments import marked_segment
from ..blocks.settings import Attention, Stack
from ..blocks.use import causal_use
from ..blocks.views import StackView, stack_view
from ..blocks.views_block import BlockView
from ..code import Statement
from ..components.decoder.transformer import Transformer
from ..components.encoder.grid_positions import GridPositions
from ..ir import Graph, Node
from ..names import class_name
from ..node_page import NodePage
from ..pages import model as models
from ..pages.arguments import EncodeView
from ..pages.package import Page
from ..pages.wiring import Namer
from ..passes import apply_all
from ..stages import NOUNS, Stages, split
from . import config as configs
from . import features, prompting
from .fitting import Parts, crossing, parts_of
from .pairs import pair_view
from .placing import beyond, images_before, prepared
from .reading import read_first, writes
from .roles import renamed
from .views import ExtraView, HeadView, HubView, MaskView, ModelView, ModuleView, PairView, PlacesView, StageView


def make(graph: Graph, dtype: str = "float32") -> tuple[dict[str, Page], dict[str, Any]]:
    """The pages of a graph and its JSON files. Raises GraphError where the profile has no form for something."""
    before, graph = images_before(graph), prepared(graph)
    parts_of(graph) if writes(graph) else features.check(graph)
    # The sources are read by servers, which join projections themselves; tables would be buffers that no file has.
    passes = replace(graph.passes, merge_projections=False, rope_table=False)
    profile = renamed(apply_all(replace(graph, passes=passes)))
    if not writes(graph):
        return features.make(graph, profile, dtype)
    parts = parts_of(profile)
    made = models.make(profile)
    hub = _hub(profile, parts)
    module = f"configuration_{graph.name}"
    shared = {"hub": hub, "configs": module, "activation_modules": True}
    model = _model(profile, parts, made)
    classes = configs.classes(profile, parts, made.nodes)
    pages = {
        f"{module}.py": Page("configuration.py.j2", {"classes": classes, "model": model}),
        f"modeling_{graph.name}.py": Page("pair.py.j2" if model.pair else "modeling.py.j2", {**shared, "model": model}),
        "README.md": Page("README.md.j2", {"model": model}),
    }
    for name, page in made.nodes.items():
        node = profile.nodes[name]
        if node is parts.decoder:
            pages[f"{name}.py"] = Page(page.template, {"node": _decoder(node, page), **shared})
        elif page.template and node is not parts.embedding:
            pages[f"{name}.py"] = Page(page.template, {"node": page.context, **shared})
    processing, beside = prompting.processor(profile, before)
    pages |= {name: Page(each.template, {**each.views, "model": model}) for name, each in processing.items()}
    files = beside | {
        "config.json": configs.config_json(profile, classes, model, dtype),
        "generation_config.json": configs.generation_json(profile, model),
    }
    return pages, files


def _decoder(node: Node, page: NodePage) -> object:
    """The view of the decoder, whose layers hand on a cache of `transformers` and whatever its caller passes."""
    spec = node.spec
    assert isinstance(spec, Transformer)
    memory = "EncoderDecoderCache" if spec.layers.crossed else "Cache"
    use = replace(causal_use(spec.layers), mask="Tensor | None", memory=memory, more=("**kwargs: Any",))
    outer = (spec.input_norm, spec.final_norm)
    view = stack_view(spec.layers, f"{class_name(node.name)}Config", use, tp=1, outer=outer)
    context: Any = page.context
    return replace(context, stack=replace(view, blocks=tuple(_counted(block, view) for block in view.blocks)))


def _counted(block: BlockView, view: StackView) -> BlockView:
    """A layer that is told its number, and its attentions over ports under which number the cache has their keys."""
    crosses, fading = [cross.name for cross in view.crosses], [each.name for each in view.fadings]
    places = iter(range(len(block.sublayers)))
    most = max(sum(each.class_name in crosses for each in other.sublayers) for other in view.blocks)
    sublayers = tuple(
        replace(each, arguments=f"config, {number_of('layer_idx', next(places), most)}")
        if each.class_name in crosses
        else replace(each, arguments="config")
        if each.class_name in fading
        else each
        for each in block.sublayers
    )
    return replace(block, sublayers=sublayers, numbered=False)


def number_of(layer: str, place: int, most: int) -> str:
    """Under which number a cache has the keys of an attention over a port, of which layers have one or several."""
    if most == 1:
        return layer
    return f"{most} * {layer}{f' + {place}' if place else ''}"


def _hub(graph: Graph, parts: Parts) -> HubView:
    stack = parts.decoder.spec.stack
    assert stack is not None
    assert isinstance(parts.decoder.spec, Transformer)
    attentions = stack.attentions
    sinks = any(op.sinks for op in attentions)
    softcap = any(op.softcap for op in attentions)
    relative = parts.decoder.spec.relative is not None
    return HubView(
        base=f"{class_name(graph.name)}PreTrainedModel",
        masks=tuple(_masks(stack)),
        window=any(stack.windows),
        marked=parts.decoder.spec.marked is not None,
        softcap=softcap,
        sinks=sinks,
        embed_scale=getattr(parts.embedding.spec, "scale", 1.0) != 1,
        flash=not (sinks or relative or stack.indexed or parts.decoder.spec.marked)
        and not any(op.latent for op in attentions),
        sdpa=not (sinks or softcap),
        flex=not (relative or stack.indexed),
        one_graph=not any(_routed(kind.sublayers) for kind in stack.kinds),
        relative=relative,
        indexed=stack.indexed,
        typed=configs.typed(stack),
        unserved=_unserved(stack, relative=relative),
        kept=dict(_kept(stack)),
        extra_rows=bool(getattr(parts.embedding.spec, "extra", 0)),
    )


def _unserved(stack: Stack, *, relative: bool) -> str:
    """What engines that compute attention themselves know nothing of: masks and scores are not for them to see."""
    reasons = {
        "positions by distance": relative,
        "kinds of tokens": bool(stack.segments),
        "choice of keys": stack.indexed,
        "keys from elsewhere": bool(stack.crossed),
    }
    return next((reason for reason, there in reasons.items() if there), "")


def _kept(stack: Stack) -> Iterator[tuple[str, str]]:
    """(port, number of the first keys of it in a cache), with the numbers that layers are given."""
    read = [
        [
            sublayer.op.cross.port
            for sublayer in kind.sublayers
            if isinstance(sublayer.op, Attention) and sublayer.op.cross
        ]
        for kind in stack.kinds
    ]
    for cross in stack.crossed:
        layer = next(i for i, kind in enumerate(stack.order) if cross.port in read[kind])
        place = read[stack.order[layer]].index(cross.port)
        yield cross.port, str(max(map(len, read)) * layer + place)


def _routed(sublayers: tuple[Any, ...]) -> bool:
    """Whether what runs depends on numbers: experts that transformers cannot run in one graph."""
    found = (getattr(sublayer.op, "moe", None) for sublayer in sublayers)
    return any(moe is not None and moe.router.apply == "input" for moe in found)


_FUNCTIONS = {
    "full_attention": "create_causal_mask",
    "sliding_attention": "create_sliding_window_causal_mask",
    "chunked_attention": "create_chunked_causal_mask",
    "indexed_attention": "create_causal_mask",
    "linear_attention": "create_recurrent_attention_mask",
}


def _masks(stack: Stack) -> Iterator[MaskView]:
    found = configs.layer_types(stack)
    yield from (MaskView(name, make, found.index(name)) for name, make in _FUNCTIONS.items() if name in found)


def _model(graph: Graph, parts: Parts, made: models.Pages) -> ModelView:
    spec, view = parts.decoder.spec, made.model
    assert isinstance(spec, Transformer)
    assert spec.head is not None
    head = HeadView(spec.head.bias, spec.head.tied, spec.head.scale is not None, spec.head.softcap is not None)
    order = [name for name, page in made.nodes.items() if page.construct and name != parts.embedding.name]
    modules = tuple(configs.module_of(name, made.nodes[name]) for name in order)
    crossed = crossing(parts.decoder)
    stages = tuple(
        _stage(each, beside=not {*stage.values}.isdisjoint(crossed.values()))
        for each, stage in zip(view.encoders, parts.stages.encoders, strict=True)
    )
    namer = Namer(graph, parts.stages)
    lines, embedded = _lines(graph, parts, made)
    places = [made.nodes[node.name].calls[0] for node in graph.nodes.values() if isinstance(node.spec, GridPositions)]
    prefix = class_name(graph.name)
    eos = graph.generation.eos
    return ModelView(
        name=graph.name,
        prefix=prefix,
        description=view.description,
        picture=view.picture,
        alone={*graph.nodes} == {parts.decoder.name, parts.embedding.name},
        modules=modules,
        stages=stages,
        lines=lines,
        embedded=embedded,
        ids=tuple(configs.placeholders(graph)),
        configs=tuple(
            (module.config, f"{module.class_name}Config") for module in modules if made.nodes[module.name].fields
        ),
        head=head,
        generation=repr(list(eos)),
        modalities=_modalities(graph, parts.stages),
        places=_places(graph, places[0]) if places else None,
        extras=tuple(_extras(graph, parts.decoder)),
        crossed=tuple((port, namer.outside.get(ref, namer.inside(ref))) for port, ref in crossed.items()),
        shown=tuple(ref.name for ref in crossed.values() if not ref.port),
        pair=_pair(graph, parts, view.encoders, modules),
        restarts=_restarts(parts.decoder),
    )


def _restarts(decoder: Node) -> str:
    """What tells tokens that have positions of their own; empty if all are counted together."""
    segments = decoder.spec.stack.segments if decoder.spec.stack else ()
    marked = marked_segment(segments)
    apart = marked is not None and any(segment.restart for segment in segments)
    return f"self.{decoder.inputs[marked.where].name}.places" if marked and apart else ""


def _modalities(graph: Graph, stages: Stages) -> tuple[str, ...]:
    """What comes in, text last; of an encoder-decoder all that its encoder reads."""
    found = read_first(graph, stages)
    if found is None:
        return (*(stage.name for stage in stages.encoders), "text")
    read = (NOUNS.get(graph.inputs[name].port.what, "") for name in found[0].inputs)
    return (*dict.fromkeys(noun for noun in read if noun not in ("", "text")), "text")


def _pair(
    graph: Graph, parts: Parts, encoders: tuple[EncodeView, ...], modules: tuple[ModuleView, ...]
) -> PairView | None:
    if read_first(graph, parts.stages) is None:
        return None
    apart = tuple(module for module in modules if module.name != parts.decoder.name)
    return pair_view(graph, parts.decoder, encoders[0], apart, parts.embedding)


def _places(graph: Graph, call: Statement) -> PlacesView:
    own = ("input_ids", "attention_mask")
    return PlacesView(call, tuple(name for name in call.arguments if name in graph.inputs and name not in own))


def _extras(graph: Graph, decoder: Node) -> Iterator[ExtraView]:
    """What is added between layers, and which tokens see each other."""
    spec, namer = decoder.spec, Namer(graph, split(graph))
    assert isinstance(spec, Transformer)
    if spec.inject:
        added = [namer.inside(decoder.inputs[f"inject_{layer}"]) for layer in spec.inject]
        yield ExtraView("inject", f"({', '.join(added)}{',' if len(added) == 1 else ''})")
    segment = marked_segment(spec.layers.segments)
    if segment and (told := decoder.inputs.get(segment.where)):
        yield ExtraView("marked", namer.inside(told), "" if told.port else told.name)
    ref = decoder.inputs.get(spec.marked.port) if spec.marked else None
    if spec.marked and ref:
        flags = namer.inside(ref)
        made = f"{flags} == 0" if spec.marked.kind == "prefix" else flags
        yield ExtraView("spans", made, "" if ref.port else flags)


def _stage(view: EncodeView, *, beside: bool) -> StageView:
    return StageView(
        modality=view.method.removeprefix("encode_"),
        arguments=view.arguments,
        variable=view.variable,
        lines=view.lines,
        values=view.values,
        beside=beside,
    )


_ANY_ROW = "# Placeholders are no words: any row will do, as features take its place."
_LAST = "self.config.text_config.vocab_size - 1"


def _lines(graph: Graph, parts: Parts, made: models.Pages) -> tuple[tuple[Statement, ...], str]:
    """The lines from tokens to `inputs_embeds`, and the variable that holds these if it is another one."""
    decoder, embedding = parts.decoder.name, parts.embedding
    lines = []
    for name in split(graph).joint:
        node, page = graph.nodes[name], made.nodes[name]
        if name == decoder or isinstance(node.spec, GridPositions):
            continue
        if node.module == embedding.name:
            first = page.calls[0]
            if beyond(graph):
                lines.append(Statement("", "", (_ANY_ROW,)))
                first = replace(first, arguments=(f"{first.arguments[0]}.clamp(max={_LAST})",))
            lines.append(replace(first, function="self.get_input_embeddings()"))
        else:
            lines.extend(page.calls)
    stream = graph.nodes[decoder].inputs[graph.nodes[decoder].signature.stream]
    if lines[-1].target != stream.name or any(stream.name in line.arguments for line in lines):
        return tuple(lines), stream.name
    return (*lines[:-1], replace(lines[-1], target="inputs_embeds")), ""
