"""Published configs of encoders of text, as their repositories have them but for the class."""

from __future__ import annotations

from typing import Any

from .record import HUB, Published


def _bert(made: str, dim: int = 768, layers: int = 12, heads: int = 12) -> dict[str, Any]:
    sizes = {"hidden_size": dim, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {"model_type": "bert", "architectures": [made], **sizes, "intermediate_size": 4 * dim}


_ROBERTA = {
    "model_type": "roberta",
    "architectures": ["RobertaModel"],
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-05,
}
_DISTILBERT = {"model_type": "distilbert", "architectures": ["DistilBertModel"]}
_BERT_BASE = f"{HUB}google-bert/bert-base-uncased"

# part -> what was published, embeddings included
TEXT_ENCODERS: dict[str, Published] = {
    "bert_base_uncased": Published("BERT base, uncased", _BERT_BASE, _bert("BertModel"), 109_482_240),
    "bert_large_uncased": Published(
        "BERT large, uncased",
        f"{HUB}google-bert/bert-large-uncased",
        _bert("BertModel", 1024, 24, 16),
        335_141_888,
    ),
    "roberta_base": Published("RoBERTa base", f"{HUB}FacebookAI/roberta-base", _ROBERTA, 124_645_632),
    "distilbert_base_uncased": Published(
        "DistilBERT base, uncased", f"{HUB}distilbert/distilbert-base-uncased", _DISTILBERT, 66_362_880
    ),
}
# graph -> what was published
MASKED: dict[str, Published] = {
    "bert_base": Published(
        "BERT base, uncased, with its head for masked tokens", _BERT_BASE, _bert("BertForMaskedLM"), 109_514_298
    ),
}
