"""The arches of the `[vlm]` section: how image features reach the decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..findings import shown
from ..section import Section
from .vision import Nodes, Vision


@dataclass(frozen=True, slots=True)
class Parts:
    """What was read of the other sections; `llm` is a node without its inputs, `frames` those of one text."""

    vlm: Section
    model: Section
    vision: Vision
    adapter: Nodes
    llm: dict[str, Any]
    frames: int


def text_alone(llm: dict[str, Any]) -> dict[str, Any]:
    """A decoder without images."""
    return {
        "description": "A text model of KempnerForge",
        "inputs": {"input_ids": "tokens"},
        "nodes": {"text": _EMBEDDING, "llm": _wired(llm, "text")},
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"prefixes": {"llm": ""}},
    }


def joint_decoder(parts: Parts) -> dict[str, Any]:
    """Image tokens stand before the text, in one causal sequence."""
    fused: dict[str, Any] = {"kind": "fusion", "type": "prefix", "inputs": {"image": "adapter", "text": "text"}}
    if parts.frames > 1:
        fused["images"] = parts.frames
    nodes = {"text": _EMBEDDING, "fused": fused, "llm": _wired(parts.llm, "fused")}
    return _graph(parts, "A joint decoder of KempnerForge: image tokens before the text", nodes)


def cross_attention(parts: Parts) -> dict[str, Any]:
    """After every so many layers, the text attends to the image tokens, in blocks of their own."""
    layers = parts.llm["layers"]
    count, where = (layers["count"], layers["where"]) if isinstance(layers, dict) else (layers, [])
    every = parts.vlm.integer("cross_attention_every_n_layers")
    if every > count:
        message = f"`vlm.cross_attention_every_n_layers` is {every} for {count} layers: none would see the image"
        parts.vlm.problems.conflict(message, parts.vlm.span("cross_attention_every_n_layers"))
    _check_alone(parts, "cross_attention")
    mlp = {key: value for key, value in parts.llm["mlp"].items() if key != "moe"}
    norm = {"norm": {"eps": CROSS_NORM_EPS}}
    crossed = {"name": "crossed", "every": every, "from": every - 1, "each": ["attn", "mlp", "cross", "cross_mlp"]}
    llm = _wired(parts.llm, {"features": "text", "image": "adapter"}) | {
        "layers": {"count": count, "where": [*where, crossed]},
        "sublayers": {
            "cross": {"op": "attention", "kv": "image", **_cross_widths(parts), "bias": False, **norm},
            "cross_mlp": {"op": "mlp", **mlp, **norm},
        },
        "checkpoint": {"use": "checkpoint/kempnerforge_cross"},
    }
    description = "A decoder of KempnerForge that attends to image tokens in blocks of their own"
    return _graph(parts, description, {"text": _EMBEDDING, "llm": llm})


def _cross_widths(parts: Parts) -> dict[str, Any]:
    """Heads of the cross-attention: the decoder's unless written, and as many of keys and values unless written."""
    dim = parts.model.integer("dim")
    heads = parts.vlm.integer("cross_attention_n_heads", least=0) or parts.model.integer("n_heads")
    kv_heads = parts.vlm.integer("cross_attention_n_kv_heads", least=0) or heads
    if heads % kv_heads or dim % heads:
        message = f"`vlm.cross_attention_n_heads`: {heads} heads must divide the width, and {kv_heads} must divide them"
        parts.vlm.problems.conflict(message, parts.vlm.span("cross_attention_n_heads"))
    return {"kv_dim": dim, "heads": heads, **({"kv_heads": kv_heads} if kv_heads != heads else {})}


def mixture(parts: Parts) -> dict[str, Any]:
    """Image tokens and text attend to each other in one sequence, and each have weights of their own."""
    _check_alone(parts, "mot")
    wanted = parts.vlm.listed("mot_modalities")
    if wanted != ["image", "text"]:
        message = f"`vlm.mot_modalities` is {shown(wanted)}: only images before text can be imported"
        parts.vlm.unsupported("mot_modalities", message, 'write `["image", "text"]`, or leave it out')
    for key, other in (("mot_image_n_heads", "n_heads"), ("mot_image_n_kv_heads", "n_kv_heads")):
        heads = parts.vlm.integer(key, least=0)
        usual = parts.model.integer_or_none(other) or parts.model.integer("n_heads")
        if heads not in (0, usual):
            message = f"`vlm.{key}` is {heads}, and `model.{other}` {usual}: all segments share one attention"
            parts.vlm.problems.conflict(message, parts.vlm.span(key))
    llm = _wired(parts.llm, {"image": "adapter", "text": "text"})
    own = {key: {**llm[key], "weights_by": "segment"} for key in ("norm", "attention", "mlp")}
    segments = {"segments": {"image": {}, "text": {"restart": True}}}
    llm |= segments | own | {"checkpoint": {"use": "checkpoint/kempnerforge_mot"}}
    description = (
        "A mixture of transformers of KempnerForge: one attention, and weights of their own for image and text"
    )
    return _graph(parts, description, {"text": _EMBEDDING, "llm": llm})


