"""The audio towers of transformers as one encoder: all are Whisper's, with other ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .fields import Fields
from .tables import ConfigTable, Values

# No tower reads these: a scale that only Whisper's decoder knows, layers left out in training, a vocabulary.
_UNREAD = frozenset({"scale_embedding", "activation_dropout", "layerdrop", "encoder_layerdrop", "vocab_size"})

_WHISPER: Values = MappingProxyType(
    {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
        "num_mel_bins": 128,
        "max_source_positions": 1500,
        "activation_function": "gelu",
    }
)

AUDIO_TABLES: Mapping[str, ConfigTable] = MappingProxyType(
    {
        "qwen2_audio_encoder": ConfigTable(
            "qwen2_audio_encoder",
            {
                "d_model": 1280,
                "encoder_ffn_dim": 5120,
                "encoder_layers": 32,
                "encoder_attention_heads": 20,
                "num_mel_bins": 128,
                "max_source_positions": 1500,
                "activation_function": "gelu",
            },
            harmless=_UNREAD,
        ),
        # the published file of Voxtral has the last two, which the class does not read
        "voxtral_encoder": ConfigTable(
            "voxtral_encoder", _WHISPER, harmless=_UNREAD | {"head_dim", "num_key_value_heads"}
        ),
        "audioflamingo3_encoder": ConfigTable("audioflamingo3_encoder", _WHISPER, harmless=_UNREAD),
    }
)


@dataclass(frozen=True, slots=True)
class Audio:
    """The encoder node without what stands at its end, its width, and its tokens of a clip before they are pooled."""

    node: dict[str, Any]
    dim: int
    hidden: int
    tokens: int


# Our name of a size -> the names that the classes have for it.
_NAMES = {
    "dim": ("d_model", "hidden_size"),
    "hidden": ("encoder_ffn_dim", "intermediate_size"),
    "layers": ("encoder_layers", "num_hidden_layers"),
    "heads": ("encoder_attention_heads", "num_attention_heads"),
}


def read_audio(config: Fields, inputs: Any) -> Audio:
    """The encoder of an audio config: two convolutions, of which the second halves the frames, then layers."""
    config.check_names()
    dim, hidden, layers, heads = (config.integer(_own(config, names)) for names in _NAMES.values())
    if dim % heads:
        name = _own(config, _NAMES["dim"])
        message = f"`{config.name(name)}`: a width of {dim} is not a multiple of {heads} heads"
        config.problems.conflict(message, config.span(name))
    tokens = config.integer("max_source_positions")
    node: dict[str, Any] = {
        "kind": "encoder",
        "type": "audio",
        "inputs": inputs,
        "audio": {"bins": config.integer("num_mel_bins"), "frames": 2 * tokens},
        "front": {"kernel": 3, "strides": [1, 2], "activation": "gelu"},
        "position": "learned",
        "dim": dim,
        "layers": layers,
        "norm": {"type": "layer", "eps": 1e-5},
        "attention": {"heads": heads, "bias": {"q": True, "k": False, "v": True, "o": True}},
        "mlp": {"hidden": hidden, "activation": config.activation("activation_function"), "bias": True},
        "final_norm": True,
        "checkpoint": {"use": "checkpoint/whisper_encoder"},
    }
    return Audio(node, dim, hidden, tokens)


def _own(config: Fields, names: tuple[str, str]) -> str:
    """The name that the class of this config has for a size."""
    return next(name for name in names if name in config.table.understood)
