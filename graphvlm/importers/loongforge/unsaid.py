"""What LoongForge's model definitions do not say, and who says it instead.

A definition is half a model: its launch scripts pass the rest on the command line (`--norm-epsilon`,
`--moe-router-topk`, ...), a tokenizer brings the vocabulary, and what nobody says is a default of Megatron-core. The
values here are those of LoongForge v0.2.0 (c6275661); where the scripts of one model differ in the longest sequence,
the longest is taken. The first entry that fits a file decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Unsaid:
    """Values for the files whose name (`group/name`) fits one of the patterns, and where they stand."""

    files: tuple[str, ...]
    origin: str
    values: Mapping[str, Any]


def _script(files: str, script: str, **values: Any) -> Unsaid:
    return Unsaid(tuple(files.split()), f"examples/{script}", MappingProxyType(values))


_V3 = {
    "norm_epsilon": 1e-6,
    "max_position_embeddings": 163840,
    "rotary_base": 10000,
    "rotary_scaling_factor": 40,
    "original_max_position_embeddings": 4096,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "moe_router_topk": 8,
    "moe_router_score_function": "sigmoid",
    "moe_router_enable_expert_bias": True,
    "moe_router_num_groups": 8,
    "moe_router_group_topk": 4,
    "moe_router_topk_scaling_factor": 2.5,
}
_GLM = {
    "norm_epsilon": 1e-5,
    "moe_router_topk": 8,
    "moe_router_score_function": "sigmoid",
    "moe_router_enable_expert_bias": True,
    "moe_router_num_groups": 8,
    "moe_router_group_topk": 4,
    "moe_router_topk_scaling_factor": 2.5,
}
_KIMI = {
    "max_position_embeddings": 163840,
    "moe_router_topk": 8,
    "moe_router_score_function": "sigmoid",
    "moe_router_enable_expert_bias": True,
    "moe_router_num_groups": 1,
    "moe_router_group_topk": 1,
    "moe_router_topk_scaling_factor": 2.827,
}
_HYBRID = {"norm_epsilon": 1e-6, "rotary_percent": 0.25, "max_position_embeddings": 262144}
_LONG = {"norm_epsilon": 1e-6, "rotary_base": 1000000, "max_position_embeddings": 131072}
_SHORT = {**_LONG, "max_position_embeddings": 32768}

SCRIPTS = (
    _script(
        "deepseek2/deepseek_v2_lite",
        "deepseek_v2/pretrain/pretrain_deepseek_v2_lite_group.sh",
        norm_epsilon=1e-6,
        max_position_embeddings=2048,
        rotary_scaling_factor=40,
        mscale=0.707,
        mscale_all_dim=0.707,
        moe_router_topk=6,
    ),
    _script(
        "deepseek2/deepseek_v2",
        "deepseek_v2/pretrain/pretrain_deepseek_v2_group.sh",
        norm_epsilon=1e-6,
        max_position_embeddings=2048,
        rotary_scaling_factor=40,
        mscale=0.707,
        mscale_all_dim=0.707,
        moe_router_topk=6,
        moe_router_num_groups=8,
        moe_router_group_topk=3,
        moe_router_topk_scaling_factor=16.0,
    ),
    _script("deepseek3/deepseek_v3", "deepseek_v3/pretrain/pretrain_deepseek_v3_group_bf16.sh", **_V3),
    _script(
        "deepseek3/deepseek_v3_2_sparse",
        "deepseek_v3/pretrain/pretrain_deepseek_v32_group_fp8.sh",
        **_V3,
        dsa_indexer_k_norm_epsilon=1e-6,
    ),
    _script(
        "deepseek4/*",
        "deepseek_v4/pretrain/pretrain_deepseek_v4_flash_fp8.sh",
        max_position_embeddings=1048576,
        moe_router_topk=6,
    ),
    _script(
        "ernie4_5_vl/*",
        "ernie4.5/finetuning/sft_ernie4.5_vl_28b_a3b.sh",
        norm_epsilon=1e-5,
        moe_router_score_function="softmax",
        moe_router_enable_expert_bias=True,
    ),
    _script(
        "glm5/glm5",
        "glm5/pretrain/pretrain_glm5_group_fp8.sh",
        **_GLM,
        rotary_base=1000000,
        max_position_embeddings=163840,
    ),
    _script(
        "glm5.2/glm5_2",
        "glm5.2/pretrain/pretrain_glm5_2_group_fp8.sh",
        **_GLM,
        rotary_base=8000000,
        max_position_embeddings=1048576,
    ),
    _script(
        "glm5.2_vit/*",
        "glm5.2_vit/finetuning/sft_glm5_2_kimi_k2_6_vit.sh",
        **_GLM,
        rotary_base=8000000,
        max_position_embeddings=1048576,
    ),
    _script(
        "internvl2.5/internvl2_5_8b",
        "internvl2.5/sft_internvl2_5_8b.sh",
        norm_epsilon=1e-6,
        max_position_embeddings=32768,
        rope_scaling_factor=2,
    ),
    _script(
        "internvl2.5/internvl2_5_26b",
        "internvl2.5/sft_internvl2_5_26b.sh",
        norm_epsilon=1e-5,
        max_position_embeddings=32768,
        rope_scaling_factor=2.5,
    ),
    _script("internvl2.5/*", "internvl2.5/sft_internvl2_5_38b.sh", norm_epsilon=1e-5, max_position_embeddings=32768),
    _script(
        "internvl3.5/*",
        "internvl3.5/finetuning/sft_internvl3_5_30b_a3b.sh",
        norm_epsilon=1e-6,
        max_position_embeddings=40960,
        moe_router_topk=8,
    ),
    _script("kimi_k2.6/*", "kimi_k2.x/kimi_k2.6/pretrain/pretrain_kimi_k2.6_fp8.sh", **_KIMI),
    _script("kimi_k2.5/* kimi_k2/*", "kimi_k2.x/kimi_k2.5/pretrain/pretrain_kimi_k2.5_fp8.sh", **_KIMI),
    _script("llama2/*", "llama2/pretrain/pretrain_llama2_7b.sh", norm_epsilon=1e-6, max_position_embeddings=4096),
    _script(
        "llama3/llama3_1_405b",
        "llama3.1/pretrain/pretrain_llama3.1_405b.sh",
        norm_epsilon=1e-5,
        rotary_base=500000,
        max_position_embeddings=8192,
    ),
    _script(
        "llama3/llama3_1_*",
        "llama3.1/finetuning/sft_llama3.1_8b_128k.sh",
        norm_epsilon=1e-5,
        rotary_base=500000,
        max_position_embeddings=131072,
    ),
    _script(
        "llama3/*",
        "llama3/pretrain/pretrain_llama3_8b.sh",
        norm_epsilon=1e-5,
        rotary_base=500000,
        max_position_embeddings=4096,
    ),
    _script("custom/*", "custom/pretrain/pretrain_qwen_vit_llama3.sh", norm_epsilon=1e-6, max_position_embeddings=4096),
    _script(
        "llava_onevision/*",
        "llava_onevision_1.5/pretrain/stage_1_alignment_llava_ov_4b.sh",
        norm_epsilon=1e-6,
        max_position_embeddings=32768,
    ),
    _script(
        "mimo/*",
        "mimo/finetune/sft_mimo_7b_bf16.sh",
        norm_epsilon=1e-6,
        rotary_base=640000,
        max_position_embeddings=32768,
    ),
    _script("minicpm_v_4_6/*", "minicpm_v_4_6/pretrain/pretrain_minicpm_v_4_6.sh", max_position_embeddings=262144),
    _script(
        "minimax/*",
        "minimax/pretrain/pretrain_minimax2.1_group_bf16.sh",
        norm_epsilon=1e-6,
        rotary_base=5000000,
        rotary_percent=0.5,
        max_position_embeddings=196608,
        moe_router_topk=8,
        moe_router_score_function="sigmoid",
        moe_router_enable_expert_bias=True,
    ),
    _script("qwen2/*", "qwen2/pretrain/pretrain_qwen2_7b.sh", **_SHORT),
    _script(
        "qwen2.5/qwen2_5_0_5b qwen2.5/qwen2_5_1_5b qwen2.5/qwen2_5_3b",
        "qwen2.5/pretrain/pretrain_qwen2.5_3b.sh",
        **_SHORT,
    ),
    _script("qwen2.5/*", "qwen2.5/finetuning/sft_qwen2.5_7b_128k.sh", **_LONG),
    _script(
        "qwen2.5vl/qwen2_5_vl_3b* qwen2.5vl/qwen2_5_vl_7b",
        "qwen2.5_vl/pretrain/pretrain_qwen2_5_vl_7b.sh",
        norm_epsilon=1e-6,
        max_position_embeddings=4096,
    ),
    _script(
        "qwen2.5vl/*", "qwen2.5_vl/pretrain/pretrain_qwen2_5_vl_72b.sh", norm_epsilon=1e-6, max_position_embeddings=8192
    ),
    _script(
        "qwen3/qwen3_30b_a3b",
        "qwen3/pretrain/pretrain_qwen3_30b_a3b.sh",
        norm_epsilon=1e-6,
        rotary_base=1000000,
        max_position_embeddings=40960,
        moe_router_topk=8,
    ),
    _script(
        "qwen3/qwen3_coder_30b_a3b",
        "qwen3/pretrain/pretrain_qwen3_coder_30b_a3b.sh",
        norm_epsilon=1e-6,
        rotary_base=10000000,
        max_position_embeddings=4096,
        moe_router_topk=8,
    ),
    _script(
        "qwen3/qwen3_235b_a22b qwen3/qwen3_480b_a35b",
        "qwen3/pretrain/pretrain_qwen3_235b_a22b.sh",
        **_LONG,
        moe_router_topk=8,
    ),
    _script("qwen3/*", "qwen3/pretrain/pretrain_qwen3_8b.sh", **_SHORT),
    _script(
        "qwen3_next/*",
        "qwen3_next/pretrain/pretrain_qwen3_next_80b_a3b.sh",
        norm_epsilon=1e-6,
        rotary_base=10000000,
        max_position_embeddings=4096,
        moe_router_topk=10,
        moe_router_score_function="softmax",
        moe_shared_expert_intermediate_size=512,
    ),
    _script(
        "qwen3_vl/*",
        "qwen3_vl/finetuning/sft_qwen3_vl_30b_a3b.sh",
        norm_epsilon=1e-6,
        max_position_embeddings=262144,
        moe_router_topk=8,
    ),
    _script(
        "qwen3.5/*_35b_a3b*",
        "qwen3.5/pretrain/pretrain_qwen3_5_35b_a3b.sh",
        **_HYBRID,
        moe_router_topk=8,
        moe_shared_expert_intermediate_size=512,
    ),
    _script(
        "qwen3.6/*_35b_a3b*",
        "qwen3.6/pretrain/pretrain_qwen3_6_35b_a3b.sh",
        **_HYBRID,
        moe_router_topk=8,
        moe_shared_expert_intermediate_size=512,
    ),
    _script(
        "qwen3.5/*_122b_a10b*",
        "qwen3.5/pretrain/pretrain_qwen3_5_122b_a10b.sh",
        **_HYBRID,
        moe_router_topk=8,
        moe_shared_expert_intermediate_size=1024,
    ),
    _script(
        "qwen3.5/*_397b_a17b*",
        "qwen3.5/pretrain/pretrain_qwen3_5_397b_a17b.sh",
        **_HYBRID,
        moe_router_topk=10,
        moe_shared_expert_intermediate_size=1024,
    ),
    _script("qwen3.5/*", "qwen3.5/pretrain/pretrain_qwen3_5_9b.sh", **_HYBRID),
    _script("qwen3.6/*", "qwen3.6/pretrain/pretrain_qwen3_6_27b.sh", **_HYBRID),
)

# What neither files nor scripts say, and weights that are published need.
PUBLISHED = (
    Unsaid(
        ("qwen3_next/*",),
        "the published config of Qwen3-Next-80B-A3B (`partial_rotary_factor`)",
        MappingProxyType({"rotary_percent": 0.25}),
    ),
    Unsaid(
        ("ernie4_5_vl/*",),
        "the published config of ERNIE-4.5-VL-28B-A3B (`rope_theta`)",
        MappingProxyType({"rotary_base": 500000}),
    ),
    Unsaid(
        ("glm5/*", "glm5.2/*", "glm5.2_vit/*"),
        "the published config of GLM-5 (no `rope_scaling`, `indexer_rope_interleave`)",
        MappingProxyType(
            {"rope_type": "rope", "dsa_indexer_rope_interleaved": True, "dsa_indexer_k_norm_epsilon": 1e-6}
        ),
    ),
    Unsaid(
        ("kimi_k2/*", "kimi_k2.5/*", "kimi_k2.6/*"),
        "the published config of Kimi-K2 (`rms_norm_eps`)",
        MappingProxyType({"norm_epsilon": 1e-6}),
    ),
)

VOCABULARIES = (
    Unsaid(("llama2/*",), "the tokenizer of Llama 2", {"vocab_size": 32000}),
    Unsaid(("llama3/*",), "the tokenizer of Llama 3", {"vocab_size": 128256}),
)

# The image token, where neither the file nor a class of LoongForge has one: it is looked up in the tokenizer.
IMAGE_TOKENS = (
    Unsaid(("internlm2.5/*",), "the tokenizer of InternVL2.5: `<IMG_CONTEXT>`", {"image_token_id": 92546}),
    Unsaid(("qwen2.5/*",), "the tokenizer of InternVL2.5: `<IMG_CONTEXT>`", {"image_token_id": 151667}),
    Unsaid(("qwen3/*",), "the tokenizer of InternVL3.5: `<IMG_CONTEXT>`", {"image_token_id": 151671}),
)

# The widths of a projector alone, which a composition brings; and a number of tokens, of which any other would do.
ALONE = (
    Unsaid(
        ("image_projector/intern_mlp_adapter",),
        "internvl3.5/internvl3_5_8b.yaml",
        {"in": 1024, "out": 4096, "tokens": 1024},
    ),
    Unsaid(
        ("image_projector/patch_merger_adapter",),
        "kimi_k2.5/kimi_k2_5.yaml",
        {"in": 1152, "out": 7168, "tokens": 1024},
    ),
    Unsaid(
        ("image_projector/minicpm_v_4_6_merger",),
        "minicpm_v_4_6/minicpm_v_4_6.yaml",
        {"in": 1152, "out": 1024, "tokens": 1024},
    ),
    Unsaid(
        ("image_projector/ernie4_5_adapter",),
        "ernie4_5_vl/ernie4_5_vl_28b_a3b.yaml",
        {"in": 5120, "out": 2560, "tokens": 256},
    ),
    Unsaid(
        ("image_projector/*",),
        "qwen2.5vl/qwen2_5_vl_7b.yaml",
        {"in": 1280, "out": 3584, "tokens": 1024},
    ),
)

# Never the number of experts that a token goes through: the default, two, is right for none of these models.
MEGATRON = Unsaid(
    ("*",),
    "the default of Megatron-core 0.15",
    MappingProxyType(
        {
            "norm_epsilon": 1e-5,
            "rotary_base": 10000,
            "rotary_percent": 1.0,
            "rope_scaling_factor": 8.0,
            "rope_type": "yarn",
            "dsa_indexer_rope_interleaved": False,
            "rotary_scaling_factor": 40,
            "original_max_position_embeddings": 4096,
            "group_query_attention": False,
            "moe_router_score_function": "softmax",
            "moe_router_enable_expert_bias": False,
            "moe_router_pre_softmax": False,
        }
    ),
)


# Of towers and projectors: the command line decides before the defaults of their classes do.
PARTS = Unsaid(("*",), MEGATRON.origin, MappingProxyType({"add_bias_linear": True}))


def unsaid_of(names: tuple[str, ...], *tables: tuple[Unsaid, ...]) -> Iterator[Unsaid]:
    """What the tables have for files of these names (`group/name`): those of the first name first."""
    for name in names:
        for table in tables:
            fits = (entry for entry in table if any(fnmatchcase(name, pattern) for pattern in entry.files))
            if (first := next(fits, None)) is not None:
                yield first