def choosing_experts(parts: Parts) -> dict[str, Any]:
    """Image tokens before the text; behind a shared attention, experts of each of the two choose their tokens."""
    _check_alone(parts, "moma")
    experts = _experts(parts.vlm)
    if "moe" in parts.llm["mlp"] or isinstance(parts.llm["layers"], dict):
        message = "`model.num_experts` is for tokens that choose, and with `moma` experts choose"
        parts.model.problems.conflict(message, parts.model.span("num_experts"))
    router: dict[str, Any] = {"chooses": "expert", "score": "sigmoid"}
    if parts.vlm.value("moma_capacity_factor"):
        router["capacity"] = parts.vlm.number("moma_capacity_factor")
    if parts.vlm.boolean("moma_gumbel_noise"):
        router["noise"] = "gumbel"
    mlp = {
        name: {**parts.llm["mlp"], "scope": name, "moe": {"experts": count, "router": router}}
        for name, count in experts.items()
    }
    llm = _wired(parts.llm, {"image": "adapter", "text": "text"}) | {
        "segments": {"image": {}, "text": {}},
        "mlp": mlp["text"],
        "sublayers": {"image_mlp": {"op": "mlp", **mlp["image"], "norm": {"place": "shared"}}},
        "layers": {"count": parts.model.integer("n_layers"), "each": ["attn", ["mlp", "image_mlp"]]},
        "checkpoint": {"use": "checkpoint/kempnerforge_moma"},
    }
    description = "A transformer of KempnerForge whose experts, of image tokens and of text, choose their tokens"
    return _graph(parts, description, {"text": _EMBEDDING, "llm": llm})


def _experts(vlm: Section) -> dict[str, int]:
    """How many experts each kind of token has."""
    found = vlm.value("moma_experts_per_modality")
    numbers = isinstance(found, dict) and all(type(number) is int and number > 0 for number in found.values())
    if not isinstance(found, dict) or not numbers or set(found) != {"image", "text"}:
        vlm.wrong("moma_experts_per_modality", "whole numbers for `image` and `text`")
        return {"text": 1, "image": 1}
    return {name: found[name] for name in ("text", "image")}


def _check_alone(parts: Parts, arch: str) -> None:
    if parts.frames > 1:
        message = f"`vlm.arch` is `{arch}` over the frames of a video, which cannot be imported yet"
        parts.vlm.unsupported("arch", message, "`joint_decoder` can be imported with `[video]`")


READERS: Mapping[str, Callable[[Parts], dict[str, Any]]] = MappingProxyType(
    {"joint_decoder": joint_decoder, "cross_attention": cross_attention, "mot": mixture, "moma": choosing_experts}
)

CROSS_NORM_EPS = 1e-5  # whatever `norm_eps` says

_EMBEDDING = {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids"}
_MODULES = {"vision_encoder": "vision", "adapter": "adapter", "transformer": "llm"}
_CROSS_MODULE = {"cross_attention": "llm.layers.*.cross*"}
_PREFIXES = {"adapter": "adapter.", "llm": "transformer."}
_VISION_PREFIX = {"vision": "vision_encoder.vision_tower."}


def _wired(llm: dict[str, Any], inputs: object) -> dict[str, Any]:
    """The decoder with its inputs, where a reader looks for them."""
    return {"kind": llm["kind"], "type": llm["type"], "inputs": inputs} | llm


def _graph(parts: Parts, description: str, nodes: dict[str, Any]) -> dict[str, Any]:
    vision = {} if parts.vision.node is None else {"vision": parts.vision.node}
    frozen = _frozen(parts)
    pools = {name: _PREFIXES["adapter"] for name, node in parts.adapter.items() if "segments" in node}
    return {
        "description": description,
        "inputs": {**parts.vision.input, "input_ids": "tokens"},
        "nodes": {**vision, **parts.adapter, **nodes},
        "outputs": {"logits": "llm.logits"},
        **({"freeze": frozen} if frozen else {}),
        "checkpoint": {"prefixes": {**(_VISION_PREFIX if vision else {}), **pools, **_PREFIXES}},
    }


def _frozen(parts: Parts) -> list[str]:
    """The nodes whose parameters are not trained. A tower that is not there has none to freeze."""
    found = []
    modules = _MODULES | (_CROSS_MODULE if parts.vlm.value("arch") == "cross_attention" else {})
    for spec in parts.vlm.listed("freeze"):
        module = spec.get("module") if isinstance(spec, dict) else None
        if not isinstance(module, str) or module not in modules:
            message = f"`vlm.freeze` names `{shown(module)}`: only whole modules can be imported"
            parts.vlm.unsupported("freeze", message, "the modules are " + ", ".join(f"`{name}`" for name in modules))
        elif spec.get("frozen", True) and (module != "vision_encoder" or parts.vision.node is not None):
            found.append(modules[module])
    return found
