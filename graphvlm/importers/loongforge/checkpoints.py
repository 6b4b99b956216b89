"""Under which names the published weights of a composition are kept: those that `transformers` writes for the model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_TOWERS: Mapping[str, str] = MappingProxyType(
    {
        "Qwen2VisionModelConfig": "checkpoint/qwen2_vision",
        "Qwen2VisionRMSNormConfig": "checkpoint/qwen2_5_vision",
        "Qwen3VisionModelConfig": "checkpoint/qwen3_vision",
        "Qwen35VisionConfig": "checkpoint/qwen3_vision",
        "InternVisionConfig": "checkpoint/internvl_vision",
        "ErnieVisionConfig": "checkpoint/ernie4_5_vl_vision",
        "MiniCPMV46VisionConfig": "checkpoint/minicpm_vision",
    }
)
_MERGERS: Mapping[str, str] = MappingProxyType(
    {
        "Qwen2VisionModelConfig": "checkpoint/qwen2_merger",
        "Qwen2VisionRMSNormConfig": "checkpoint/qwen2_merger",
        "Qwen3VisionModelConfig": "checkpoint/qwen3_merger",
        "Qwen35VisionConfig": "checkpoint/qwen3_merger",
    }
)
# Tower and foundation that are published together -> the map of the whole.
_WHOLES: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("Qwen2VisionModelConfig", "Qwen2Config"): "checkpoint/qwen2_vl",
        ("Qwen2VisionRMSNormConfig", "Qwen2Config"): "checkpoint/qwen2_vl",
        ("Qwen3VisionModelConfig", "Qwen3Config"): "checkpoint/qwen3_vl",
        ("InternVisionConfig", "Qwen2Config"): "checkpoint/llava",
        ("ErnieVisionConfig", "ErnieMoeConfig"): "checkpoint/ernie4_5_vl",
        ("MiniCPMV46VisionConfig", "Qwen35Config"): "checkpoint/minicpm_v_4_6",
        ("InternVisionConfig", "Qwen3Config"): "checkpoint/llava",
    }
)


def tower_names(stem: str) -> dict[str, Any]:
    """The `checkpoint` of a tower, by the name of its class; nothing where no file of `transformers` has it."""
    return {"checkpoint": {"use": _TOWERS[stem]}} if stem in _TOWERS else {}


def add_names(nodes: dict[str, Any], tower: str, foundation: str) -> dict[str, Any]:
    """Write the `checkpoint` of projectors, and of a language model inside another; the `checkpoint` of the graph."""
    for name, node in nodes.items():
        if "merger" in name and tower in _MERGERS:
            node["checkpoint"] = {"use": _MERGERS[tower]}
    if tower == "InternVisionConfig":
        nodes["projector"]["checkpoint"] = {"names": {"norm": "layer_norm"}}
    if tower == "ErnieVisionConfig":
        if "projector" not in nodes:  # another projector than the published one
            return {}
        nodes["projector"]["checkpoint"] = {"names": {"linear": "mlp", "norm": "after_norm"}}
    if tower == "MiniCPMV46VisionConfig":
        if "reduced" not in nodes or "merger" not in nodes or foundation != "Qwen35Config":
            return {}
        nodes["merger"]["checkpoint"] = {"names": {"norm": "pre_norm"}}
        nodes["llm"]["checkpoint"] = {"use": "checkpoint/qwen3_5_whole"}
    whole = _WHOLES.get((tower, foundation))
    if whole is None:
        return {}
    if whole != "checkpoint/qwen3_vl":
        return {"checkpoint": {"use": whole}}
    inside = "checkpoint/qwen3_vl_moe_text" if "moe" in nodes["llm"]["mlp"] else "checkpoint/qwen3_vl_text"
    nodes["llm"]["checkpoint"] = {"use": inside}
    deep = (name for name in nodes if name.startswith("deep_merger_"))
    prefixes = {name: f"model.visual.deepstack_merger_list.{index}." for index, name in enumerate(deep)}
    return {"checkpoint": {"use": whole, "prefixes": prefixes}}
