"""What `transformers`, vLLM 0.33 and SGLang 0.5 ask of a model that they load by its code: one function a clause.

The engines read sources and modules; so do these, on a directory that was written. Each yields what is wrong.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from .opened import Directory, calls, forward_of, own

__all__ = ["CLAUSES", "Directory", "broken"]

Clause = Callable[[Directory], Iterator[str]]
STYLES = {"colwise", "rowwise", "replicate", "colwise_gather_output", "rowwise_split_input"}


def auto_map(of: Directory) -> Iterator[str]:
    names = of.json["auto_map"]
    if not {"AutoConfig", "AutoModel"} <= names.keys():
        yield "AutoConfig and AutoModel are both needed"
    if names["AutoModel"].split(".")[1] != type(of.base).__name__ or hasattr(of.base, "lm_head"):
        yield "AutoModel is to be the base model, without a head"
    if of.json["architectures"] != [type(of.writing).__name__]:
        yield "architectures names the class that writes text"


# What the language model is given that an engine knows, or can leave out.
KNOWN = {"input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds", "use_cache", "kwargs"}
KNOWN |= {"inject", "spans"}


def attention_backend(of: Directory) -> Iterator[str]:
    """Or that no engine takes it: they compute attention themselves, over all keys of the tokens and nothing else."""
    more = inspect.signature(of.language.forward).parameters.keys() - KNOWN
    choosing = any(hasattr(each, "index") for each in of.attentions())
    known = not (more or choosing or hasattr(of.language, "relative"))
    for model in (of.base, of.writing, of.language):
        if model._supports_attention_backend is not known:
            yield f"{type(model).__name__}: support of attention backends is {not known}"


def built_on_meta(of: Directory) -> Iterator[str]:
    """Buffers are in no file, and are filled again where parameters were on meta."""
    with torch.device("meta"):
        type(of.base)(of.config)
    for name, _ in of.base.named_buffers():
        owner = of.base.get_submodule(name.rpartition(".")[0])
        if name in of.base.state_dict() or not hasattr(owner, "reset_parameters"):
            yield f"buffer {name}"


def nested_text_config(of: Directory) -> Iterator[str]:
    if not of.alone and of.text is of.config:
        yield "a model of several modalities needs text_config"
    if of.alone and of.text is not of.config:
        yield "a model of text is its own text_config"


def text_sizes(of: Directory) -> Iterator[str]:
    for name in ("num_hidden_layers", "hidden_size", "vocab_size", "num_attention_heads"):
        if not isinstance(getattr(of.text, name, None), int):
            yield f"no {name}"
    numbers = of.json if of.alone else of.json["text_config"]
    yield from (f"{name} is not written down" for name in ("hidden_size", "num_hidden_layers") if name not in numbers)
    kinds = getattr(of.text, "layer_types", None)
    if kinds and len(kinds) != of.text.num_hidden_layers:
        yield "layer_types has another length than there are layers"
    if kinds and "sliding_attention" in kinds and not of.text.sliding_window:
        yield "no sliding_window"
    narrow = any(hasattr(each, "kv_b_proj") for each in of.attentions())
    for name in ("kv_lora_rank",) if narrow else ("num_key_value_heads", "head_dim"):
        if of.attentions() and not isinstance(getattr(of.text, name, None), int):
            yield f"no {name}"


def head_is_of_the_text(of: Directory) -> Iterator[str]:
    """vLLM makes the head itself, of a matrix, its bias, and what the configuration of the text says of logits."""
    ids, head = torch.tensor([[3, 4, 5]]), of.writing.lm_head
    if type(head) is not nn.Linear or head.weight.shape != (of.text.vocab_size, of.text.hidden_size):
        yield f"the head is {head}"
    with torch.no_grad():
        logits = head(of.writing.model(input_ids=ids, use_cache=False).last_hidden_state)
        logits = logits * getattr(of.text, "logit_scale", 1.0)
        cap = getattr(of.text, "final_logit_softcapping", None)
        logits = logits if cap is None else cap * (logits / cap).tanh()
        if not torch.equal(logits, of.writing(input_ids=ids, use_cache=False).logits):
            yield "logits are made of more than the configuration of the text says"
    tied = head.weight is of.writing.get_input_embeddings().weight
    if tied != of.config.tie_word_embeddings:
        yield f"tie_word_embeddings is {of.config.tie_word_embeddings}"


def called_as_a_server_does(of: Directory) -> Iterator[str]:
    ids = torch.tensor([[3, 4, 5]])
    for given in ({"input_ids": ids}, {"inputs_embeds": of.base.get_input_embeddings()(ids)}):
        with torch.no_grad():
            made = of.base(**given, use_cache=False, position_ids=torch.arange(3)[None], return_dict=False)
        if not isinstance(made, tuple) or made[0].shape != (1, 3, of.text.hidden_size):
            yield f"{[*given]} gives no tuple of hidden states"


def parts_are_found(of: Directory) -> Iterator[str]:
    if not isinstance(of.base.get_input_embeddings(), nn.Embedding):
        yield "no get_input_embeddings()"
    if of.writing.get_decoder() is not (of.writing.model if of.alone else of.writing.model.language_model):
        yield "get_decoder() is not the language model"
    if hasattr(of.base, "get_image_features") and of.base.get_encoder(modality="image") is of.base:
        yield "get_encoder(modality='image') finds nothing"


def keywords_reach_attention(of: Directory) -> Iterator[str]:
    """Servers hand their state on as keyword arguments, and switch attention by the configuration of the text."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    seen: list[tuple[int, Any, float]] = []
    shapes = set[bool]()

    def probe(module: Any, query: Any, *rest: Any, **more: Any) -> Any:
        seen.append((module.layer_idx, more.get("attention_instances"), more["scaling"]))
        shapes.update(each.dim() == 4 and each.size(0) == 1 and each.size(2) == 3 for each in (query, *rest[:2]))
        return query.transpose(1, 2)[..., : rest[1].size(-1)], None

    before = of.text._attn_implementation
    ALL_ATTENTION_FUNCTIONS.register("probe", probe)
    of.text._attn_implementation = "probe"
    try:
        mask = torch.zeros(1, 1, 3, 3)
        kinds = {*(getattr(of.text, "layer_types", None) or ())}
        given = {kind: None if kind == "linear_attention" else mask for kind in kinds} if len(kinds) > 1 else mask
        with torch.no_grad():
            of.base(
                input_ids=torch.tensor([[3, 4, 5]]),
                attention_mask=given,
                position_ids=torch.arange(3)[None],
                use_cache=False,
                attention_instances="here",
            )
    finally:
        of.text._attn_implementation = before
    if [index for index, _, _ in seen] != of.attending():
        yield f"{len(seen)} calls of the interface in {len(of.attending())} layers"
    if {word for _, word, _ in seen} != {"here"}:
        yield "keyword arguments are lost on the way to attention"
    if not all(isinstance(scaling, float) for _, _, scaling in seen):
        yield "scaling is no number"
    if shapes != {True}:
        yield "queries, keys and values are to be [1, heads, seq, head_dim]"


