"""Published configs of encoders of text, as their repositories have them but for the class."""

from __future__ import annotations

from typing import Any


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
