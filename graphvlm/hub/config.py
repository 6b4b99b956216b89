"""The configuration of the profile: classes whose numbers have the names of `transformers`, and `config.json`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..blocks.expressions import pattern_field
from ..blocks.settings import Attention, Mlp, Stack
from ..blocks.settings_position import Relative
from ..code import Field, literal, quoted
from ..components.decoder.transformer import Transformer
from ..components.encoder.token_embedding import TokenEmbedding
from ..components.fusion.scatter import Scatter
from ..ir import Graph, Node
from ..names import class_name
from ..node_page import NodePage
from .fitting import Parts
from .roles import AUDIO, LANGUAGE, VISION
from .views import ConfigView, ModelView, ModuleView, PairView

# What the code reads -> what `transformers` calls it, in nodes that have layers.
ALIASES = {
    "dim": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "mlp_hidden": "intermediate_size",
    "vocab": "vocab_size",
    "max_tokens": "max_position_embeddings",
    "attention_softcap": "attn_logit_softcapping",
    "logit_softcap": "final_logit_softcapping",
    "linear_key_heads": "linear_num_key_heads",
    "linear_value_heads": "linear_num_value_heads",
    "linear_key_dim": "linear_key_head_dim",
    "linear_value_dim": "linear_value_head_dim",
    "experts": "num_experts",
    "top_experts": "num_experts_per_tok",
    "expert_hidden": "moe_intermediate_size",
    "groups": "n_group",
    "top_groups": "topk_group",
    "router_scale": "routed_scaling_factor",
    "q_rank": "q_lora_rank",
    "kv_rank": "kv_lora_rank",
    "nope_dim": "qk_nope_head_dim",
    "rope_dim": "qk_rope_head_dim",
    "value_dim": "v_head_dim",
    "index_top": "index_topk",
    "index_heads": "index_n_heads",
    "input_scale": "embedding_multiplier",
    "conv_size": "linear_conv_kernel_dim",
}
_ATTRIBUTES = {LANGUAGE: "text_config", VISION: "vision_config", AUDIO: "audio_config"}
_LIMITS = ("window", "windows", "chunk", "chunks", "linear")


def attribute(name: str, page: NodePage) -> str:
    """The attribute of the whole configuration that holds that of a node; empty if it has no numbers."""
    return _ATTRIBUTES.get(name, f"{name}_config") if page.fields else ""


def module_of(name: str, page: NodePage) -> ModuleView:
    """The module of a node, built from its own numbers."""
    config = attribute(name, page)
    plain = "" if page.template else page.construct.replace(f"config.{name}.", f"config.{config}.")
    return ModuleView(name, page.class_name, config, plain)


def layer_types(stack: Stack) -> tuple[str, ...]:
    """What each layer sees, in the words of `transformers`."""
    names = ("linear_attention", "indexed_attention", "sliding_attention", "chunked_attention")
    own = [stack.attention(kind) for kind in stack.order]
    indexed = [op is not None and bool(op.index or op.follows) for op in own]
    layers = zip(stack.linear, indexed, stack.windows, stack.chunks, strict=True)
    return tuple(
        next((name for name, has in zip(names, layer, strict=True) if has), "full_attention") for layer in layers
    )


def typed(stack: Stack) -> bool:
    """Whether layers are of other types than the usual one."""
    return {*layer_types(stack)} != {"full_attention"}


def classes(graph: Graph, parts: Parts, pages: Mapping[str, NodePage]) -> tuple[ConfigView, ...]:
    """A class for each node that has numbers, that of the decoder last."""
    found = []
    for name, page in pages.items():
        node = graph.nodes[name]
        if page.fields and page.construct and node is not parts.embedding:
            view = of_node(graph, node, page)
            found.append(_language(view, parts) if node is parts.decoder else view)
    return tuple(found)


def of_node(graph: Graph, node: Node, page: NodePage) -> ConfigView:
    """The class of the numbers of a node."""
    table = ALIASES if node.spec.stack is not None else {}
    aliases = tuple((field.name, table[field.name]) for field in page.fields if field.name in table)
    fields = tuple(replace(field, name=table.get(field.name, field.name)) for field in page.fields)
    return ConfigView(f"{class_name(node.name)}Config", f"{graph.name}_{node.name}", fields, aliases)


def _language(view: ConfigView, parts: Parts) -> ConfigView:
    spec = parts.decoder.spec
    assert isinstance(spec, Transformer)
    stack = spec.layers
    fields = [field for field in view.fields if field.name not in _LIMITS]
    names = [field.name for field in fields]
    if "num_key_value_heads" not in names and (heads := _usual_kv_heads(stack)):
        fields.insert(names.index("num_attention_heads") + 1, Field("num_key_value_heads", "int", str(heads)))
    fields += list(_limits(stack))
    assert isinstance(parts.embedding.spec, TokenEmbedding)
    if parts.embedding.spec.scale != 1:
        fields.append(Field("embed_scale", "float", literal(parts.embedding.spec.scale)))
    if parts.embedding.spec.extra:
        fields.append(Field("extra_rows", "int", str(parts.embedding.spec.extra)))
    fields.append(Field("tie_word_embeddings", "bool", str(bool(spec.head and spec.head.tied))))
    fields.append(Field("use_cache", "bool", "True"))
    return replace(
        view, fields=tuple(fields), plan=tuple(_plan(stack)), stages=tuple(_stages(spec)), aliases=view.aliases
    )


def _usual_kv_heads(stack: Stack) -> int:
    return next((op.kv_heads for op in stack.attentions if op.latent is None), 0)


def _limits(stack: Stack) -> Iterator[Field]:
    window, chunk = max(map(_none, stack.windows)), max(map(_none, stack.chunks))
    if window:
        yield Field("sliding_window", "int", str(window))
    if chunk:
        yield Field("attention_chunk_size", "int", str(chunk))
    if typed(stack):
        yield pattern_field("layer_types", [quoted(each) for each in layer_types(stack)], "str")


def _none(limit: int | None) -> int:
    return limit or 0


def _plan(stack: Stack) -> Iterator[tuple[str, str]]:
    """How linear layers are split over ranks; where heads share numbers, all ranks have all of them."""
    found: dict[str, str] = {}
    for kind in stack.kinds:
        for sublayer in kind.sublayers:
            op, path = sublayer.op, f"layers.*.{sublayer.name}"
            if isinstance(op, Attention) and op.latent is None:
                whole = not op.norm_heads or op.sinks
                column, row = ("colwise_gather_output", "rowwise_split_input") if whole else ("colwise", "rowwise")
                names = ("q_proj", "k_proj", "v_proj", *(("g_proj",) if op.gated else ()))
                kinds = [f".{kind}" for kind in op.by] or [""]
                found |= {f"{path}.{name}{kind}": column for name in names for kind in kinds}
                found |= {f"{path}.o_proj{kind}": row for kind in kinds}
            elif isinstance(op, Mlp) and op.moe is None:
                names = ("gate_proj", "up_proj") if op.gated else ("up_proj",)
                for each in [f"{path}.{kind}" for kind in op.by] or [path]:
                    found |= {f"{each}.{name}": "colwise" for name in names} | {f"{each}.down_proj": "rowwise"}
    yield from found.items()


def _stages(spec: Transformer) -> Iterator[tuple[str, str, str]]:
    """The children of the language model that a pipeline runs in turn: name, what it reads, what it gives."""
    yield "embed_tokens", "input_ids", "inputs_embeds"
    if spec.learned:
        yield "position", "position_ids", "position_embeds"
    if isinstance(spec.relative, Relative):
        yield "relative", "position_ids", "position_bias"
    if spec.input_norm:
        yield "input_norm", "hidden_states", "hidden_states"
    yield "layers", "hidden_states", "hidden_states"
    if spec.final_norm:
        yield "norm", "hidden_states", "hidden_states"


def placeholders(graph: Graph) -> Iterator[tuple[str, str]]:
    """(`image_token_id`, where the configuration has it) for each modality that has placeholder tokens."""
    for name, node in graph.nodes.items():
        if isinstance(node.spec, Scatter):
            for port, _ in node.spec.placeholder:
                yield f"{port}_token_id", f"self.{name}_config.{port}_token"


def config_json(graph: Graph, found: tuple[ConfigView, ...], model: ModelView, dtype: str) -> dict[str, Any]:
    """What `config.json` says: every number, and where the code is."""
    numbers = {view.name: numbers_of(view) for view in found}
    names = {"AutoConfig": f"configuration_{graph.name}.{model.prefix}Config"}
    names["AutoModel"] = f"modeling_{graph.name}.{model.prefix}Model"
    names |= dict.fromkeys(model.kinds, f"modeling_{graph.name}.{model.generating}")
    head = {"architectures": [model.generating], "auto_map": names, "model_type": graph.name, "dtype": dtype}
    if model.alone:
        return head | {key: value for key, value in next(iter(numbers.values())).items() if key != "model_type"}
    whole: dict[str, Any] = {name: numbers[kind] for name, kind in model.configs}
    pair = {"is_encoder_decoder": True, **written_tokens(model.pair)} if model.pair else {}
    return head | pair | whole | {"tie_word_embeddings": model.tied}


def written_tokens(pair: PairView) -> dict[str, int]:
    """The tokens that an encoder-decoder begins a text with, and fills one up with."""
    return {"decoder_start_token_id": pair.start, "pad_token_id": pair.pad}


def numbers_of(view: ConfigView) -> dict[str, Any]:
    """What `config.json` says of it."""
    return {"model_type": view.model_type} | {field.name: _value(field.value) for field in view.fields}


def _value(code: str) -> Any:
    """The value of a field's expression: literals, and tuples that repeat some."""
    node = ast.parse(code.strip(), mode="eval").body
    return _evaluated(node)


def _evaluated(node: ast.expr) -> Any:
    if isinstance(node, ast.Tuple | ast.List):
        found = list[Any]()
        for item in node.elts:
            found += _evaluated(item.value) if isinstance(item, ast.Starred) else [_evaluated(item)]
        return found
    if isinstance(node, ast.BinOp):
        return _evaluated(node.left) * _evaluated(node.right)
    return ast.literal_eval(node)


def generation_json(graph: Graph, model: ModelView) -> dict[str, Any]:
    """The token ids that steer `generate()`."""
    found = graph.generation
    eos = found.eos[0] if len(found.eos) == 1 else list(found.eos) or None
    ids = {"bos_token_id": found.bos, "eos_token_id": eos, "pad_token_id": found.pad}
    ids |= written_tokens(model.pair) if model.pair else {}
    return {name: value for name, value in ids.items() if value is not None}