def one_call_of_the_interface(of: Directory) -> Iterator[str]:
    for name, module in {type(each).__name__: each for each in of.attentions()}.items():
        forward = forward_of(module)
        locals_ = [
            node.targets[0].id
            for node in ast.walk(forward)
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and ast.unparse(node.value).startswith("ALL_ATTENTION_FUNCTIONS")
        ]
        found = [call for call in calls(forward) if isinstance(call.func, ast.Name) and call.func.id in locals_]
        if len(locals_) != 1 or len(found) != 1:
            yield f"{name} calls the interface {len(found)} times through {len(locals_)} names"
            continue
        words = {word.arg: ast.unparse(word.value) for word in found[0].keywords}
        if not re.fullmatch(r"self\.\w+|[\d.]+", words.get("scaling", "")):
            yield f"{name}: scaling is `{words.get('scaling')}`"
        if "s_aux" in words and not re.fullmatch(r"self\.\w+", words["s_aux"]):
            yield f"{name}: s_aux is `{words['s_aux']}`"
        if not any(word.arg is None for word in found[0].keywords):
            yield f"{name}: keyword arguments are not handed on"


def dispatching_modules(of: Directory) -> Iterator[str]:
    for place, module in zip(of.attending(), of.attentions(), strict=False):
        if module.config is not of.text:
            yield f"attention {place} has another configuration than the text"
        if module.is_causal is not True:
            yield f"attention {place} is not causal"
        if module.layer_idx != place or not isinstance(module.scaling, float):
            yield f"attention {place} is number {module.layer_idx}, scaled by {module.scaling}"
    if len(of.attentions()) != len(of.attending()):
        yield f"{len(of.attentions())} dispatching modules in {len(of.attending())} layers"


def towers_do_not_dispatch(of: Directory) -> Iterator[str]:
    """Or a server would switch them with the text."""
    for name, child in of.base.named_children() if not of.alone else ():
        if child is not of.language:
            yield from (f"{name}.{path}" for path, each in child.named_modules() if hasattr(each, "layer_idx"))


