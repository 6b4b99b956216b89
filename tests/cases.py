"""Mistakes in tiny.yaml as edits of it: what `test_checks` and its cases are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SPANS = "mask: {any: [causal, {spans: spans}]}"
ROPE = "{type: rope, theta: 10000.0}"
HEADS = "attention: {heads: 6, kv_heads: 2, head_dim: 20, bias: false}"
SEEN = {
    "    inputs: fused\n": "    inputs: {features: fused, spans: fused.places}\n",
    HEADS: f"{HEADS[:-1]}, {SPANS}}}",
}
RMS = "norm: {type: rms, eps: 1.0e-5}"
MLP = "mlp: {hidden: 72, activation: silu, gated: true, bias: false"
LATENT = "kv_rank: 8, nope_dim: 6, rope_dim: 4, value_dim: 6"
COUNT = "    max_tokens: 256\n    layers: 2\n"
FUSED = "    inputs: {text: text, image: projector, ids: input_ids}\n    placeholder: {image: 99}\n"
HEAD = "head: {tied: false, bias: false}"
NAMES = "checkpoint: {use: checkpoint/llama}"
LAST = "checkpoint: {use: checkpoint/llava}"
MASKS = {"  input_ids: tokens\n": "  input_ids: tokens\n  first: mask\n  second: mask\n"}
WIDENED = {
    "  fused:\n": "  widened: {kind: projector, type: linear, inputs: text}\n  fused:\n",
    "text: text,": "text: widened,",
    HEAD: "head: {tied: true}",
}
OF_IMAGES = {
    "    inputs: fused\n": "    inputs: projector\n",
    "logits: llm.logits": "logits: llm.logits\n  fused: fused",
    "type: token_embedding\n": "type: token_embedding\n    vocab: 101\n    dim: 40\n",
    HEAD: "head: {tied: true}",
}
OTHER_IDS = {
    "  input_ids: tokens\n": "  input_ids: tokens\n  other_ids: tokens\n  mine: mask\n",
    "  fused:\n": "  other: {kind: encoder, type: token_embedding, vocab: 9, dim: 8, inputs: other_ids}\n  fused:\n",
    "logits: llm.logits": "logits: llm.logits\n  other: other",
}
TEXT = "type: token_embedding\n"
INPUTS = "  input_ids: tokens\n"


def rope(scaling: str, theta: str = "10000.0") -> Mapping[str, str]:
    return {ROPE: f"{{type: rope, theta: {theta}, scaling: {{{scaling}}}}}"}


def layers(*entries: str) -> Mapping[str, str]:
    return {COUNT: COUNT.replace("2\n", f"{{count: 2, where: [{', '.join(entries)}]}}\n")}


def each(order: str) -> Mapping[str, str]:
    return {COUNT: COUNT.replace("2\n", f"{{count: 2, each: {order}}}\n")}


def cross(more: str = "", port: str = "image", second: str = "") -> Mapping[str, str]:
    """An attention over image features in the second layer, and another one where `second` has settings."""
    form = "op: attention, heads: 4, kv: {port}"
    names = {"cross": ", ".join(filter(None, (form.format(port=port), more)))}
    if second:
        names["again"] = f"{form.format(port=port)}, {second}"
    masked = {"shown: shown"} if "shown" in more + second else set[str]()
    ports = ", ".join(sorted({"features: fused", f"{port}: projector"} | masked))
    more_inputs = "  shown: mask\n" if masked else ""
    sublayers = ", ".join(f"{name}: {{{settings}}}" for name, settings in names.items())
    layers = f"{{count: 2, where: [{{at: [1], each: [attn, {', '.join(names)}, mlp]}}]}}\n"
    return {
        COUNT: COUNT.replace("2\n", f"{layers}    sublayers: {{{sublayers}}}\n"),
        "    inputs: fused\n": f"    inputs: {{{ports}}}\n",
        INPUTS: f"{INPUTS}{more_inputs}",
    }


def latent(more: str = "", rope_dim: int = 4) -> Mapping[str, str]:
    widths = LATENT.replace("rope_dim: 4", f"rope_dim: {rope_dim}")
    return {HEADS: f"attention: {{heads: 6, latent: {{{', '.join(filter(None, (widths, more)))}}}}}"}


def indexed(settings: str, *entries: str, position: str = ROPE) -> Mapping[str, str]:
    """An indexer in both layers, but for what `entries` say."""
    more = layers(*entries) if entries else {}
    return {HEADS: f"{HEADS[:-1]}, indexer: {settings}}}", ROPE: position, **more}


def linear(
    settings: str = "key_heads: 2, key_dim: 8", *entries: str, heads: str = "heads: 6, head_dim: 8, "
) -> Mapping[str, str]:
    """Linear attention in both layers, but for what `entries` say, beside what full attention would have."""
    return {HEADS: f"attention: {{{heads}linear: {{{settings}}}}}", **(layers(*entries) if entries else {})}


def moe(top: str, router: str = "") -> Mapping[str, str]:
    return {MLP: f"{MLP}, moe: {{experts: 4, {top}, router: {{{router}}}}}"}


def pooled(settings: str) -> Mapping[str, str]:
    """A projector that puts tokens together, before the other."""
    node = f"  pooled: {{kind: projector, type: pool, {settings}, inputs: vision}}\n"
    return {"  projector:\n": f"{node}  projector:\n", "    inputs: vision\n": "    inputs: pooled\n"}


@dataclass(frozen=True, slots=True)
class Case:
    """Edits of tiny.yaml, the rule they break, what is under the caret and the labels, and the edits that help."""

    rule: str
    edits: Mapping[str, str]
    place: str
    labels: tuple[str, ...] = ()
    message: str = ""
    help: str = ""
    fix: Mapping[str, str] = field(default_factory=dict)


LONGROPE = "type: longrope, factor: 2, original_max_tokens: 64, short_factors: [1, 1], long_factors: [1, 2]"
YARN = "type: yarn, factor: 4, original_max_tokens: 64"
LLAMA3 = "type: llama3, factor: 4, original_max_tokens: 64"
PARALLEL = "parallelism: {mesh: {%s}, nodes: {%s}}\ngeneration"
