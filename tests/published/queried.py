"""Published configs of models whose learned tokens attend to image features."""

from __future__ import annotations

from typing import Any

from .encoders import ENCODER_DECODERS
from .images import TOWER
from .llamas import llama, mistral
from .record import HUB, Published
from .texts import TEXTS

_PERCEIVER = {"hidden_size": 4096, "rms_norm_eps": 1e-05}


def _blip2(text: str) -> dict[str, Any]:
    config = TEXTS[text].config | {"vocab_size": 50304}
    return {"model_type": "blip-2", "text_config": config, "image_token_index": 50265}


def _instructblip(text: dict[str, Any], token: int) -> dict[str, Any]:
    return {"model_type": "instructblip", "text_config": text, "image_token_index": token}


QUERIED: dict[str, Published] = {
    "blip2_opt_2_7b": Published(
        "BLIP-2, EVA ViT-g/14, a Q-Former of 32 queries and OPT 2.7B",
        f"{HUB}Salesforce/blip2-opt-2.7b",
        _blip2("opt_2_7b"),
        3_744_761_856,
    ),
    "blip2_flan_t5_xl": Published(
        "BLIP-2, EVA ViT-g/14, a Q-Former of 32 queries and Flan-T5 XL",
        f"{HUB}Salesforce/blip2-flan-t5-xl",
        {"model_type": "blip-2", "text_config": ENCODER_DECODERS["flan_t5_xl"].config, "image_token_index": 32100},
        3_942_446_592,
    ),
    "instructblip_vicuna_7b": Published(
        "InstructBLIP, EVA ViT-g/14, a Q-Former of 32 queries that reads the instruction too, and Vicuna 7B",
        f"{HUB}Salesforce/instructblip-vicuna-7b",
        _instructblip(
            llama(4096, 11008, 32, 32, vocab_size=32064, max_position_embeddings=2048, rms_norm_eps=1e-06), 32000
        ),
        7_913_725_952,
    ),
    "instructblip_flan_t5_xl": Published(
        "InstructBLIP, EVA ViT-g/14, a Q-Former of 32 queries that reads the instruction too, and Flan-T5 XL",
        f"{HUB}Salesforce/instructblip-flan-t5-xl",
        _instructblip(ENCODER_DECODERS["flan_t5_xl"].config, 32100),
        4_022_968_320,
    ),
    "idefics2_8b": Published(
        "Idefics2, SigLIP so400m/14 on images of up to 980 pixels, a perceiver of 64 tokens and Mistral 7B v0.1",
        f"{HUB}HuggingFaceM4/idefics2-8b",
        {
            "model_type": "idefics2",
            "text_config": mistral(vocab_size=32003, sliding_window=4096),
            "vision_config": dict(zip(TOWER, (980, 14, 1152, 27, 16, 4304), strict=True)),
            "perceiver_config": _PERCEIVER,
            "tie_word_embeddings": False,
        },
        8_402_768_112,
    ),
}
