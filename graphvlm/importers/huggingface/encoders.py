"""Text models with post-norms, learned positions and heads for masked tokens: bidirectional, or as a causal decoder.

Which of them a file is, and with which head, its `architectures` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from .fields import Fields
from .multimodal import Family, Imported
from .tables import ConfigTable

Node = dict[str, Any]

_SIZES: Mapping[str, Any] = MappingProxyType(
    {
        "vocab_size": 30522,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "is_decoder": False,
        "add_cross_attention": False,
        "pad_token_id": 0,
        "tie_word_embeddings": True,
    }
)
_DROPOUT = frozenset({"hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"})
# What the first files say: the only kind of positions that the class has by now.
_ABSOLUTE = MappingProxyType({"position_embedding_type": "absolute"})

BERT = ConfigTable(
    "bert",
    {**_SIZES, "bos_token_id": None, "eos_token_id": None},
    nullable=frozenset({"pad_token_id"}),
    harmless=_DROPOUT | {"directionality", "gradient_checkpointing", "pooler_type"},
    neutral=_ABSOLUTE,
)
_ROBERTA = {**_SIZES, "vocab_size": 50265, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
ROBERTA = ConfigTable("roberta", _ROBERTA, harmless=_DROPOUT, neutral=_ABSOLUTE)
XLM_ROBERTA = ConfigTable(
    "xlm-roberta", {**_ROBERTA, "vocab_size": 30522}, harmless=_DROPOUT | {"output_past"}, neutral=_ABSOLUTE
)
DISTILBERT = ConfigTable(
    "distilbert",
    {
        "vocab_size": 30522,
        "max_position_embeddings": 512,
        "n_layers": 6,
        "n_heads": 12,
        "dim": 768,
        "hidden_dim": 3072,
        "activation": "gelu",
        "pad_token_id": 0,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": True,
    },
    nullable=frozenset({"pad_token_id"}),
    # the table of positions is stored, however it was filled
    harmless=frozenset({"qa_dropout", "seq_classif_dropout", "sinusoidal_pos_embds", "tie_weights_", "output_past"}),
    called={
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
    },
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a class goes by: its prefix in class names, the catalog parts of its keys, its head and whether positions
    begin behind the id of the padding token."""

    prefix: str
    names: str
    head: str
    pooler: bool = True
    padded: bool = False
    eps: float | None = None
    keys: Mapping[str, str] = field(default_factory=dict)


_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        "bert": _Kind("Bert", "bert", "cls.predictions", keys={"cls.": "cls.", "": "bert."}),
        "roberta": _Kind("Roberta", "roberta", "lm_head", padded=True, keys={"lm_head.": "lm_head.", "": "roberta."}),
        "xlm-roberta": _Kind(
            "XLMRoberta", "roberta", "lm_head", padded=True, keys={"lm_head.": "lm_head.", "": "roberta."}
        ),
        "distilbert": _Kind(
            "DistilBert",
            "distilbert",
            "vocab_projector",
            pooler=False,
            eps=1e-12,
            keys={"vocab_": "vocab_", "": "distilbert."},
        ),
    }
)


