"""The fields of vision towers of transformers for images of any size."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .tables import ConfigTable

# Fields of old files that the classes do not read: other names of the channels and of the patches.
_UNREAD = frozenset({"in_chans", "spatial_patch_size"})

_QWEN3: Mapping[str, Any] = MappingProxyType(
    {
        "depth": 27,
        "hidden_size": 1152,
        "hidden_act": "gelu_pytorch_tanh",
        "intermediate_size": 4304,
        "num_heads": 16,
        "in_channels": 3,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": 3584,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": (8, 16, 24),
        "rope_parameters": None,
    }
)

_QWEN3_5 = {name: value for name, value in _QWEN3.items() if name != "deepstack_visual_indexes"}
WITHOUT_DEEP = ("qwen3_5_vision", "qwen3_5_moe_vision")

NATIVE_TABLES: Mapping[str, ConfigTable] = MappingProxyType(
    {
        "qwen2_vl_vision": ConfigTable(
            "qwen2_vl_vision",
            {
                "depth": 32,
                "embed_dim": 1280,
                "hidden_size": 3584,
                "hidden_act": "quick_gelu",
                "mlp_ratio": 4,
                "num_heads": 16,
                "in_channels": 3,
                "patch_size": 14,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "rope_parameters": None,
            },
            harmless=_UNREAD,
        ),
        "qwen2_5_vl_vision": ConfigTable(
            "qwen2_5_vl_vision",
            {
                "depth": 32,
                "hidden_size": 3584,
                "hidden_act": "silu",
                "intermediate_size": 3420,
                "num_heads": 16,
                "in_channels": 3,
                "patch_size": 14,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "window_size": 112,
                "out_hidden_size": 3584,
                "fullatt_block_indexes": (7, 15, 23, 31),
                "tokens_per_second": 4,
                "rope_parameters": None,
            },
            harmless=_UNREAD,
        ),
        "exaone4_5_vision": ConfigTable(
            "exaone4_5_vision",
            {
                "depth": 32,
                "hidden_size": 3584,
                "hidden_act": "silu",
                "intermediate_size": 3420,
                "num_heads": 16,
                "num_key_value_heads": 8,
                "in_channels": 3,
                "patch_size": 14,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "window_size": 112,
                "out_hidden_size": 3584,
                "fullatt_block_indexes": (7, 15, 23, 31),
                "rope_parameters": None,
            },
        ),
        "qwen3_vl_vision": ConfigTable("qwen3_vl_vision", _QWEN3),
        "qwen3_vl_moe_vision": ConfigTable("qwen3_vl_moe_vision", _QWEN3),
        "cohere_compass_vision": ConfigTable("cohere_compass_vision", _QWEN3),
        **{name: ConfigTable(name, _QWEN3_5, neutral={"deepstack_visual_indexes": []}) for name in WITHOUT_DEEP},
        "pixtral": ConfigTable(
            "pixtral",
            {
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "num_channels": 3,
                "patch_size": 16,
                "hidden_act": "gelu",
                "rope_parameters": None,
                "rope_theta": 10000.0,
            },
            # the class computes the width of a head, reads images of any size, and has no vocabulary
            harmless=frozenset({"head_dim", "image_size", "vocab_size"}),
        ),
        **{
            name: ConfigTable(
                name,
                {
                    "depth": 24,
                    "hidden_size": 1536,
                    "hidden_act": "silu",
                    "attention_bias": False,
                    "num_heads": 12,
                    "in_channels": 3,
                    "image_size": 336,
                    "patch_size": 14,
                    "rms_norm_eps": 1e-5,
                    "spatial_merge_size": 2,
                    "temporal_patch_size": 2,
                    "out_hidden_size": 4096,
                    "intermediate_size": 13696,
                    "rope_parameters": None,
                },
            )
            for name in ("glm4v_vision", "glm4v_moe_vision")
        },
        "glm_ocr_vision": ConfigTable(
            "glm_ocr_vision",
            {
                "depth": 24,
                "hidden_size": 1024,
                "hidden_act": "silu",
                "attention_bias": True,
                "num_heads": 16,
                "in_channels": 3,
                "patch_size": 14,
                "rms_norm_eps": 1e-5,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "out_hidden_size": 1536,
                "intermediate_size": 4096,
                "rope_parameters": None,
            },
            harmless=frozenset({"image_size"}),  # without learned positions, the class does not read it
        ),
    }
)
