"""The vision towers of transformers for images of any size as one encoder, and what merges their patches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from .fields import Fields, shown
from .native_tables import WITHOUT_DEEP
from .tables import ConfigTable

Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Native:
    """The nodes of a tower by name, the last of which gives image features `out` wide, a token for each block of
    `group` by `group` patches; `deep` are nodes with features of earlier layers, `prefixes` where files keep nodes."""

    nodes: Mapping[str, Node]
    out: tuple[str, int]
    group: int
    deep: tuple[str, ...] = ()
    prefixes: Mapping[str, str] = field(default_factory=dict)


def read_native(vision: Fields) -> Native:
    """The tower of a vision config, with its merger."""
    vision.check_names()
    return _READERS[vision.table.model_type](vision)


def _qwen2(vision: Fields) -> Native:
    dim = vision.integer("embed_dim")
    mlp = {"hidden": int(dim * vision.number("mlp_ratio")), "activation": vision.activation("hidden_act"), "bias": True}
    tower = _tower(vision, dim, {"type": "layer", "eps": 1e-6}, mlp, "checkpoint/qwen2_vision")
    return Native(
        {"vision": tower, "merger": _merger(vision, "layer", "checkpoint/qwen2_merger")},
        ("hidden_size", vision.integer("hidden_size")),
        vision.integer("spatial_merge_size"),
    )


def read_windowed(vision: Fields) -> Native:
    mlp = {"hidden": vision.integer("intermediate_size"), "activation": vision.activation("hidden_act")}
    mlp |= {"gated": True, "bias": True}
    norm = {"type": "rms", "eps": 1e-6}
    tower = _tower(vision, vision.integer("hidden_size"), norm, mlp, "checkpoint/qwen2_5_vision")
    count, group = vision.integer("depth"), vision.integer("spatial_merge_size")
    full = sorted({layer for layer in _integers(vision, "fullatt_block_indexes") if layer < count})
    if len(full) < count:
        # a window holds whole blocks of patches
        window = vision.integer("window_size") // group // vision.integer("patch_size") * group
        if window == 0:
            message = f"`{vision.name('window_size')}`: a window holds no block of {group} x {group} patches"
            vision.problems.conflict(message, vision.span("window_size"))
        tower["attention"]["mask"] = {"grid_window": window}
        if full:
            tower["layers"] = {"count": count, "where": [{"name": "full", "at": full, "attention": {"mask": "frame"}}]}
    return Native(
        {"vision": tower, "merger": _merger(vision, "rms", "checkpoint/qwen2_merger")},
        ("out_hidden_size", vision.integer("out_hidden_size")),
        group,
    )


def _qwen3(vision: Fields) -> Native:
    mlp = {"hidden": vision.integer("intermediate_size"), "activation": vision.activation("hidden_act"), "bias": True}
    norm = {"type": "layer", "eps": 1e-6}
    tower = _tower(vision, vision.integer("hidden_size"), norm, mlp, "checkpoint/qwen3_vision")
    tower["patch"]["bias"] = True
    tower["position"] = [{"type": "learned", "side": _side(vision, "num_position_embeddings")}, tower["position"]]
    key = "deepstack_visual_indexes"
    count, layers = vision.integer("depth"), _integers(vision, key) if vision.knows(key) else []
    if any(layer >= count for layer in layers) or len(set(layers)) < len(layers):
        name = "deepstack_visual_indexes"
        message = f"`{vision.name(name)}` is {shown(layers)}: there are {count} layers, 0 to {count - 1}"
        vision.problems.conflict(message, vision.span(name))
    nodes: dict[str, Node] = {"vision": tower, "merger": _merger(vision, "layer", "checkpoint/qwen3_merger")}
    deep, prefixes = [], {}
    if layers:
        tower["output"] = {"taps": [layer + 1 for layer in layers]}
    for index, layer in enumerate(layers):
        name = f"deep_merger_{index + 1}"
        merger = _merger(vision, "layer", "checkpoint/qwen3_merger")
        nodes[name] = merger | {"inputs": f"vision.layer_{layer + 1}", "norm_over": "block"}
        prefixes[name] = f"model.visual.deepstack_merger_list.{index}."
        deep.append(name)
    out = ("out_hidden_size", vision.integer("out_hidden_size"))
    return Native(nodes, out, vision.integer("spatial_merge_size"), tuple(deep), prefixes)


def _glm_ocr(vision: Fields) -> Native:
    """The same without learned positions, with norms of queries and keys, and other widths."""
    eps, bias = vision.number("rms_norm_eps"), vision.boolean("attention_bias")
    hidden, out = vision.integer("intermediate_size"), vision.integer("out_hidden_size")
    mlp = {"hidden": hidden, "activation": vision.activation("hidden_act"), "gated": True, "bias": bias}
    tower = _tower(vision, vision.integer("hidden_size"), {"type": "rms", "eps": eps}, mlp, "checkpoint/glm_ocr_vision")
    tower["patch"]["bias"] = True
    tower["attention"] |= {"bias": bias, "qk_norm": {"type": "rms", "eps": eps}}
    tower["final_norm"] = True
    return _convolved(vision, tower, out * vision.integer("in_channels"))


def _glm4v(vision: Fields) -> Native:
    out, activation = vision.integer("out_hidden_size"), vision.activation("hidden_act")
    mlp = {"hidden": out, "activation": activation, "gated": True, "bias": False}
    norm = {"type": "rms", "eps": vision.number("rms_norm_eps")}
    tower = _tower(vision, vision.integer("hidden_size"), norm, mlp, "checkpoint/glm4v_vision")
    tower["patch"] |= {"bias": True, "norm": True}
    side = vision.integer("image_size") // vision.integer("patch_size")
    square = {"type": "learned", "side": side, "interpolation": "bicubic", "align": "corners"}
    tower["position"] = [square, tower["position"]]
    bias = vision.boolean("attention_bias")
    tower["attention"]["bias"] = {"q": True, "k": True, "v": True} if bias else False
    tower["final_norm"] = True
    return _convolved(vision, tower, vision.integer("intermediate_size"))


def _convolved(vision: Fields, tower: Node, hidden: int) -> Native:
    """A tower whose blocks of patches become tokens by a convolution, then go through a gated projector."""
    out, activation = vision.integer("out_hidden_size"), vision.activation("hidden_act")
    group = vision.integer("spatial_merge_size")
    merger = {"kind": "projector", "type": "patch_merger", "group": group, "layers": 1, "order": "convolution"}
    mixed = {"kind": "projector", "type": "linear", "bias": False, "out_norm": {"type": "layer", "eps": 1e-5}}
    nodes: dict[str, Node] = {
        "vision": tower,
        "merger": merger | {"out": out, "inputs": "vision", "checkpoint": {"names": {"linear_1": "downsample"}}},
        "mixed": mixed
        | {
            "out_activation": "gelu",
            "inputs": "merger",
            "out": out,
            "checkpoint": {"names": {"linear": "proj", "norm": "post_projection_norm"}},
        },
        "projector": {
            "kind": "projector",
            "type": "mlp",
            "gated": True,
            "hidden": hidden,
            "activation": activation,
            "bias": False,
            "inputs": "mixed",
            "checkpoint": {"names": {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}},
        },
    }
    return Native(nodes, ("out_hidden_size", out), group)


def read_padded(vision: Fields, group: int) -> tuple[Node, Node]:
    """Patches of images padded to one size, and the tower that reads them; its hidden states are not normed."""
    vision.check_names()
    patch = {"size": vision.integer("patch_size"), "channels": vision.integer("num_channels"), "group": group}
    dim, heads = vision.integer("hidden_size"), vision.integer("num_attention_heads")
    check_heads(vision, "hidden_size", dim, heads)
    patches = {
        "kind": "encoder",
        "type": "patches",
        "inputs": {"image": "pixel_values", "sizes": "image_sizes"},
        "patch": patch,
    }
    tower = {
        "kind": "encoder",
        "type": "native_vit",
        "inputs": {"patches": "patches", "grid": "patches.grid"},
        "patch": {**patch, "norm": True},
        "position": {"type": "rope2d", "theta": rotation_base(vision), "frequencies": "between"},
        "dim": dim,
        "layers": vision.integer("num_hidden_layers"),
        "norm": {"type": "rms", "eps": 1e-5},
        "attention": {"heads": heads, "bias": False},
        "mlp": {
            "hidden": vision.integer("intermediate_size"),
            "activation": vision.activation("hidden_act"),
            "gated": True,
            "bias": False,
        },
        "final_norm": False,
        "checkpoint": {"use": "checkpoint/pixtral"},
    }
    return patches, tower


def check_heads(vision: Fields, name: str, dim: int, heads: int) -> None:
    if dim % heads or dim // heads % _PAIRS_OF_TWO:
        message = f"`{vision.name(name)}`: {heads} heads must divide a width of {dim} into multiples of {_PAIRS_OF_TWO}"
        vision.problems.conflict(message, vision.span(name))


def _grouped(vision: Fields) -> Native:
    """Windows again, and heads that share keys and values."""
    native, kv_heads = read_windowed(vision), vision.integer("num_key_value_heads")
    heads = vision.integer("num_heads")
    if heads % kv_heads:
        message = f"`{vision.name('num_key_value_heads')}`: {heads} heads cannot share {kv_heads} of keys and values"
        vision.problems.conflict(message, vision.span("num_key_value_heads"))
    native.nodes["vision"]["attention"]["kv_heads"] = kv_heads
    return native


def _tower(vision: Fields, dim: int, norm: Node, mlp: Node, checkpoint: str) -> Node:
    """What all towers have in common."""
    heads = vision.integer("num_heads")
    check_heads(vision, "embed_dim" if vision.knows("embed_dim") else "hidden_size", dim, heads)
    return {
        "kind": "encoder",
        "type": "native_vit",
        "inputs": {"patches": "pixel_values", "grid": "image_grid_thw"},
        "patch": {
            "size": vision.integer("patch_size"),
            "channels": vision.integer("in_channels"),
            "frames": vision.integer("temporal_patch_size"),
            "group": vision.integer("spatial_merge_size"),
        },
        "position": {"type": "rope2d", "theta": rotation_base(vision)},
        "dim": dim,
        "layers": vision.integer("depth"),
        "norm": norm,
        "attention": {"heads": heads, "bias": True},
        "mlp": mlp,
        "final_norm": False,
        "checkpoint": {"use": checkpoint},
    }


# Half of the pairs of a head turn by the row, and half by the column.
_PAIRS_OF_TWO = 4


def _merger(vision: Fields, norm: str, checkpoint: str) -> Node:
    return {
        "kind": "projector",
        "type": "patch_merger",
        "group": vision.integer("spatial_merge_size"),
        "norm": {"type": norm, "eps": 1e-6},
        "inputs": "vision",
        "checkpoint": {"use": checkpoint},
    }


_BASE = 10000.0
_ROPE = ConfigTable("rope_parameters", {"rope_theta": _BASE, "rope_type": "axial"})


def rotation_base(vision: Fields) -> float:
    """The base of the rotation, from the object or beside it: only the numbers of a type that the towers have."""
    beside = vision.number("rope_theta") if vision.knows("rope_theta") else _BASE
    tree = vision.tree.get("rope_parameters")
    if tree is None or tree.value is None:
        return beside
    if not tree.is_mapping:
        message = f"`{vision.name('rope_parameters')}` must be an object, not {shown(tree.plain())}"
        vision.problems.error("invalid-config", message, tree.span)
        return beside
    rope = Fields(tree, _ROPE, vision.problems, vision.name("rope_parameters") + ".")
    rope.check_names()
    rope.choice("rope_type", ("axial",))
    return rope.number("rope_theta") if rope.has("rope_theta") else beside


def _side(vision: Fields, key: str) -> int:
    """The side of a square of so many positions."""
    count = vision.integer(key)
    side = int(count**0.5)
    if side * side != count:
        vision.problems.conflict(f"`{vision.name(key)}` is {count}, which is no square", vision.span(key))
    return side


def _integers(vision: Fields, key: str) -> list[int]:
    """A list of layers; the class has a tuple where the file says nothing."""
    return vision.integers(key) if vision.has(key) else list(vision.table.understood[key])


_READERS: Mapping[str, Callable[[Fields], Native]] = MappingProxyType(
    {
        "qwen2_vl_vision": _qwen2,
        "qwen2_5_vl_vision": read_windowed,
        "exaone4_5_vision": _grouped,
        "qwen3_vl_vision": _qwen3,
        "qwen3_vl_moe_vision": _qwen3,
        "cohere_compass_vision": _qwen3,
        **dict.fromkeys(WITHOUT_DEEP, _qwen3),
        "glm4v_vision": _glm4v,
        "glm4v_moe_vision": _glm4v,
        "glm_ocr_vision": _glm_ocr,
    }
)