def _read(config: Fields) -> Imported:
    """Any of them, as the class that the file names."""
    config.check_names()
    kind = _KINDS[config.table.model_type]
    made = _architecture(config)
    decodes, scored = made.endswith(("LMHeadModel", "ForCausalLM")), made != f"{kind.prefix}Model"
    _check_direction(config, made, decodes)
    name = "llm" if decodes else "encoder"
    node = _stack(config, kind, decodes=decodes, scored=scored)
    types = config.knows("type_vocab_size")
    inputs: dict[str, Any] = {"input_ids": "tokens", "attention_mask": "mask"}
    words: Node = {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids"}
    if types:
        inputs["token_type_ids"] = "token_types"
        words["inputs"] = {"ids": "input_ids", "types": "token_type_ids"}
        words["token_types"] = config.integer("type_vocab_size")
    if "sublayers" in node:
        inputs |= {"encoder_hidden_states": "features", "encoder_attention_mask": "mask"}
    outputs = {"logits": f"{name}.logits"} if scored else {"hidden": name}
    if not scored and kind.pooler:
        outputs["pooled"] = f"{name}.pooled"
    body = {
        "nodes": {"text": words, name: node},
        "outputs": outputs,
        "checkpoint": {"prefixes": {name: dict(kind.keys) if scored else ""}},
    }
    return Imported(body, config, inputs)


def _architecture(config: Fields) -> str:
    """The class that the file names, or the one for masked tokens."""
    named = config.tree.get("architectures")
    classes = [element.value for element in named.elements()] if named is not None else []
    known = next((name for name in classes if isinstance(name, str)), "")
    return known or f"{_KINDS[config.table.model_type].prefix}ForMaskedLM"


def _check_direction(config: Fields, made: str, decodes: bool) -> None:
    """A class for causal language models is a decoder, and no other is."""
    if config.knows("is_decoder") and config.boolean("is_decoder") != decodes:
        config.problems.conflict(
            f"`is_decoder` is {'false' if decodes else 'true'}, and the class is `{made}`",
            config.span("is_decoder"),
            help="a decoder is a class for causal language models with `is_decoder: true`; correct one of the two",
        )
    elif config.knows("add_cross_attention") and config.boolean("add_cross_attention") and not decodes:
        config.problems.conflict(
            "`add_cross_attention` is true in a model that is no decoder, which transformers refuses",
            config.span("add_cross_attention"),
            help='write `"is_decoder": true`, or `"add_cross_attention": false`',
        )


def _stack(config: Fields, kind: _Kind, *, decodes: bool, scored: bool) -> Node:
    """The node of the layers, with what stands before and after them."""
    dim, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    if dim % heads:
        config.problems.conflict(
            f"`{config.name('hidden_size')}`: a width of {dim} is not a multiple of {heads} heads",
            config.span("hidden_size"),
        )
    rows, first = config.integer("max_position_embeddings"), 0
    position: Node = {"type": "learned"}
    if kind.padded:
        first = config.integer("pad_token_id", least=0) + 1
        position |= {"offset": first} | ({} if decodes else {"padding": "skipped"})
    activation = config.activation("hidden_act")
    eps = config.number("layer_norm_eps") if kind.eps is None else kind.eps
    crossed = decodes and config.knows("add_cross_attention") and config.boolean("add_cross_attention")
    read: Node = {"features": "text", "mask": "attention_mask"}
    if crossed:
        read |= {"encoded": "encoder_hidden_states", "encoded_mask": "encoder_attention_mask"}
    node: Node = {
        "kind": "decoder" if decodes else "encoder",
        "type": "transformer",
        "inputs": read,
        "vocab": config.integer("vocab_size"),
        "dim": dim,
        "max_tokens": max(1, rows - first),
        "layers": config.integer("num_hidden_layers"),
        "norm": {"type": "layer", "eps": eps, "place": "post"},
        "attention": {"heads": heads, "bias": True},
        "mlp": {"hidden": config.integer("intermediate_size"), "activation": activation, "bias": True},
        "position": position,
        "input_norm": True,
        "final_norm": False,
    }
    if crossed:
        cross = {"op": "attention", "heads": heads, "bias": True, "kv": "encoded", "kv_dim": dim}
        node["sublayers"] = {"cross": cross}
        node["layers"] = {"count": node["layers"], "each": ["attn", "cross", "mlp"]}
    if scored:
        tied = config.boolean("tie_word_embeddings")
        # the transform of this one class has an activation of its own, whatever the layers have
        given = {"activation": "gelu" if kind.head == "lm_head" else activation}
        node["head"] = {"tied": tied, "bias": True, "transform": given}
    elif decodes:
        node["head"] = "none"
    if not scored and kind.pooler:
        node["pooler"] = True
    node["checkpoint"] = {"use": f"checkpoint/{kind.names}{'_cross' if crossed else ''}"}
    return node


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {table.model_type: Family(table, _read) for table in (BERT, ROBERTA, XLM_ROBERTA, DISTILBERT)}
)
