"""Which model types of transformers can be imported: the class that each must name, and where it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .multimodal import Family


@dataclass(frozen=True, slots=True)
class Model:
    """A model type with several modalities, or with a stack of text that is no causal decoder alone.

    `architecture` is the class that the config must name, if it names any, or one of `others`: another head, or none,
    is another model. `module` is the file of this package whose `FAMILIES` has the model type; it is imported when it
    is asked for.
    """

    architecture: str
    module: str
    others: tuple[str, ...] = ()

    def family(self, model_type: str) -> Family:
        """The table and the reader."""
        families: Mapping[str, Family] = import_module(f".{self.module}", __package__).FAMILIES
        return families[model_type]


MULTIMODAL: Mapping[str, Model] = MappingProxyType(
    {
        "llava": Model("LlavaForConditionalGeneration", "llava"),
        "llama4": Model("Llama4ForConditionalGeneration", "llama4"),
        "mllama": Model("MllamaForConditionalGeneration", "mllama"),
        "lighton_ocr": Model("LightOnOcrForConditionalGeneration", "padded"),
        "glm46v": Model("Glm46VForConditionalGeneration", "native"),
        "glmga": Model("Glm46VForConditionalGeneration", "native"),
        "video_llava": Model("VideoLlavaForConditionalGeneration", "llava"),
        "vipllava": Model("VipLlavaForConditionalGeneration", "llava"),
        "internvl": Model("InternVLForConditionalGeneration", "shuffled"),
        "aya_vision": Model("AyaVisionForConditionalGeneration", "shuffled"),
        "cohere2_vision": Model("Cohere2VisionForConditionalGeneration", "shuffled"),
        "paligemma": Model("PaliGemmaForConditionalGeneration", "prefixed"),
        "gemma3": Model("Gemma3ForConditionalGeneration", "prefixed"),
        "deepseek_vl": Model("DeepseekVLForConditionalGeneration", "aligned"),
        "blip-2": Model("Blip2ForConditionalGeneration", "queried"),
        "instructblip": Model("InstructBlipForConditionalGeneration", "queried"),
        "ovis2": Model("Ovis2ForConditionalGeneration", "codebooks"),
        "qwen2_vl": Model("Qwen2VLForConditionalGeneration", "native"),
        "qwen2_5_vl": Model("Qwen2_5_VLForConditionalGeneration", "native"),
        "mistral3": Model("Mistral3ForConditionalGeneration", "padded"),
        "ernie4_5_vl_moe": Model("Ernie4_5_VLMoeForConditionalGeneration", "by_kind"),
        "minicpmv4_6": Model("MiniCPMV4_6ForConditionalGeneration", "narrowing"),
        "minicpm_ocr": Model("MiniCPMOcrForConditionalGeneration", "narrowing"),
        "glm_ocr": Model("GlmOcrForConditionalGeneration", "native"),
        "exaone4_5": Model("Exaone4_5_ForConditionalGeneration", "worded"),
        "hyperclovax_vision_v2": Model("HyperCLOVAXVisionV2ForConditionalGeneration", "worded"),
        "paddleocr_vl": Model("PaddleOCRVLForConditionalGeneration", "squared"),
        "glm4v": Model("Glm4vForConditionalGeneration", "native"),
        "glm4v_moe": Model("Glm4vMoeForConditionalGeneration", "native"),
        "qwen3_vl_moe": Model("Qwen3VLMoeForConditionalGeneration", "native"),
        "qwen3_5": Model("Qwen3_5ForConditionalGeneration", "native"),
        "qwen3_5_moe": Model("Qwen3_5MoeForConditionalGeneration", "native"),
        "cohere_compass": Model("CohereCompassForConditionalGeneration", "native"),
        "qwen3_vl": Model("Qwen3VLForConditionalGeneration", "native"),
        "audioflamingo3": Model("AudioFlamingo3ForConditionalGeneration", "audio_text"),
        "deepseek_vl_hybrid": Model("DeepseekVLHybridForConditionalGeneration", "windowed"),
        "got_ocr2": Model("GotOcr2ForConditionalGeneration", "windowed"),
        "qwen2_audio": Model("Qwen2AudioForConditionalGeneration", "audio_text"),
        "voxtral": Model("VoxtralForConditionalGeneration", "audio_text"),
        "llava_next": Model("LlavaNextForConditionalGeneration", "tiles"),
        "idefics2": Model("Idefics2ForConditionalGeneration", "resampled"),
        "idefics3": Model("Idefics3ForConditionalGeneration", "stacks"),
        "smolvlm": Model("SmolVLMForConditionalGeneration", "stacks"),
        "llava_next_video": Model("LlavaNextVideoForConditionalGeneration", "tiles"),
        "llava_onevision": Model("LlavaOnevisionForConditionalGeneration", "tiles"),
    }
)

# Encoders of text, or of text and what follows it.
ENCODERS: Mapping[str, Model] = MappingProxyType(
    {
        "bert": Model("BertForMaskedLM", "encoders", ("BertModel", "BertLMHeadModel")),
        "roberta": Model("RobertaForMaskedLM", "encoders", ("RobertaModel", "RobertaForCausalLM")),
        "xlm-roberta": Model("XLMRobertaForMaskedLM", "encoders", ("XLMRobertaModel", "XLMRobertaForCausalLM")),
        "distilbert": Model("DistilBertForMaskedLM", "encoders", ("DistilBertModel",)),
        "t5": Model("T5ForConditionalGeneration", "encoder_decoders"),
        "mt5": Model("MT5ForConditionalGeneration", "encoder_decoders"),
    }
)

FAMILIES: Mapping[str, Model] = MappingProxyType({**MULTIMODAL, **ENCODERS})

# The text models alone; their tables are `text_tables`.
TEXT: Mapping[str, str] = MappingProxyType(
    {
        "llama": "LlamaForCausalLM",
        "mistral": "MistralForCausalLM",
        "qwen2": "Qwen2ForCausalLM",
        "qwen3": "Qwen3ForCausalLM",
        "mixtral": "MixtralForCausalLM",
        "qwen2_moe": "Qwen2MoeForCausalLM",
        "qwen3_moe": "Qwen3MoeForCausalLM",
        "olmo2": "Olmo2ForCausalLM",
        "gemma": "GemmaForCausalLM",
        "gemma2": "Gemma2ForCausalLM",
        "gemma3_text": "Gemma3ForCausalLM",
        "phi": "PhiForCausalLM",
        "phi3": "Phi3ForCausalLM",
        "glm": "GlmForCausalLM",
        "glm4": "Glm4ForCausalLM",
        "gpt_neox": "GPTNeoXForCausalLM",
        "opt": "OPTForCausalLM",
        "starcoder2": "Starcoder2ForCausalLM",
        "stablelm": "StableLmForCausalLM",
        "cohere": "CohereForCausalLM",
        "cohere2": "Cohere2ForCausalLM",
        "seed_oss": "SeedOssForCausalLM",
        "arcee": "ArceeForCausalLM",
        "ernie4_5": "Ernie4_5ForCausalLM",
        "hunyuan_v1_dense": "HunYuanDenseV1ForCausalLM",
        "helium": "HeliumForCausalLM",
        "ministral": "MinistralForCausalLM",
        "smollm3": "SmolLM3ForCausalLM",
        "olmo": "OlmoForCausalLM",
        "olmo3": "Olmo3ForCausalLM",
        "olmoe": "OlmoeForCausalLM",
        "exaone4": "Exaone4ForCausalLM",
        "minimax": "MiniMaxForCausalLM",
        "minimax_m2": "MiniMaxM2ForCausalLM",
        "glm4_moe": "Glm4MoeForCausalLM",
        "dots1": "Dots1ForCausalLM",
        "gpt_oss": "GptOssForCausalLM",
        "granite": "GraniteForCausalLM",
        "hyperclovax": "HyperCLOVAXForCausalLM",
        "deepseek_v2": "DeepseekV2ForCausalLM",
        "deepseek_v3": "DeepseekV3ForCausalLM",
        "deepseek_v32": "DeepseekV32ForCausalLM",
        "glm_moe_dsa": "GlmMoeDsaForCausalLM",
        "glm4_moe_lite": "Glm4MoeLiteForCausalLM",
        "youtu": "YoutuForCausalLM",
        "solar_open": "SolarOpenForCausalLM",
        "vaultgemma": "VaultGemmaForCausalLM",
        "flex_olmo": "FlexOlmoForCausalLM",
        "bloom": "BloomForCausalLM",
        "mpt": "MptForCausalLM",
        "llama4_text": "Llama4ForCausalLM",
        "qwen3_next": "Qwen3NextForCausalLM",
        "qwen3_5_text": "Qwen3_5ForCausalLM",
        "qwen3_5_moe_text": "Qwen3_5MoeForCausalLM",
    }
)

ARCHITECTURES: Mapping[str, str] = MappingProxyType(
    {**{name: model.architecture for name, model in FAMILIES.items()}, **TEXT}
)


def classes(model_type: str) -> tuple[str, ...]:
    """The classes of a model type that can be imported, the usual one first."""
    found = FAMILIES.get(model_type)
    return (found.architecture, *found.others) if found else (TEXT[model_type],)
