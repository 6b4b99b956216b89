"""What the code of each text model class of transformers fixes, beside what its config says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class TextKind:
    """A text model class as settings of the block language.

    `bias` decides over the four projections of an attention, together or one by one: a field that says it, or the
    decision itself. `window`: every layer (`all`), those that layer types or else `max_window_layers` name (`some`),
    those that layer types name or else every other (`even`), or none. `norm` is what norms have beside type and eps,
    `embedding` what the token embedding has beside its sizes. `activation` is the field that names the activation, and
    `activations` are those that the class does not take at their word.
    """

    bias: str | bool | Mapping[str, bool | str]
    qk_norm: Literal["", "head", "all"] = ""
    window: Literal["none", "all", "some", "even"] = "none"
    norm: Mapping[str, Any] = field(default_factory=dict)
    activation: str = "hidden_act"
    activations: Mapping[str, str] = field(default_factory=dict)
    embedding: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str = "checkpoint/llama"


_QKV: Mapping[str, bool | str] = MappingProxyType({"q": True, "k": True, "v": True, "o": False})
_QKV_BIAS: Mapping[str, bool | str] = MappingProxyType({"q": "qkv_bias", "k": "qkv_bias", "v": "qkv_bias", "o": False})

TEXT_KINDS: Mapping[str, TextKind] = MappingProxyType(
    {
        "llama": TextKind(bias="attention_bias"),
        "mistral": TextKind(bias=False, window="all"),
        "qwen2": TextKind(bias=_QKV, window="some"),
        "qwen3": TextKind(bias="attention_bias", qk_norm="head", window="some"),
        "mixtral": TextKind(bias=False, window="all", checkpoint="checkpoint/mixtral"),
        "qwen2_moe": TextKind(bias=_QKV_BIAS, window="even", checkpoint="checkpoint/qwen_moe"),
        "qwen3_moe": TextKind(bias="attention_bias", qk_norm="head", window="all", checkpoint="checkpoint/qwen_moe"),
        "olmo2": TextKind(
            bias="attention_bias", qk_norm="all", norm={"place": "branch"}, checkpoint="checkpoint/olmo2"
        ),
        "gemma": TextKind(
            bias="attention_bias",
            norm={"unit_offset": True},
            activations={"gelu": "gelu_tanh"},  # what the first files call by the other's name
            embedding={"scale": "sqrt_dim"},
        ),
        "gemma2": TextKind(
            bias="attention_bias",
            window="even",
            norm={"unit_offset": True, "place": "sandwich"},
            activation="hidden_activation",
            embedding={"scale": "sqrt_dim"},
            checkpoint="checkpoint/gemma",
        ),
    }
)
