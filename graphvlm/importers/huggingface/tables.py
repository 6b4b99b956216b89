"""What each field of a Hugging Face config is to us: understood, harmless, or neutral at one value only.

Whatever stands in none of the three tables is unknown and refused. `understood` maps a field to the value that the
config class of transformers 5.23 takes when config.json lacks it; a test compares these tables with the classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Values = Mapping[str, Any]

# Names, places, numeric formats, training, tokenizers, generation defaults and output switches: no weight and no output
# of the forward pass depends on them. Dropout is named here because it is off outside training.
HARMLESS = frozenset(
    """
    model_type architectures transformers_version _name_or_path name_or_path _commit_hash dtype torch_dtype torchscript
    attn_implementation _attn_implementation _attn_implementation_internal _attn_implementation_autoset
    experts_implementation _experts_implementation _flash_attn_2_enabled unsloth_version unsloth_fixed
    is_decoder use_cache return_dict use_return_dict return_dict_in_generate
    output_hidden_states output_attentions output_scores
    chunk_size_feed_forward gradient_checkpointing initializer_range initializer_factor attention_dropout dropout
    use_bfloat16 tf_legacy_loss finetuning_task task_specific_params problem_type id2label label2id num_labels
    tokenizer_class processor_class prefix pad_token_id bos_token_id eos_token_id sep_token_id decoder_start_token_id
    forced_bos_token_id forced_eos_token_id max_length min_length do_sample early_stopping num_beams num_beam_groups
    diversity_penalty temperature top_k top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size
    encoder_no_repeat_ngram_size bad_words_ids num_return_sequences remove_invalid_values
    exponential_decay_length_penalty suppress_tokens begin_suppress_tokens
    """.split()  # noqa: SIM905
)

# Fields that would change the model at any other value than this one (or null).
NEUTRAL: Values = MappingProxyType(
    {
        "is_encoder_decoder": False,
        "add_cross_attention": False,
        "tie_encoder_decoder": False,
        "cross_attention_hidden_size": None,
        "pruned_heads": {},
        "is_causal": True,
        "per_layer_config": {},
        "tie_last_hidden_states": False,
        "quantization_config": None,
        "auto_map": {},
    }
)


@dataclass(frozen=True, slots=True)
class ConfigTable:
    """The fields of one config class.

    `nullable` are the understood fields that may be null; `harmless` is what the class has beside `HARMLESS`;
    `neutral` is added to `NEUTRAL`. `called` are the names that this class has for fields that most call otherwise:
    usual name -> its name. `rotary` are fields of its rotary object that nothing here depends on.
    """

    model_type: str
    understood: Values
    nullable: frozenset[str] = frozenset()
    harmless: frozenset[str] = frozenset()
    neutral: Values = field(default_factory=dict)
    called: Mapping[str, str] = field(default_factory=dict)
    rotary: frozenset[str] = frozenset()

    def name(self, key: str) -> str:
        """What this class calls the field that is usually called `key`."""
        return self.called.get(key, key)


# Projections of whole CLIP models, and a vocabulary that LLaVA's first configs wrote into the vision part.
_VISION_HARMLESS = frozenset({"projection_dim", "vocab_size"})

VISION_TABLES: Mapping[str, ConfigTable] = MappingProxyType(
    {
        "clip_vision_model": ConfigTable(
            "clip_vision_model",
            {
                "hidden_size": 768,
                "intermediate_size": 3072,
                "num_hidden_layers": 12,
                "num_attention_heads": 12,
                "num_channels": 3,
                "image_size": 224,
                "patch_size": 32,
                "hidden_act": "quick_gelu",
                "layer_norm_eps": 1e-5,
            },
            harmless=_VISION_HARMLESS,
        ),
        "siglip_vision_model": ConfigTable(
            "siglip_vision_model",
            {
                "hidden_size": 768,
                "intermediate_size": 3072,
                "num_hidden_layers": 12,
                "num_attention_heads": 12,
                "num_channels": 3,
                "image_size": 224,
                "patch_size": 16,
                "hidden_act": "gelu_pytorch_tanh",
                "layer_norm_eps": 1e-6,
            },
            # the pooling head stands after everything that a LLaVA reads
            harmless=_VISION_HARMLESS | {"vision_use_head"},
        ),
        "internvl_vision": ConfigTable(
            "internvl_vision",
            {
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "num_channels": 3,
                "image_size": (448, 448),
                "patch_size": (14, 14),
                "hidden_act": "gelu",
                "norm_type": "layer_norm",
                "layer_norm_eps": 1e-6,
                "attention_bias": False,
                "use_qk_norm": False,
                "use_absolute_position_embeddings": True,
                "layer_scale_init_value": 0.1,
                "use_mean_pooling": True,
            },
            # a token that only training on masked images uses
            harmless=frozenset({"hidden_dropout_prob", "projection_dropout", "use_mask_token"}),
        ),
    }
)

# transformers' names for activations that the language has; the right side is the language's.
ACTIVATIONS: Mapping[str, str] = MappingProxyType(
    {
        "gelu": "gelu",
        "gelu_python": "gelu",
        "gelu_pytorch_tanh": "gelu_tanh",
        "gelu_python_tanh": "gelu_tanh",
        "gelu_new": "gelu_tanh",
        "gelu_fast": "gelu_tanh",
        "gelu_accurate": "gelu_tanh",
        "quick_gelu": "quick_gelu",
        "silu": "silu",
        "swish": "silu",
        "relu": "relu",
        "relu2": "relu2",
    }
)