def projections_are_siblings(of: Directory) -> Iterator[str]:
    """Three linear layers read the same, no fourth does but for a gate, and what is returned comes of the last."""
    if any(hasattr(each, "k_proj") and not isinstance(each.k_proj, nn.Linear) for each in of.attentions()):
        return  # weights by kinds of tokens, which no engine takes
    for name, module in {type(each).__name__: each for each in of.attentions()}.items():
        if not hasattr(module, "k_proj"):
            continue  # latent attention has other projections
        forward = forward_of(module)
        read = {own(call): ast.unparse(call.args[0]) for call in calls(forward) if own(call).endswith("_proj")}
        same = {key for key, given in read.items() if given == "x"}
        if same - {"g_proj"} != {"q_proj", "k_proj", "v_proj"}:
            yield f"{name}: {same} read the same"
        last = [node for node in forward.body if isinstance(node, ast.Assign)][-1]
        if not ast.unparse(last.value).startswith("self.o_proj("):
            yield f"{name} returns {ast.unparse(last.value)}"
        if not all(type(getattr(module, key)) is nn.Linear for key in read):
            yield f"{name}: projections are to be nn.Linear"
        if module.k_proj.out_features != module.v_proj.out_features:
            yield f"{name}: keys and values are not equally wide"


def activations_are_modules(of: Directory) -> Iterator[str]:
    """`down(act_fn(gate(x)) * up(x))`, where the engine finds the kernel by the class of `act_fn`."""
    from transformers.activations import ACT2CLS

    known = {kind[0] if isinstance(kind, tuple) else kind for kind in ACT2CLS.values()}
    for module in of.base.modules():
        if not isinstance(getattr(module, "down_proj", None), nn.Linear):
            continue
        name, act = type(module).__name__, getattr(module, "act_fn", None)
        if type(act) not in known:
            yield f"{name}: act_fn is {type(act).__name__}"
        source = ast.unparse(forward_of(module))
        if hasattr(module, "gate_proj") and not re.search(r"self\.act_fn\((self\.gate_proj\(x\)|gate)\) \* ", source):
            yield f"{name}: {source}"


def layers_are_swapped(of: Directory) -> Iterator[str]:
    """Engines put their own in the place of layers of torch, and of no classes that derive from these."""
    for path, module in of.base.named_modules():
        for kind in (nn.LayerNorm, nn.Conv2d, nn.Conv3d):
            if isinstance(module, kind) and type(module) is not kind:
                yield f"{path} is a {type(module).__name__}"
    table = of.base.get_input_embeddings()
    if type(table) is not nn.Embedding and not isinstance(getattr(table, "embed_scale", None), float):
        yield f"embeddings are a {type(table).__name__} without embed_scale"


def experts_are_recognised(of: Directory) -> Iterator[str]:
    """A child `experts` with its matrices stacked, called with tokens, numbers of experts and their weights."""
    for path, block in of.language.named_modules():
        if not any("expert" in type(child).__name__.lower() for child in block.children()):
            continue
        experts = getattr(block, "experts", None)
        if experts is None:
            yield f"{path} has no `experts`"
            continue
        if [*inspect.signature(experts.forward).parameters] != ["hidden_states", "top_k_index", "top_k_weights"]:
            yield f"{path}.experts takes {[*inspect.signature(experts.forward).parameters]}"
        matrices = {name: each for name, each in experts.named_parameters() if "bias" not in name}
        if any(each.dim() != 3 for each in matrices.values()):
            yield f"{path}.experts has no stacked matrices"
        if not matrices.keys() <= {"gate_up_proj", "up_proj", "down_proj"}:
            yield f"{path}.experts has {[*matrices]}"
    if hasattr(of.text, "num_experts"):
        yield from (
            f"no {name}" for name in ("num_experts_per_tok", "moe_intermediate_size") if not hasattr(of.text, name)
        )


def norms_are_recognised(of: Directory) -> Iterator[str]:
    for module in of.named("RMSNorm"):
        kind = type(module)
        if [*module.children()] or not isinstance(module.eps, float):
            yield f"{kind.__name__} is to have an eps and no children"
        if kind(1).weight.shape != (1,):
            yield f"{kind.__name__}(1) is to work"
        if not any(ast.unparse(call.func) == "F.rms_norm" for call in calls(forward_of(module))):
            yield f"{kind.__name__} does not call F.rms_norm"


def tensor_parallel_plan(of: Directory) -> Iterator[str]:
    plan = of.text.base_model_tp_plan
    modules = dict(of.language.named_modules())
    if not plan and any(hasattr(each, "k_proj") for each in of.attentions()):
        yield "there is no plan"
    for pattern, style in plan.items():
        if style not in STYLES:
            yield f"{pattern}: {style}"
        form = re.compile(re.escape(pattern).replace(r"\*", r"\d+"))
        found = [each for name, each in modules.items() if form.fullmatch(name)]
        if not found or not all(type(each) is nn.Linear for each in found):
            yield f"{pattern} is of no linear layer"


