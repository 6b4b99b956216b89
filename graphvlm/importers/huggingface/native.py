"""Models of images of any size as graphs: tower and merger, their features in a text, positions of three numbers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ...tree import Tree, mapping
from .fields import Fields
from .multimodal import Family, Imported, called_again, fused_language, read_part, read_placeholder
from .native_tables import NATIVE_TABLES
from .native_vision import Native, read_native
from .rope import read_sections
from .tables import ConfigTable, Values
from .text import read_decoder, read_embedding
from .text_tables import TEXT_TABLES

_TOKENS: Values = MappingProxyType({"image_token_id": 151655, "video_token_id": 151656})
_PARTS_FIELDS: Values = MappingProxyType({"vision_config": None, "text_config": None, "tie_word_embeddings": False})
# Tokens before and after an image: ordinary ones for the model.
_AROUND = frozenset({"vision_start_token_id", "vision_end_token_id", "vision_token_id"})


def _table(model_type: str) -> ConfigTable:
    return ConfigTable(model_type, {**_PARTS_FIELDS, **_TOKENS}, harmless=_AROUND)


QWEN2_VL, QWEN2_5_VL = _table("qwen2_vl"), _table("qwen2_5_vl")
QWEN3_VL, QWEN3_VL_MOE = _table("qwen3_vl"), _table("qwen3_vl_moe")
QWEN3_5, QWEN3_5_MOE = (
    ConfigTable(model_type, {**_PARTS_FIELDS, "image_token_id": 248056, "video_token_id": 248057}, harmless=_AROUND)
    for model_type in ("qwen3_5", "qwen3_5_moe")
)
COHERE_COMPASS = ConfigTable(
    "cohere_compass", {**_PARTS_FIELDS, "image_token_id": 255031, "video_token_id": 255032}, harmless=_AROUND
)
GLM = tuple(
    ConfigTable(
        model_type,
        {
            **_PARTS_FIELDS,
            "image_token_id": token,
            "video_start_token_id": start,
            "video_end_token_id": start + 1,
        },
        # its frames have the token of images, and no token is that of videos
        harmless=frozenset({"image_start_token_id", "image_end_token_id", "video_token_id"}),
    )
    for model_type, token, start in (
        ("glm4v", 151343, 151341),
        ("glm46v", 151343, 151361),
        ("glmga", 151343, 151361),
        ("glm4v_moe", 151363, 151341),
        ("glm_ocr", 59280, 59258),
    )
)
# Classes whose parts are those of another.
_PARTS_OF: Mapping[str, str] = MappingProxyType({"glm46v": "glm4v", "glmga": "glm4v"})


def _parts(model_type: str) -> Mapping[str, Values]:
    return MappingProxyType(
        {
            part: {"model_type": f"{_PARTS_OF.get(model_type, model_type)}_{part.removesuffix('_config')}"}
            for part in ("vision_config", "text_config")
        }
    )


_IMAGES: Values = MappingProxyType({"pixel_values": "patches", "image_grid_thw": "grid"})
_VIDEOS: Values = MappingProxyType({"pixel_values_videos": "patches", "video_grid_thw": "grid"})
_SECONDS: Values = MappingProxyType({"second_per_grid_ts": "seconds"})
_WORDS: Values = MappingProxyType({"input_ids": "tokens"})


def _read(config: Fields) -> Imported | None:
    """The graph of a config with `vision_config` and `text_config`; old files have the text's fields beside these."""
    parts = _parts(config.table.model_type)
    flat = config.tree.get("text_config") is None
    default = dict(parts["text_config"])
    table = TEXT_TABLES[default["model_type"]]
    config.check_names({*table.understood, *table.harmless} if flat else ())
    text = _beside(config, table) if flat else read_part(config, "text_config", TEXT_TABLES, default)
    vision = read_part(_renamed(config), "vision_config", NATIVE_TABLES, parts["vision_config"])
    if text is None or vision is None:
        return None
    native = read_native(vision)
    tied = _tied(config, text)
    llm = read_decoder(text, "fused", tied=tied)
    if text.table.model_type in _ALONE:
        _within(text, llm)
    _check_width(vision, native, llm)
    tokens = placeholders(config, llm["vocab"])
    again = called_again(native.nodes, dict(zip(_IMAGES, _VIDEOS, strict=True)))
    positions = {**_positions(vision), **_between(config, llm["vocab"], tokens)}
    body = {
        "nodes": {**native.nodes, **again, **language_of(text, llm, native, tokens, positions)},
        "outputs": {"logits": "llm.logits"},
        "checkpoint": _checkpoint(config.table.model_type, native),
    }
    videos = {**_VIDEOS, **(_SECONDS if _timed(vision) else {})}
    return Imported(body, text, {**_IMAGES, **videos, **_WORDS})


