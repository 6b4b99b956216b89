"""Published configs of encoders of text, and of encoder-decoders."""

from __future__ import annotations

from typing import Any

from .record import HUB, Published


def _bert(made: str, dim: int = 768, layers: int = 12, heads: int = 12) -> dict[str, Any]:
    sizes = {"hidden_size": dim, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {"model_type": "bert", "architectures": [made], **sizes, "intermediate_size": 4 * dim}


def _roberta(model_type: str, made: str, **fields: Any) -> dict[str, Any]:
    sizes = {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-05}
    return {"model_type": model_type, "architectures": [made], **sizes, **fields}


def _t5(dim: int, hidden: int, layers: int, heads: int, **fields: Any) -> dict[str, Any]:
    sizes = {"d_model": dim, "d_ff": hidden, "num_layers": layers, "num_heads": heads}
    return {"model_type": "t5", **sizes, **fields}


_UNTIED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}

# part -> what was published of the model that it is the encoder of, embeddings included
TEXT_ENCODERS: dict[str, Published] = {
    "bert_base_uncased": Published(
        "BERT base, uncased", f"{HUB}google-bert/bert-base-uncased", _bert("BertModel"), 109_482_240
    ),
    "bert_large_uncased": Published(
        "BERT large, uncased", f"{HUB}google-bert/bert-large-uncased", _bert("BertModel", 1024, 24, 16), 335_141_888
    ),
    "roberta_base": Published(
        "RoBERTa base", f"{HUB}FacebookAI/roberta-base", _roberta("roberta", "RobertaModel"), 124_645_632
    ),
    "xlm_roberta_base": Published(
        "XLM-RoBERTa base",
        f"{HUB}FacebookAI/xlm-roberta-base",
        _roberta("xlm-roberta", "XLMRobertaModel", vocab_size=250002),
        278_043_648,
    ),
    "distilbert_base_uncased": Published(
        "DistilBERT base, uncased",
        f"{HUB}distilbert/distilbert-base-uncased",
        {"model_type": "distilbert", "architectures": ["DistilBertModel"]},
        66_362_880,
    ),
}
# graph -> what was published of it; encoder and decoder are parts of the same name
ENCODER_DECODERS: dict[str, Published] = {
    "t5_base": Published("T5 base", f"{HUB}google-t5/t5-base", _t5(768, 3072, 12, 12), 222_903_552),
    "flan_t5_xl": Published("Flan-T5 XL", f"{HUB}google/flan-t5-xl", _t5(2048, 5120, 24, 32, **_UNTIED), 2_849_757_184),
    "flan_t5_xxl": Published(
        "Flan-T5 XXL", f"{HUB}google/flan-t5-xxl", _t5(4096, 10240, 24, 64, **_UNTIED), 11_135_332_352
    ),
    "mt5_base": Published(
        "mT5 base",
        f"{HUB}google/mt5-base",
        _t5(768, 2048, 12, 12, **_UNTIED) | {"model_type": "mt5", "vocab_size": 250112},
        582_401_280,
    ),
}
MASKED: dict[str, Published] = {
    "bert_base": Published(
        "BERT base, uncased, with its head for masked tokens",
        f"{HUB}google-bert/bert-base-uncased",
        _bert("BertForMaskedLM"),
        109_514_298,
    )
}
