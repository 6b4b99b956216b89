"""Graphs that tests build, and inputs that fit any package: sizes for every open dimension, tokens, images, padding."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

import graphvlm
from graphvlm.components.encoder.token_embedding import TokenEmbedding
from graphvlm.components.fusion.scatter import Scatter
from graphvlm.dims import Var
from graphvlm.exporters.samples import with_markers
from graphvlm.ir import Graph, Ref

from . import tiling
from .grids import grid_of, sizes_of
from .open_sizes import Sizes, of_encoders, of_patches, open_terms
from .shrinking import LINEAR, shrunk
from .variants import CALLS, TILES

ROOT = Path(__file__).parents[1]
GRAPHS = ROOT / "graphs"
TINY = GRAPHS / "tiny.yaml"
SHIPPED = tuple(sorted(path.stem for path in GRAPHS.glob("*.yaml")))
# Families whose blocks other graphs show too, and that tests/parity builds, runs and compiles in tiny forms.
_ELSEWHERE = frozenset(
    (
        *("blip_itm", "blip_caption", "blip_matching"),  # tests/test_oracles_training.py
        *("albef_vqa", "albef_vqa_training", "blip_vqa", "blip_vqa_training"),
        *("albef_search", "blip_search", "albef_nlvr", "blip_nlvr", "alpro_retrieval", "alpro_qa"),
        *("blip2_itm", "blip2_qformer", "blip2_opt_training", "blip2_t5_training"),
        *("albef_matching", "albef_classification", "albef_features", "blip_classification"),
        "timesformer_k400",  # tests/test_oracles_video.py
        *("aya_vision_8b", "audio_flamingo_3", "command_a_vision", "deepseek_vl_1_3b", "instructblip_vicuna_7b"),
        *("ovis2_8b", "paligemma_3b", "qwen3_5_9b", "video_llava_7b", "vip_llava_7b"),
    )
)
# The shipped graphs that are run and compiled: not those, and not those that are another one in another size.
RUN = tuple(
    name
    for name in SHIPPED
    if name not in _ELSEWHERE and "\nextends:" not in (GRAPHS / f"{name}.yaml").read_text(encoding="utf-8")
)

_WHERE = "nodes.llm.layers={count: %d, where: [%s]}"
_ROPE = "nodes.llm.position.scaling={type: %s}"

# Overrides of the tiny graph: together they show every option of every block.
VARIANTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "qk_norm": ("nodes.llm.attention.qk_norm.type=rms",),
        "qk_norm_alone": ("nodes.llm.attention.qk_norm={type: rms, eps: 1.0e-4}", "nodes.llm.position=none"),
        "tied": ("nodes.llm.head.tied=true",),
        "window": ("nodes.llm.attention.window=4",),
        "mixed_windows": (
            "nodes.llm.attention.window=4",
            _WHERE % (6, "{every: 3, from: 2, attention: {window: null}}"),
        ),
        "chunks": ("nodes.llm.attention={mask: {chunk: 5}, temperature: {floor: 3, scale: 0.5}}",),
        "mixed_chunks": (
            "nodes.llm.attention.mask={chunk: 5}",
            _WHERE
            % (
                4,
                "{at: [1], attention: {window: 3, mask: {chunk: 7}}}, {at: [2], attention: {mask: null, window: 4}},"
                "{at: [3], position: none, attention: {mask: null, temperature: {floor: 3, scale: 1, first: 0}}}",
            ),
        ),
        "a_window_in_chunks": (
            "nodes.llm.attention={window: 4, mask: {chunk: 6}}",
            _WHERE % (3, "{at: [1], attention: {mask: null}}, {at: [2], attention: {mask: {chunk: 9}}}"),
        ),
        "hidden": ("outputs={logits: null, hidden: llm.hidden}",),
        "many_outputs": ("outputs={logits: llm.logits, seen: vision, projected: projector, hidden: llm.hidden}",),
        "qkv_bias": ("nodes.llm.attention.bias={q: true, k: true, v: true}",),
        "query_bias": ("nodes.llm.attention.bias={q: true}",),
        "no_positions": ("nodes.llm.position=none",),
        "same_heads": ("nodes.llm.attention.kv_heads=6",),
        "layer_kinds": (
            _WHERE
            % (7, "{name: wide, at: [0, 3], mlp: {hidden: 96}}, {name: plain, range: [4, 6], mlp: {gated: false}}"),
        ),
        "linear_attention": (
            f"nodes.llm.attention.linear={LINEAR}",
            _WHERE % (4, "{name: full, at: [2], attention: {linear: null}}"),
        ),
        "all_linear": (
            f"nodes.llm.attention={{heads: null, kv_heads: null, head_dim: null, bias: null, linear: {LINEAR}}}",
            "nodes.llm.position=none",
        ),
        "all_fading": (
            "nodes.llm.attention={heads: null, kv_heads: null, head_dim: null, bias: null,"
            " linear: {rule: fading, key_heads: 3, key_dim: 10, value_dim: 14, activation: gelu}}",
            "nodes.llm={position: none, norm: {place: through}, residual: {skip: 1.5}}",
        ),
        "indexed": (
            "nodes.llm.attention.indexer={heads: 17, head_dim: 24, top: 6}",
            _WHERE
            % (
                4,
                "{name: shared, at: [1, 3], attention: {window: 9, indexer: shared}},"
                "{name: narrow, at: [2], position: {dim: 6}, attention: {kv_heads: null, head_dim: null, latent:"
                " {q_rank: 14, kv_rank: 12, nope_dim: 8, rope_dim: 6, value_dim: 10},"
                " indexer: {heads: 17, head_dim: 10, top: 5, style: interleaved}}}",
            ),
        ),
        "layer_norm": ("nodes.llm.norm={type: layer, bias: false}", "nodes.vision.output={drop_cls: true}"),
        "no_final_norm": ("nodes.llm.final_norm=false",),
        # kinds of layers whose classes and config fields could be called alike
        "look_alikes": (
            "nodes.llm.attention={heads: 4, kv_heads: 4, head_dim: 16, sinks: true}",
            "nodes.llm.position.dim=8",
            _WHERE
            % (
                5,
                "{name: latent, at: [1], attention: {heads: 2, kv_heads: 2}},"
                "{name: other, at: [2], position: {dim: 6}, attention: {kv_heads: null, head_dim: null, latent:"
                " {kv_rank: 12, nope_dim: 8, rope_dim: 6, value_dim: 10}}},"
                "{name: shared, at: [3], mlp: {hidden: 30}},"
                "{name: llm, at: [4], mlp: {moe: {experts: 3, top: 2, shared: {hidden: 20}}}}",
            ),
        ),
        "alibi": ("nodes.llm.position={type: alibi, max_bias: 6, theta: null}",),
        "learned": ("nodes.llm.position={type: learned, offset: 2, theta: null}",),
        "linear_rope": (_ROPE % "linear, factor: 4",),
        "llama3_rope": (_ROPE % "llama3, factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_tokens: 16",),
        "yarn_rope": (_ROPE % "yarn, factor: 4, original_max_tokens: 32", "passes.rope_table=false"),
        "dynamic_rope": (_ROPE % "dynamic, factor: 2, original_max_tokens: 8",),
        "kept_dead": ("passes.dead_layers=false", "nodes.vision.output.layer=0"),
        "embeddings": ("nodes.vision.output.layer=0",),
        "unmerged": ("passes.merge_projections=false",),
        "no_label_logits": ("passes.label_logits=false",),
        "tensor_parallel": ("parallelism={mesh: {dp: 2, tp: 2}, nodes: {vision: {tp: 1}}}",),
        "frozen": ('freeze=[vision, "llm.layers.0"]',),
        "frozen_inside": (
            "nodes.llm.layers=4",
            'freeze=["vision.*.bias", "llm.layers.*.attn_norm", "llm.layers.[02].mlp.down"]',
        ),
        "schedule": ("freeze={patterns: [vision], schedules: {projector: {until_step: 10}}}",),
        "image_alone": (
            "inputs={input_ids: null}",
            "nodes={llm: null, fused: null, text: null, projector: null}",
            "nodes.vision={position: none, image: {size: [28, 42]}}",
            "outputs={logits: null, features: vision}",
            "checkpoint=null",
        ),
        "text_alone": (
            "inputs={pixel_values: null}",
            "nodes={fused: null, projector: null, vision: null, llm: {inputs: text}}",
            "checkpoint=null",
        ),
        "relative": (
            "nodes.vision={class_token: false, image: {size: 70}, output: {drop_cls: null}, checkpoint: null}",
            "nodes.vision.attention={relative: true, mask: {grid_window: 2, edge: padded}}",
        ),
        "turned_patches": (
            "nodes.vision={class_token: last, position: [learned, {type: rope2d, first: 1}], checkpoint: null}",
        ),
        "whole_windows": (
            "nodes.vision={class_token: false, output: {drop_cls: null}, attention: {mask: {grid_window: 2}}}",
        ),
        # each segment with weights of its own; with attention and a feed-forward of its own as well
        "segments": (
            "nodes={fused: null, llm: {inputs: {image: projector, text: text}}}",
            "nodes.llm={segments: {image: {}, text: {restart: true}}, norm: {weights_by: segment}}",
            "nodes.llm={attention: {weights_by: segment, qk_norm: rms}, mlp: {weights_by: segment}}",
        ),
        "scopes": (
            "nodes={fused: null, llm: {inputs: {image: projector, text: text, source: vision}}}",
            "nodes.llm={segments: {image: {}, text: {}}, mlp: {scope: text}, layers: {each: [attn, see, [mlp, look]]}}",
            "nodes.llm.sublayers.see={op: attention, heads: 2, head_dim: 12, kv: source, scope: text}",
            "nodes.llm.sublayers.look={op: mlp, hidden: 30, scope: image, norm: {place: shared}}",
            "nodes.llm.layers.count=2",
        ),
        "marked_segments": (
            "nodes.llm={segments: {text: {}, image: {where: seen}}, inputs: {features: fused, seen: fused.places}}",
            "nodes.llm={attention: {weights_by: segment}, norm: {weights_by: segment}, mlp: {scope: text}}",
            "nodes.llm.layers={count: 2, each: [attn, [mlp, look, both], more]}",
            "nodes.llm.sublayers.look={op: mlp, hidden: 30, scope: image, norm: {place: shared}}",
            "nodes.llm.sublayers.both={op: mlp, hidden: 20, norm: {place: shared}}",
            "nodes.llm.sublayers.more={op: mlp, hidden: 20, scope: image}",
        ),
        "choosing_experts": (
            "nodes={fused: null, llm: {inputs: {image: projector, text: text}}}",
            "nodes.llm={segments: {image: {}, text: {}}, layers: {count: 2, each: [attn, [mlp, image_mlp]]}}",
            "nodes.llm.mlp={scope: text, moe: {experts: 3, router: {chooses: expert, score: sigmoid}}}",
            "nodes.llm.sublayers.image_mlp={op: mlp, hidden: 30, scope: image, norm: {place: shared}}",
            "nodes.llm.sublayers.image_mlp.moe={experts: 2, router: {chooses: expert, capacity: 0.6, noise: gumbel}}",
        ),
        "squares": (
            "nodes.pooled={kind: projector, type: transformer, inputs: vision, segments: {query: {window: 2}}}",
            "nodes.pooled={layers: {count: 1, each: [cross]}, norm: {type: layer, place: none}, final_norm: false}",
            "nodes.pooled.sublayers={cross: {op: attention, heads: 3, kv: image, residual: {skip: false}}}",
            "nodes.projector.inputs=pooled",
        ),
        "codebook": (
            "nodes.vision={patch: {norm: true}, checkpoint: null}",
            "nodes.shuffled={kind: projector, type: pixel_shuffle, factor: 3, remainder: pad, inputs: vision}",
            "nodes.shuffled.grid=[4, 4]",
            "nodes.scores={kind: projector, type: linear, out: 12, out_norm: layer, inputs: shuffled}",
            "nodes.projector={type: codebook, layers: null, activation: null, inputs: scores}",
            "nodes.projector={marks: 3, choose: argmax}",
            "nodes.fused={inputs: {around: projector.marks}, marks: {around: [96, 98, 97]}}",
        ),
        **CALLS,
        "linear_projector": ("nodes.projector={type: linear, layers: null, activation: null}",),
        "long_projector": ("nodes.projector={layers: 3, hidden: 28, activation: quick_gelu, bias: false}",),
        "prefix": (
            "nodes.fused={type: prefix, placeholder: null, inputs: null}",
            "nodes.fused.inputs={text: text, image: projector}",
        ),
        **TILES,
        "whole_prefix": (
            "nodes.fused={type: prefix, logits: all, placeholder: null, inputs: null}",
            "nodes.fused.inputs={text: text, image: projector}",
        ),
    }
)


@cache
def loaded(graph: str) -> Graph:
    """A shipped graph, at its size."""
    return graphvlm.load(GRAPHS / f"{graph}.yaml")


@cache
def variant(name: str) -> Graph:
    """A variant of the tiny graph."""
    return graphvlm.load(TINY, overrides=VARIANTS[name])


@cache
def small(name: str) -> Graph:
    """A shipped graph with the same parts and settings at a tiny size."""
    return graphvlm.load(GRAPHS / f"{name}.yaml", overrides=shrinking(name))


def shrinking(name: str) -> tuple[str, ...]:
    """The overrides that make a shipped graph tiny: odd widths, few layers, a vocabulary around its placeholders."""
    lines = [line for node in loaded(name).nodes.values() for line in shrunk(node)]
    if any(node.kind == "encoder" and node.type == "audio" for node in loaded(name).nodes.values()):
        lines.append("prompt=null")  # clips this short are no whole seconds
    return (*lines, "generation={bos_token_id: 1, eos_token_id: [2], pad_token_id: 0}")


_DEFAULT = {"batch": 2, "seq": 6, "images": 3, "tokens": 5, "channels": 3, "height": 28, "width": 42, "clips": 2}
_DEFAULT |= {"columns": 5, "patches": 5, "numbers": 6, "depth": 2, "tiles": 2, "frames": 12, "runs": 1, "videos": 2}


def sizes(graph: Graph, **wanted: int) -> Sizes:
    """Sizes by the names people call them (`batch=3, seq=7`); a text is `seq` longer than its placeholders."""
    numbers = {**_DEFAULT, **wanted}
    dims = [var for given in graph.inputs.values() for dim in given.port.shape for var in open_terms(dim)]
    found = tiling.open_sizes(graph, {var.key: numbers[var.name] for var in dims})
    found |= dict(of_patches(graph, Sizes(found)))
    found |= dict(of_encoders(graph, Sizes(found)))
    for name, given in graph.inputs.items():
        if given.port.what == "tokens":
            batch, seq = given.port.shape
            if isinstance(seq, Var):
                places = _placeholders(graph, name, Sizes(found))
                found[seq.key] += -(-sum(count for _, count, _ in places) // Sizes(found).evaluate(batch))
                found[seq.key] += sum(len(around) for *_, around in places)
    return Sizes(found)


def _placeholders(graph: Graph, tokens: str, known: Sizes) -> list[tuple[int, int, tuple[int, ...]]]:
    """(token id, how many, the tokens before and behind them) that scatters want to find in an input of tokens."""
    return [
        (token, prod(known.shape(node.signature.inputs[port].shape[:-1])), dict(node.spec.between).get(port, ()))
        for node in graph.nodes.values()
        if isinstance(node.spec, Scatter) and node.inputs["ids"] == Ref(tokens)
        for port, token in node.spec.placeholder
    ]


def fits(graph: Graph, known: Sizes) -> bool:
    """Whether every text is long enough for its placeholders: of what is joined with it, it is as long as that."""
    texts = (
        (name, known.shape(given.port.shape)) for name, given in graph.inputs.items() if given.port.what == "tokens"
    )
    return all(
        sum(count + shape[0] * len(around) for _, count, around in _placeholders(graph, name, known)) <= prod(shape)
        for name, shape in texts
    )


def inputs(graph: Graph, known: Sizes | None = None, *, seed: int = 0, padded: bool = False) -> dict[str, Tensor]:
    """Random inputs for every keyword of `forward`; `padded` starts the first row with two tokens of padding."""
    known = known or sizes(graph)
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, given in graph.inputs.items():
        shape = known.shape(given.port.shape)
        if given.port.what == "tokens":
            made[name] = _tokens(graph, name, shape, known, generator)
        elif given.port.what in ("token_types", "visible", "classes", "labels"):
            made[name] = torch.randint(0, 2, shape, generator=generator)
        elif given.port.what in ("mask", "repeats"):
            made[name] = torch.ones(shape, dtype=torch.long)
            if padded and given.port.what == "mask" and _of_text(graph, name):
                made[name][0, :2] = 0
        elif given.port.what == "grid":
            made[name] = grid_of(graph, name, shape[0], known)
        elif given.port.what == "stack_mask":
            made[name] = torch.ones(shape, dtype=torch.bool)
            made[name][:, :, shape[2] // 2 :] = made[name][0, ..., shape[3] - 3 :] = False
        elif given.port.what == "counts":
            made[name] = torch.tensor(tiling.image_counts(_images_of(graph, name, known), shape[0]))
        elif given.port.what == "sizes":
            made[name] = sizes_of(graph, name, shape[0], known)
        elif given.port.what in ("tile_grid", "tile_mask"):
            made[name] = torch.ones(shape, dtype=torch.long)
            made[name][:, -1, 1] = 2 if given.port.what == "tile_grid" else 0  # two tiles side by side; the first alone
        elif given.port.what in ("visible", "arrangement"):
            made[name] = torch.randint(0, 2, shape, generator=generator)
        else:
            draw = torch.rand if given.port.what == "seconds" else torch.randn
            made[name] = draw(shape, generator=generator)
    return made


def _of_text(graph: Graph, mask: str) -> bool:
    """Whether a mask is as long as some text."""
    length = graph.inputs[mask].port.shape[1]
    return any(given.port.what == "tokens" and given.port.shape[1] == length for given in graph.inputs.values())


def _images_of(graph: Graph, counts: str, known: Sizes) -> int:
    """How many images an input counts."""
    reader = next(node for node in graph.nodes.values() if Ref(counts) in node.inputs.values())
    return known.evaluate(reader.signature.inputs["stack"].shape[0])


def _tokens(graph: Graph, name: str, shape: tuple[int, ...], known: Sizes, generator: torch.Generator) -> Tensor:
    """Ordinary tokens, with the placeholders of all features in a run after two ordinary ones."""
    wanted = _placeholders(graph, name, known)
    vocab = vocabulary(graph, name)
    special = {each for token, _, around in wanted for each in (token, *around)}
    ordinary = torch.tensor([token for token in range(vocab) if token not in special])
    ids = ordinary[torch.randint(len(ordinary), shape, generator=generator)]
    run = torch.tensor([index for index, (_, count, _) in enumerate(wanted) for _ in range(count)], dtype=torch.long)
    for row, part in zip(ids, run.chunk(len(ids)), strict=False):
        marked = with_markers(part, wanted)
        start = min(2, shape[1] - len(marked))
        row[start : start + len(marked)] = marked
    return ids


def vocabulary(graph: Graph, tokens: str) -> int:
    """How many tokens there are where an input of tokens is read."""
    return min(
        node.spec.vocab
        for node in graph.nodes.values()
        if isinstance(node.spec, TokenEmbedding) and graph.stream_start(node.name)[0] == tokens
    )


@torch.no_grad()
def randomise(model: torch.nn.Module, seed: int = 0) -> None:
    """Every parameter random, those too that start at zero or one: such a parameter hides its own absence."""
    generator = torch.Generator().manual_seed(seed)
    for _, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(1 + 0.2 * noise if parameter.ndim < 2 else noise * parameter[0].numel() ** -0.5)


def packaged(graph: Graph) -> Any:
    """The imported package of a resolved graph."""
    from graphvlm.cache import imported

    return imported(graph)
