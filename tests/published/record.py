"""What was published of a model."""

from __future__ import annotations

from typing import Any, NamedTuple

HUB = "https://huggingface.co/"

_SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")


class Published(NamedTuple):
    """A part of the catalog, or a whole model; a balancing bias of experts counts as a parameter.

    Configs are as their repositories have them, without fields that say nothing of the model.
    """

    description: str
    source: str
    config: dict[str, Any]
    parameters: int


def text_sizes(model_type: str, *sizes: int, **fields: Any) -> dict[str, Any]:
    """A text config: its width, that of the feed-forward, layers, heads, and key/value heads if they are others."""
    sizes = (*sizes, sizes[-1]) if len(sizes) == len(_SIZES) - 1 else sizes
    return {"model_type": model_type, **dict(zip(_SIZES, sizes, strict=True)), **fields}
