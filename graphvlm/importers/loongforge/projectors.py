"""The image projectors of LoongForge as one or two nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from .component import Component
from .tables import HARMLESS
from .towers import GROUP, activation

Nodes = dict[str, dict[str, Any]]


Reads = str | dict[str, str]


def read_projector(config: Component, inputs: Reads) -> Nodes:
    """The nodes between what they read, `inputs`, and the language model; the last one is `merger` or `projector`."""
    config.check_names(HARMLESS, f"a `{config.stem}`")
    return READERS[config.stem](config, inputs)


def deep_merger(config: Component, inputs: Reads) -> dict[str, Any]:
    """The projector again, for hidden states of a layer: it normalises blocks, not patches."""
    return {**_merger(config, inputs)["merger"], "norm_over": "block"}


def _norm(config: Component) -> dict[str, Any]:
    name = config.choice("normalization", ("RMSNorm", "LayerNorm"))
    return {"type": {"RMSNorm": "rms", "LayerNorm": "layer"}[name], "eps": config.number("layernorm_epsilon")}


def _merger(config: Component, inputs: Reads) -> Nodes:
    """Patches of a block side by side, through two linear maps, after a norm of each patch."""
    config.neutral({"gated_linear_unit": (False,)})
    node = {
        "kind": "projector",
        "type": "patch_merger",
        "inputs": inputs,
        "group": GROUP,
        "norm": _norm(config),
        "layers": 2,
        "activation": activation(config),
        "bias": config.boolean("add_bias_linear"),
    }
    return {"merger": node}


def _shuffled(config: Component, inputs: Reads) -> Nodes:
    """Squares of tokens as one, a norm, and two linear maps; `hidden_size` is the width of the language model."""
    config.neutral({"downsample_ratio": (0.5,), "gated_linear_unit": (False,)})
    out, hidden = config.integer_or_none("hidden_size"), config.integer_or_none("ffn_hidden_size")
    node: dict[str, Any] = {
        "kind": "projector",
        "type": "mlp",
        "inputs": "shuffled",
        "norm": _norm(config),
        "layers": 2,
        "activation": activation(config),
        "bias": config.boolean("add_bias_linear"),
    }
    if hidden is not None and hidden != out:
        node["hidden"] = hidden
    if out is not None:
        node["out"] = out
    return {
        "shuffled": {"kind": "projector", "type": "pixel_shuffle", "inputs": inputs, "factor": 2},
        "projector": node,
    }


def _downsampled(config: Component, inputs: Reads) -> Nodes:
    """Blocks of patches as one token, after a norm of the whole block."""
    config.neutral({"merger_times": (1,), "merge_kernel_size": ([GROUP, GROUP],)})
    merger = _merger(config, inputs)
    merger["merger"]["norm_over"] = "block"
    return merger


def _normed(config: Component, inputs: Reads) -> Nodes:
    """One linear map and a norm behind it; the widths in the file are not read there either."""
    norm = {"type": "rms", "eps": config.number("rms_norm_eps")}
    return {"projector": {"kind": "projector", "type": "linear", "inputs": inputs, "bias": True, "out_norm": norm}}


READERS: Mapping[str, Callable[[Component, Reads], Nodes]] = MappingProxyType(
    {
        "MLPAdapterConfig": _merger,
        "PatchMergerMLPAdapterConfig": _merger,
        "InternMLPAdapterConfig": _shuffled,
        "MiniCPMV46MergerConfig": _downsampled,
        "ErnieAdapterConfig": _normed,
    }
)