def pipeline_plan(of: Directory) -> Iterator[str]:
    lists = [each for each in of.language.children() if isinstance(each, nn.ModuleList)]
    if [len(each) for each in lists] != [of.text.num_hidden_layers]:
        yield "there is to be one list, of the layers"
    children = [name for name, child in of.language.named_children() if [*child.parameters()]]
    planned = [*of.text.base_model_pp_plan]
    if planned != children:
        yield f"the plan has {planned}, the model {children}"


def placeholders_are_named(of: Directory) -> Iterator[str]:
    """Where features stand among the text: what layers attend to has no places."""
    if "mm_encoder_outputs" not in inspect.signature(of.base.forward).parameters:
        return
    for modality in ("image", "video", "audio"):
        given = hasattr(of.base, f"get_{modality}_features")
        if given and not isinstance(getattr(of.config, f"{modality}_token_id", None), int):
            yield f"no {modality}_token_id"


def features_are_pooled(of: Directory) -> Iterator[str]:
    """`get_image_features(pixel_values)` has tensors as arguments, and gives `.pooler_output`."""
    for modality, first in (("image", "pixel_values"), ("video", "pixel_values_videos"), ("audio", "input_features")):
        found = getattr(of.base, f"get_{modality}_features", None)
        if found is not None and next(iter(inspect.signature(found).parameters)) != first:
            yield f"get_{modality}_features does not begin with {first}"
    method = getattr(of.base, "get_image_features", None)
    if method is None:
        return
    kinds = {name: each.annotation for name, each in inspect.signature(method).parameters.items() if name != "kwargs"}
    if {kind for kind in kinds.values() if kind is not torch.Tensor} - {torch.Tensor | None}:
        yield f"arguments are of the types {kinds}"
    if set(kinds) == {"pixel_values"}:
        size = of.config.vision_config.image_size
        high, wide = (size, size) if isinstance(size, int) else size
        with torch.no_grad():
            made = method(torch.randn(2, 3, high, wide), return_dict=True).pooler_output
        if made is None:
            yield "there is no pooler_output"
        elif made.size(-1) != of.text.hidden_size or made.size(0) != 2:
            yield f"pooler_output is {tuple(made.shape)}"


def positions_by_grids(of: Directory) -> Iterator[str]:
    """Where positions are three numbers, `get_rope_index` gives them, and how much further later tokens are."""
    if not hasattr(of.text, "rope_sections"):
        return
    if not hasattr(of.base, "get_rope_index"):
        yield "no get_rope_index"
        return
    kinds = inspect.signature(of.base.get_rope_index).parameters
    if not {"input_ids", "attention_mask"} <= kinds.keys() or not any("grid" in name for name in kinds):
        yield f"get_rope_index takes {[*kinds]}"
    ids = torch.tensor([[3, 4, 5]])
    places, behind = of.base.get_rope_index(input_ids=ids, mm_token_type_ids=torch.zeros_like(ids))
    if places.shape != (3, 1, 3) or behind.tolist() != [[0]]:
        yield f"positions are {tuple(places.shape)}, later tokens {behind.tolist()} further"
    with torch.no_grad():
        made = of.base(input_ids=ids, use_cache=False, position_ids=places, return_dict=False)
        other = of.base(input_ids=ids, use_cache=False, return_dict=False)
    if not torch.equal(made[0], other[0]):
        yield "positions that are given are not those that are made"


CLAUSES: tuple[Clause, ...] = (
    auto_map,
    attention_backend,
    built_on_meta,
    nested_text_config,
    text_sizes,
    head_is_of_the_text,
    called_as_a_server_does,
    parts_are_found,
    keywords_reach_attention,
    one_call_of_the_interface,
    dispatching_modules,
    towers_do_not_dispatch,
    projections_are_siblings,
    activations_are_modules,
    layers_are_swapped,
    experts_are_recognised,
    norms_are_recognised,
    tensor_parallel_plan,
    pipeline_plan,
    placeholders_are_named,
    features_are_pooled,
    positions_by_grids,
)


# No engine serves encoder-decoders by their code: how one is called is for transformers alone.
SERVED = (
    *(called_as_a_server_does, keywords_reach_attention, placeholders_are_named, features_are_pooled),
    head_is_of_the_text,
)


def broken(of: Directory) -> dict[str, list[str]]:
    """Clause -> what is wrong."""
    asked = [clause for clause in CLAUSES if not (of.config.is_encoder_decoder and clause in SERVED)]
    found = {clause.__name__: list(clause(of)) for clause in asked}
    return {name: wrong for name, wrong in found.items() if wrong}
