"""Names that a graph may not use, because the generated code already means something by them. The only such list."""

from __future__ import annotations

import builtins
import keyword
import re
import sys
from dataclasses import dataclass
from functools import cache
from typing import Literal

Use = Literal["graph", "node", "input", "output", "placeholder"]

# What every name looks like, as it stands in the schemas (`\\Z` is the end of the text, without exception).
PATTERN = r"^[a-z][a-z0-9_]*\Z"
LONGEST = 64

# What a name becomes: a package, an attribute and a file, a keyword of forward(), a field of Output, a parameter.
_EVERYWHERE: tuple[Use, ...] = ("graph", "node", "input", "output", "placeholder")
_VARIABLES: tuple[Use, ...] = ("node", "input", "placeholder")

# Every public attribute of torch.nn.Module in lower case; a test compares it with the installed torch.
_MODULE = """
    add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval extra_repr
    float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict modules mtia
    named_buffers
    named_children named_modules named_parameters parameters register_backward_hook register_buffer
    register_forward_hook register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
    register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module register_parameter
    register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule
    share_memory state_dict to to_empty train training type xpu zero_grad
"""


# What stands beside the inputs of the graph in the functions of `generate.py`.
_GENERATE = """
    model ids batch prompt size limit order moved logits advance history ending continued token new copies layers mode
    pages choice step tensor max_new_tokens eos_token_id num_return_sequences stopping_criteria check_every page_size
    max_pages temperature top_k top_p min_p repetition_penalty no_repeat_ngram_size min_new_tokens logits_processor
    generator options sampling steps stream generate
"""


@dataclass(frozen=True, slots=True)
class _Reserved:
    names: frozenset[str]
    uses: tuple[Use, ...]
    reason: str


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


@cache
def _reserved() -> tuple[_Reserved, ...]:
    return (
        _Reserved(frozenset(keyword.kwlist), _EVERYWHERE, "it is a keyword of Python"),
        _Reserved(_words("use"), _EVERYWHERE, "`use` loads a part"),
        _Reserved(
            _words("torch numpy safetensors transformers graphvlm") | (sys.stdlib_module_names - {"test"}),
            ("graph",),
            "a package of this name would hide the Python module",
        ),
        _Reserved(_words("self torch nn math config"), _VARIABLES, "the generated code uses it"),
        _Reserved(
            frozenset(dir(builtins)), _VARIABLES, "it would hide a function of Python that the generated code uses"
        ),
        _Reserved(_words(_MODULE), ("node",), "torch.nn.Module has an attribute of this name"),
        _Reserved(
            _words(
                """ahead checkpoint config counts generate gradients losses model paged parallel pipeline processor
                sampling sharded stages"""
            ),
            ("node",),
            "the generated package has a file of this name",
        ),
        _Reserved(
            _words(
                """begin_step copy_teachers decode freeze loss prefill progress reset_parameters save_pretrained
                tie_weights"""
            ),
            ("node",),
            "the generated model has a method of this name",
        ),
        _Reserved(
            _words("cache cap is_given keep labels labelled output scale targets"),
            ("node", "input"),
            "the generated model uses it",
        ),
        _Reserved(_words(_GENERATE), ("input",), "the generated functions use it"),
        _Reserved(_words("count index"), ("output",), "a NamedTuple has a method of this name"),
        _Reserved(_words("text ids place"), ("placeholder",), "it is an input of the fusion already"),
    )


# Classes that stand in one file with the class of a node; a test compares them with the templates.
CLASSES = _words(
    """Attention Block Config CrossAttention Experts F Groups Kept KVCache LatentAttention LayerCache MLP MoE Model
    NamedTuple OffsetRMSNorm Output Parted Path Places RelativeBias Rope Rotation ScaledEmbedding SharedMLP
    Source Tensor"""
)


def reserved(name: str, use: Use) -> str:
    """Why `name` may not be used so, as the end of a sentence; empty if it may."""
    if use == "node" and name.startswith("encode_"):
        return "methods of the generated model begin so"
    if use == "node" and class_name(name) in CLASSES:
        return f"the generated code has a class {class_name(name)} already"
    return next((entry.reason for entry in _reserved() if use in entry.uses and name in entry.names), "")


def similar(name: str) -> str:
    """A name of the right form that looks like `name`."""
    form = re.sub(r"[^a-z0-9]+", "_", name[:LONGEST].lower()).strip("_")
    form = re.sub(r"^[0-9_]+", "", form)
    return f"my_{form}" if form == name else form or "my_name"


def class_name(node: str) -> str:
    """The class of a node in the generated code: `image_tower` -> `ImageTower`."""
    return "".join(part[:1].upper() + part[1:] for part in node.split("_"))
