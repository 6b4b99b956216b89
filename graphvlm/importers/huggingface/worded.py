"""Models of images of any size in a text whose positions are those of words: one number a token."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ...tree import Tree, mapping
from .fields import Fields
from .multimodal import Family, Imported, called_again, fused_language, read_part
from .native import placeholders
from .native_tables import NATIVE_TABLES
from .native_vision import read_native
from .tables import ConfigTable, Values
from .text import read_decoder, read_embedding
from .text_tables import TEXT_TABLES

_IMAGES: Values = MappingProxyType({"pixel_values": "patches", "image_grid_thw": "grid"})
_VIDEOS: Values = MappingProxyType({"pixel_values_videos": "patches", "video_grid_thw": "grid"})


def _table(model_type: str, image: int, *, tied: bool) -> ConfigTable:
    tokens = {"image_token_id": image, "video_token_id": image + 1}
    return ConfigTable(model_type, {"vision_config": None, "text_config": None, "tie_word_embeddings": tied, **tokens})


EXAONE4_5 = _table("exaone4_5", 67, tied=False)
HYPERCLOVAX = _table("hyperclovax_vision_v2", 128060, tied=True)
_PARTS: Mapping[str, Mapping[str, Values]] = MappingProxyType(
    {
        "exaone4_5": {
            "vision_config": {"model_type": "exaone4_5_vision"},
            "text_config": {"model_type": "exaone4"},
        },
        "hyperclovax_vision_v2": {
            "vision_config": {"model_type": "qwen2_5_vl_vision"},
            "text_config": {"model_type": "hyperclovax"},
        },
    }
)
# How published files call a part -> its type.
_OTHER = {"exaone4_5_text": "exaone4", "qwen2_5_vl": "qwen2_5_vl_vision"}


def _read(config: Fields) -> Imported | None:
    config.check_names()
    parts, renamed = _PARTS[config.table.model_type], _renamed(config)
    tables: dict[str, Mapping[str, ConfigTable]] = {}
    for part, known in (("vision_config", NATIVE_TABLES), ("text_config", TEXT_TABLES)):
        model_type = parts[part]["model_type"]
        tables[part] = {model_type: known[model_type]}
    text = read_part(renamed, "text_config", tables["text_config"], parts["text_config"])
    vision = read_part(renamed, "vision_config", tables["vision_config"], parts["vision_config"])
    if text is None or vision is None:
        return None
    native, llm = read_native(vision), read_decoder(text, "fused", tied=config.boolean("tie_word_embeddings"))
    nodes = {**native.nodes}
    if config.table is HYPERCLOVAX:
        nodes["merger"] |= {"out": native.out[1]}
        names = {"names": {"linear": "vision_projector"}}
        nodes["projector"] = {"kind": "projector", "type": "linear", "inputs": "merger", "checkpoint": names}
    elif native.out[1] != llm["dim"]:
        message = f"`{vision.name(native.out[0])}` is {native.out[1]}, and the text is {llm['dim']} wide"
        vision.problems.conflict(message, vision.span(native.out[0]))
    last, tokens = next(reversed(nodes)), placeholders(config, llm["vocab"])
    features = {"image": last, "video": f"video_{last}"}
    again = called_again(nodes, dict(zip(_IMAGES, _VIDEOS, strict=True)))
    body = {
        "nodes": {**nodes, **again, **fused_language(read_embedding(text), llm, features, tokens)},
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"use": f"checkpoint/{config.table.model_type}"},
    }
    return Imported(body, text, {**_IMAGES, **_VIDEOS, "input_ids": "tokens"})


def _renamed(config: Fields) -> Fields:
    """The config with its parts under the names of their types."""
    whole = dict(config.tree.items())
    for part in ("vision_config", "text_config"):
        tree = whole.get(part)
        written = tree.get("model_type") if tree is not None and tree.is_mapping else None
        other = written.plain() if written is not None else None
        if tree is not None and written is not None and isinstance(other, str) and other in _OTHER:
            own: dict[str, Tree] = dict(tree.items()) | {"model_type": Tree(_OTHER[other], written.span)}
            whole[part] = mapping(own, tree.span, dict(tree.keys))
    return Fields(mapping(whole, config.tree.span, dict(config.tree.keys)), config.table, config.problems)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {table.model_type: Family(table, _read, _PARTS[table.model_type]) for table in (EXAONE4_5, HYPERCLOVAX)}
)
