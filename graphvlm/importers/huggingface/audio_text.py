"""Models of sound and text as graphs: audio tower, projector, embedded text with sound in place of placeholders."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ...tree import Tree, mapping
from .audio import AUDIO_TABLES, Audio, read_audio
from .fields import Fields
from .multimodal import Family, Imported, fused_language, read_part, read_placeholder
from .tables import ConfigTable, Values
from .text import read_decoder, read_embedding
from .text_tables import TEXT_TABLES

VOXTRAL = ConfigTable(
    "voxtral",
    {"audio_config": None, "text_config": None, "audio_token_id": None, "projector_hidden_act": "gelu"},
    # a copy of the width of the text
    harmless=frozenset({"hidden_size"}),
    neutral={"tie_word_embeddings": False},
)

VOXTRAL_PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "audio_config": {"model_type": "voxtral_encoder"},
        "text_config": {
            "model_type": "llama",
            "vocab_size": 131072,
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "num_hidden_layers": 30,
            "num_key_value_heads": 8,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-05,
            "use_cache": True,
            "rope_theta": 100000000.0,
            "head_dim": 128,
        },
    }
)


QWEN2_AUDIO = ConfigTable(
    "qwen2_audio",
    {"audio_config": None, "text_config": None, "audio_token_index": 151646, "audio_token_id": None},
    # the label that the loss ignores, and a vocabulary that the class does not read
    harmless=frozenset({"ignore_index", "vocab_size"}),
    neutral={"tie_word_embeddings": False},
)

QWEN2_AUDIO_PARTS: Mapping[str, Values] = MappingProxyType(
    {"audio_config": {"model_type": "qwen2_audio_encoder"}, "text_config": {"model_type": "qwen2"}}
)

AUDIO_FLAMINGO3 = ConfigTable(
    "audioflamingo3",
    {
        "audio_config": None,
        "text_config": None,
        "audio_token_id": 151669,
        "projector_hidden_act": "gelu",
        "projector_bias": True,
    },
    neutral={"tie_word_embeddings": False},
)

AUDIO_FLAMINGO3_PARTS: Mapping[str, Values] = MappingProxyType(
    {"audio_config": {"model_type": "audioflamingo3_encoder"}, "text_config": {"model_type": "qwen2"}}
)


def read_qwen2_audio(config: Fields) -> Imported | None:
    """The graph of a Qwen2-Audio config: pairs of tokens are averaged, and one matrix projects them."""
    projector = {"kind": "projector", "type": "linear", "bias": True, "inputs": "audio"}
    return _read_padded(config, QWEN2_AUDIO_PARTS, projector, "feature_attention_mask", "audio_token_index")


def read_audio_flamingo3(config: Fields) -> Imported | None:
    """The graph of an Audio Flamingo 3 config: pairs of tokens are averaged, and two matrices project them."""
    bias = config.boolean("projector_bias")
    projector = _mlp(config) | ({} if bias else {"bias": False})
    return _read_padded(config, AUDIO_FLAMINGO3_PARTS, projector, "input_features_mask", "")


def _read_padded(
    config: Fields, parts: Mapping[str, Values], projector: dict[str, Any], mask: str, older: str
) -> Imported | None:
    """A graph whose clips are padded, as the input `mask` says; `older` is another name of the placeholder's field."""
    config.check_names()
    text = read_part(config, "text_config", TEXT_TABLES, parts["text_config"])
    fields = read_part(config, "audio_config", AUDIO_TABLES, parts["audio_config"])
    if text is None or fields is None:
        return None
    audio = read_audio(fields, {"audio": "input_features", "mask": mask})
    _check_pairs(fields, audio)
    towers = {
        "audio": audio.node | {"pool": {"type": "mean", "size": 2, "place": "before_norm"}},
        "projector": projector,
    }
    body = _body(config, text, towers, {"audio_mask": "audio.mask"}, ("audio_token_id", older))
    return Imported(body, text, {"input_features": "audio", mask: "mask", "input_ids": "tokens"})


