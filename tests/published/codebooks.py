"""Published configs of models whose image tokens are made of the rows of a table."""

from __future__ import annotations

from typing import Any

from .images import TOWER
from .llamas import LLAMAS
from .record import HUB, Published


def _ovis2(text: str, *sizes: int) -> dict[str, Any]:
    """The config around a text; the sizes are those of an AIMv2 at 448 pixels."""
    config, _ = LLAMAS[text]
    vision = dict(zip(TOWER, (448, 14, *sizes), strict=True))
    return {
        "model_type": "ovis2",
        "text_config": config,
        "vision_config": {"model_type": "ovis2_vision", **vision, "vocab_size": 65536, "hidden_stride": 2},
        **{key: config[key] for key in ("vocab_size", "hidden_size")},
        "tie_word_embeddings": config.get("tie_word_embeddings", False),
    }


CODEBOOKS: dict[str, Published] = {
    "ovis2_1b": Published(
        "Ovis2 1B, AIMv2 large at 448 pixels, a table of 65,536 visual words and Qwen2.5 0.5B",
        f"{HUB}thisisiron/Ovis2-1B-hf",
        _ovis2("qwen2_5_0_5b", 1024, 24, 8, 2816),
        1_131_283_318,
    ),
    "ovis2_8b": Published(
        "Ovis2 8B, AIMv2 huge at 448 pixels, a table of 65,536 visual words and Qwen2.5 7B",
        f"{HUB}thisisiron/Ovis2-8B-hf",
        _ovis2("qwen2_5_7b", 1536, 24, 12, 4096),
        8_935_282_678,
    ),
}
