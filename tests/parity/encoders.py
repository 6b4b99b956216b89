"""Encoders of text, and decoders that attend to features from elsewhere: one odd configuration of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Generator, Tensor

from .reference import IMAGE_TOKEN, LENGTH, VOCAB, Padding, pad

Inputs = dict[str, Tensor]
PAD = 1  # of those that count positions by it

_SIZES: Mapping[str, Any] = MappingProxyType(
    {
        "vocab_size": VOCAB,
        "hidden_size": 42,
        "intermediate_size": 56,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "max_position_embeddings": 64,
        "layer_norm_eps": 2e-3,
    }
)
_DISTIL: Mapping[str, Any] = MappingProxyType(
    {"vocab_size": VOCAB, "dim": 42, "hidden_dim": 56, "n_layers": 3, "n_heads": 3, "max_position_embeddings": 64}
)
_DECODER: Mapping[str, Any] = MappingProxyType({"is_decoder": True, "add_cross_attention": True})


@dataclass(frozen=True)
class Encoder:
    """A class of `transformers` and its config; `theirs` are the fields of its output that ours are compared with."""

    model: str
    config: Mapping[str, Any]
    theirs: Mapping[str, str]
    types: int = 0
    encoded: bool = False
    padded: bool = False

    def make(self) -> Any:
        """The reference model with weights that it draws itself."""
        import transformers

        made: Any = getattr(transformers, self.model)
        return made(made.config_class(**self.config))

    def inputs(self, padding: Padding, generator: Generator) -> Inputs:
        """Rows of different length, with types of tokens and features from elsewhere where the class takes them."""
        rows = [torch.randint(3, IMAGE_TOKEN, (length,), generator=generator) for length in (LENGTH, LENGTH - 6)]
        ids, mask = pad(rows, padding)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self.types:
            inputs["token_type_ids"] = torch.randint(0, self.types, ids.shape, generator=generator)
        if self.encoded:
            inputs["encoder_hidden_states"] = torch.randn(2, 11, self.config["hidden_size"], generator=generator)
            inputs["encoder_attention_mask"] = torch.tensor([[1] * 11, [0] * 2 + [1] * 5 + [0] * 4])
        return inputs

    def reference(self, inputs: Inputs) -> Inputs:
        """The same inputs as the reference wants them: decoders that count padding are told where text begins."""
        mask = inputs.get("attention_mask")
        if mask is not None and self.padded:
            return inputs | {"input_ids": inputs["input_ids"].where(mask.bool(), PAD)}
        if mask is not None and self.config.get("is_decoder"):
            return inputs | {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
        return inputs


_LOGITS = MappingProxyType({"logits": "logits"})
_STATES = MappingProxyType({"hidden": "last_hidden_state", "pooled": "pooler_output"})

ENCODERS: Mapping[str, Encoder] = MappingProxyType(
    {
        "bert_masked": Encoder("BertForMaskedLM", {**_SIZES, "hidden_act": "gelu_new"}, _LOGITS, types=2),
        "bert_untied": Encoder("BertForMaskedLM", {**_SIZES, "tie_word_embeddings": False}, _LOGITS, types=2),
        "bert_states": Encoder("BertModel", {**_SIZES, "type_vocab_size": 3}, _STATES, types=3),
        "bert_decoder": Encoder("BertLMHeadModel", {**_SIZES, **_DECODER}, _LOGITS, types=2, encoded=True),
        "bert_causal": Encoder("BertLMHeadModel", {**_SIZES, "is_decoder": True}, _LOGITS),
        "roberta_masked": Encoder(
            "RobertaForMaskedLM", {**_SIZES, "type_vocab_size": 1, "hidden_act": "relu"}, _LOGITS, padded=True
        ),
        "roberta_decoder": Encoder(
            "RobertaForCausalLM", {**_SIZES, **_DECODER, "pad_token_id": PAD}, _LOGITS, encoded=True, padded=True
        ),
        "xlm_roberta_states": Encoder("XLMRobertaModel", {**_SIZES, "type_vocab_size": 1}, _STATES, padded=True),
        "distilbert_masked": Encoder("DistilBertForMaskedLM", _DISTIL, _LOGITS),
        "distilbert_states": Encoder("DistilBertModel", _DISTIL, {"hidden": "last_hidden_state"}),
    }
)
GENERATING = tuple(name for name, case in ENCODERS.items() if case.config.get("is_decoder"))
Make = Callable[[], Any]
