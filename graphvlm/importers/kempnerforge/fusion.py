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
        "nodes": {"text": _EMBEDDING, "llm": {**llm, "inputs": "text"}},
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"prefixes": {"llm": ""}},
    }


def joint_decoder(parts: Parts) -> dict[str, Any]:
    """Image tokens stand before the text, in one causal sequence."""
    fused: dict[str, Any] = {"kind": "fusion", "type": "prefix", "inputs": {"image": "adapter", "text": "text"}}
    if parts.frames > 1:
        fused["images"] = parts.frames
    nodes = {"text": _EMBEDDING, "fused": fused, "llm": {**parts.llm, "inputs": "fused"}}
    return _graph(parts, "A joint decoder of KempnerForge: image tokens before the text", nodes)


READERS: Mapping[str, Callable[[Parts], dict[str, Any]]] = MappingProxyType({"joint_decoder": joint_decoder})

_EMBEDDING = {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids"}
_MODULES = {"vision_encoder": "vision", "adapter": "adapter", "transformer": "llm"}
_PREFIXES = {"adapter": "adapter.", "llm": "transformer."}
_VISION_PREFIX = {"vision": "vision_encoder.vision_tower."}


def _graph(parts: Parts, description: str, nodes: dict[str, Any]) -> dict[str, Any]:
    vision = {} if parts.vision.node is None else {"vision": parts.vision.node}
    frozen = _frozen(parts)
    return {
        "description": description,
        "inputs": {**parts.vision.input, "input_ids": "tokens"},
        "nodes": {**vision, **parts.adapter, **nodes},
        "outputs": {"logits": "llm.logits"},
        **({"freeze": frozen} if frozen else {}),
        "checkpoint": {"prefixes": {**(_VISION_PREFIX if vision else {}), **_PREFIXES}},
    }


def _frozen(parts: Parts) -> list[str]:
    """The nodes whose parameters are not trained. A tower that is not there has none to freeze."""
    found = []
    for spec in parts.vlm.listed("freeze"):
        module = spec.get("module") if isinstance(spec, dict) else None
        if not isinstance(module, str) or module not in _MODULES:
            message = f"`vlm.freeze` names `{shown(module)}`: only whole modules can be imported"
            parts.vlm.unsupported("freeze", message, "the modules are " + ", ".join(f"`{name}`" for name in _MODULES))
        elif spec.get("frozen", True) and (module != "vision_encoder" or parts.vision.node is not None):
            found.append(_MODULES[module])
    return found