def placeholders(config: Fields, vocab: int) -> dict[str, int]:
    """The tokens of images and of videos, which may be those of images between two others."""
    kinds = ("image", "video")
    if config.knows("video_start_token_id"):
        return dict.fromkeys(kinds, read_placeholder(config, vocab, "image_token_id"))
    tokens = {name: read_placeholder(config, vocab, f"{name}_token_id") for name in kinds}
    if len({*tokens.values()}) < len(tokens):
        config.problems.conflict(
            f"`image_token_id` and `video_token_id` are both {tokens['image']}",
            config.span("video_token_id"),
            help="correct one of them: each kind has a token of its own",
        )
    return tokens


def _between(config: Fields, vocab: int, tokens: Mapping[str, int]) -> dict[str, Any]:
    """The tokens before and behind a video, where it has those of images."""
    names = ("video_start_token_id", "video_end_token_id")
    if not config.knows(names[0]):
        return {}
    around = [read_placeholder(config, vocab, name) for name in names]
    if len({*around, tokens["video"]}) < len(names) + 1:
        config.problems.conflict(
            f"`image_token_id` is {tokens['image']}, and a video, which has it too, stands between {around[0]} and "
            f"{around[1]}: two of the three are one",
            config.span(names[0]),
            help="correct one of them",
        )
    return {"between": {"video": around}}


def _timed(vision: Fields) -> bool:
    """Whether the frames of a video are as far apart as its processor says."""
    return vision.knows("tokens_per_second")


# Classes whose frames of a video stand together; those of the others have their times between them, as text.
_TOGETHER = frozenset({"qwen2_vl_vision", "qwen2_5_vl_vision"})


def _positions(vision: Fields) -> dict[str, Any]:
    """What the positions of videos have beside those of images."""
    if _timed(vision):
        return {"interval": {"video": vision.integer("tokens_per_second")}}
    return {} if vision.table.model_type in _TOGETHER else {"frames": {"video": "apart"}}


# Classes that tie the head if either part of the config says so; for the others the whole config decides.
_EITHER = frozenset({"qwen2_vl", "qwen2_5_vl", "glm4v", "glm4v_moe", "glm_ocr"})


def _tied(config: Fields, text: Fields) -> bool:
    key = "tie_word_embeddings"
    either = config.table.model_type in _EITHER and text.has(key) and text.boolean(key)
    return config.boolean(key) or either


# Text models that can be alone, with positions of one number, and keys one level further out.
_ALONE = frozenset({"qwen3_5_text", "qwen3_5_moe_text"})