def _check_pairs(fields: Fields, audio: Audio) -> None:
    if audio.tokens % 2:
        name = "max_source_positions"
        message = f"`{fields.name(name)}` is {audio.tokens}: tokens are averaged in pairs, and the last would be lost"
        fields.unsupported(name, message, "write an even number")


def _mlp(config: Fields) -> dict[str, Any]:
    return {
        "kind": "projector",
        "type": "mlp",
        "layers": 2,
        "activation": config.activation("projector_hidden_act"),
        "inputs": "audio",
    }


def read_voxtral(config: Fields) -> Imported | None:
    """The graph of a Voxtral config: every four tokens of a clip go into the projector side by side."""
    config.check_names()
    default = VOXTRAL_PARTS["text_config"]
    text = read_part(_filled(config, "text_config", default), "text_config", TEXT_TABLES, default)
    fields = read_part(config, "audio_config", AUDIO_TABLES, VOXTRAL_PARTS["audio_config"])
    if text is None or fields is None:
        return None
    audio = read_audio(fields, "input_features")
    towers = {
        "audio": audio.node | {"pool": {"type": "concat", "size": _group(fields, audio)}},
        "projector": _mlp(config) | {"bias": False},
    }
    body = _body(config, text, towers, {}, ("audio_token_id", ""))
    return Imported(body, text, {"input_features": "audio", "input_ids": "tokens"})


def _group(audio_config: Fields, audio: Audio) -> int:
    """How many tokens fill the width that the projector reads, which is that of the tower's feed-forward."""
    name, size = "intermediate_size", max(1, audio.hidden // audio.dim)
    if audio.hidden % audio.dim or size < 2 or audio.tokens % size:
        audio_config.unsupported(
            name,
            f"`{audio_config.name(name)}` is {audio.hidden}, the width of what the projector reads: it must be that of "
            f"two or more whole tokens, each {audio.dim} wide, and a clip of {audio.tokens} must divide into them",
            "correct the sizes; the class of transformers would join the ends of different clips, or fail",
        )
    return size


def _filled(config: Fields, part: str, default: Values) -> Fields:
    """The config with what its class puts into a part that says less; one without `model_type` is of the default's."""
    tree = config.tree.get(part)
    if tree is None or not tree.is_mapping:
        return config
    own = dict(tree.items())
    absent = {name: Tree(value, tree.span) for name, value in default.items() if name not in own}
    if "rope_parameters" in own:
        absent.pop("rope_theta", None)
    whole = dict(config.tree.items()) | {part: mapping(absent | own, tree.span, dict(tree.keys))}
    return Fields(mapping(whole, config.tree.span, dict(config.tree.keys)), config.table, config.problems)


def _body(
    config: Fields, text: Fields, towers: dict[str, Any], masks: Mapping[str, str], names: tuple[str, str]
) -> dict[str, Any]:
    """The graph around the nodes `audio` and `projector`; `names` are those of the field of the placeholder."""
    llm = read_decoder(text, "fused", tied=False)  # the head of these classes is their own
    placeholder = read_placeholder(config, llm["vocab"], *names)
    features = {"audio": "projector", **masks}
    language = fused_language(read_embedding(text), llm, features, {"audio": placeholder})
    return {
        "nodes": {**towers, **language},
        "outputs": {"logits": "llm.logits"},
        "freeze": ["audio.position"],
        "checkpoint": {"use": "checkpoint/audio_text"},
    }


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "audioflamingo3": Family(AUDIO_FLAMINGO3, read_audio_flamingo3, AUDIO_FLAMINGO3_PARTS),
        "qwen2_audio": Family(QWEN2_AUDIO, read_qwen2_audio, QWEN2_AUDIO_PARTS),
        "voxtral": Family(VOXTRAL, read_voxtral, VOXTRAL_PARTS),
    }
)