def _within(text: Fields, llm: dict[str, Any]) -> None:
    """What a text model that can be alone has otherwise when it is a part."""
    llm["checkpoint"] = {"use": "checkpoint/qwen3_5_whole"}
    if llm["position"] != "none":
        head = llm["attention"].get("head_dim", llm["dim"] // llm["attention"]["heads"])
        dim = llm["position"].get("dim", head)
        llm["position"] |= read_sections(text, (11, 11, 10), "interleaved", dim)


def language_of(
    text: Fields, llm: dict[str, Any], native: Native, tokens: Mapping[str, int], positions: Mapping[str, Any]
) -> dict[str, Any]:
    """The nodes of the text, with features of images and videos, and positions."""
    merged = next(reversed([name for name in native.nodes if name not in native.deep]))
    features = {"image": merged} | ({"video": f"video_{merged}"} if "video" in tokens else {})
    nodes = fused_language(read_embedding(text), llm, features, tokens)
    nodes["fused"] |= {"between": positions["between"]} if "between" in positions else {}
    llm["inputs"] = {"features": "fused", "positions": "positions"}
    before = {"text": nodes.pop("text"), "fused": nodes.pop("fused")}
    before["positions"] = {
        "kind": "encoder",
        "type": "grid_positions",
        "inputs": {"ids": "input_ids", **{name: f"{name}_grid_thw" for name in tokens}},
        "placeholder": dict(tokens),
        "group": native.group,
        **positions,
    }
    if "segments" in llm:
        llm["inputs"]["vision_tokens"] = "moe_mm_token_type_ids"
    if "interval" in positions:
        before["positions"]["inputs"]["video_seconds"] = "second_per_grid_ts"
    if native.deep:
        features = {f"image_{index}": name for index, name in enumerate(native.deep, start=1)}
        features |= {f"video_{index}": f"video_{name}" for index, name in enumerate(native.deep, start=1)}
        before["deep"] = {
            "kind": "fusion",
            "type": "spread",
            "inputs": {"ids": "input_ids", **features},
            "placeholder": dict(tokens),
            "depths": len(native.deep),
        }
        llm["inject"] = list(range(len(native.deep)))
        llm["inputs"] |= {f"inject_{index}": f"deep.depth_{index + 1}" for index in llm["inject"]}
    return before | nodes


def _check_width(vision: Fields, native: Native, llm: dict[str, Any]) -> None:
    """The features are as wide as the text that they go into."""
    key, out = native.out
    if out != llm["dim"]:
        message = f"`{vision.name(key)}` is {out}, and the text that the features go into is {llm['dim']} wide"
        vision.problems.conflict(message, vision.span(key))


def _checkpoint(model_type: str, native: Native) -> dict[str, Any]:
    layout = {
        "qwen2_5_vl": "qwen2_vl",
        "qwen3_vl_moe": "qwen3_vl",
        "qwen3_5": "qwen3_vl",
        "qwen3_5_moe": "qwen3_vl",
        "cohere_compass": "qwen3_vl",
        "glm_ocr": "glm4v",
    }.get(model_type, _PARTS_OF.get(model_type, model_type))
    return {"use": f"checkpoint/{layout}"} | ({"prefixes": dict(native.prefixes)} if native.prefixes else {})


def _beside(config: Fields, table: ConfigTable) -> Fields:
    """The fields of the text where they stand among those of the whole model."""
    names = {*table.understood, *table.harmless} - {"tie_word_embeddings"}
    own = {name: tree for name, tree in config.tree.items() if name in names}
    keys = {name: span for name, span in dict(config.tree.keys).items() if name in own}
    return Fields(mapping(own, config.tree.span, keys), table, config.problems)


def _renamed(config: Fields) -> Fields:
    """The config with the vision part of old files, whose model type is that of the whole model, under its own."""
    tree, model_type = config.tree.get("vision_config"), config.table.model_type
    if tree is None or not tree.is_mapping:
        return config
    written = tree.get("model_type")
    if written is None or written.plain() != model_type:
        return config
    own = dict(tree.items()) | {"model_type": Tree(_parts(model_type)["vision_config"]["model_type"], written.span)}
    whole = dict(config.tree.items()) | {"vision_config": mapping(own, tree.span, dict(tree.keys))}
    return Fields(mapping(whole, config.tree.span, dict(config.tree.keys)), config.table, config.problems)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        table.model_type: Family(table, _read, _parts(table.model_type))
        for table in (QWEN2_VL, QWEN2_5_VL, QWEN3_VL, QWEN3_VL_MOE, QWEN3_5, QWEN3_5_MOE, COHERE_COMPASS, *GLM)
    }
)
