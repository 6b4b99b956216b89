"""The vision towers of transformers for images of any size as one encoder, and what merges their patches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from .fields import Fields, shown
from .tables import ConfigTable

Node = dict[str, Any]

# Fields of old files that the classes do not read: other names of the channels and of the patches.
_UNREAD = frozenset({"in_chans", "spatial_patch_size"})

_QWEN3: Mapping[str, Any] = MappingProxyType(
    {
        "depth": 27,
        "hidden_size": 1152,
        "hidden_act": "gelu_pytorch_tanh",
        "intermediate_size": 4304,
        "num_heads": 16,
        "in_channels": 3,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": 3584,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": (8, 16, 24),
        "rope_parameters": None,
    }
)

_QWEN3_5 = {name: value for name, value in _QWEN3.items() if name != "deepstack_visual_indexes"}
_WITHOUT_DEEP = ("qwen3_5_vision", "qwen3_5_moe_vision")

NATIVE_TABLES: Mapping[str, ConfigTable] = MappingProxyType(
    {
        "qwen2_vl_vision": ConfigTable(
            "qwen2_vl_vision",
            {
                "depth": 32,
                "embed_dim": 1280,
                "hidden_size": 3584,
                "hidden_act": "quick_gelu",
                "mlp_ratio": 4,
                "num_heads": 16,
                "in_channels": 3,
                "patch_size": 14,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "rope_parameters": None,
            },
            harmless=_UNREAD,
        ),
        "qwen2_5_vl_vision": ConfigTable(
            "qwen2_5_vl_vision",
            {
                "depth": 32,
                "hidden_size": 3584,
                "hidden_act": "silu",
                "intermediate_size": 3420,
                "num_heads": 16,
                "in_channels": 3,
                "patch_size": 14,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "window_size": 112,
                "out_hidden_size": 3584,
                "fullatt_block_indexes": (7, 15, 23, 31),
                "tokens_per_second": 4,
                "rope_parameters": None,
            },
            harmless=_UNREAD,
        ),
        "qwen3_vl_vision": ConfigTable("qwen3_vl_vision", _QWEN3),
        "qwen3_vl_moe_vision": ConfigTable("qwen3_vl_moe_vision", _QWEN3),
        **{name: ConfigTable(name, _QWEN3_5, neutral={"deepstack_visual_indexes": []}) for name in _WITHOUT_DEEP},
        "pixtral": ConfigTable(
            "pixtral",
            {
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "num_channels": 3,
                "patch_size": 16,
                "hidden_act": "gelu",
                "rope_parameters": None,
                "rope_theta": 10000.0,
            },
            # the class computes the width of a head, reads images of any size, and has no vocabulary
            harmless=frozenset({"head_dim", "image_size", "vocab_size"}),
        ),
        **{
            name: ConfigTable(
                name,
                {
                    "depth": 24,
                    "hidden_size": 1536,
                    "hidden_act": "silu",
                    "attention_bias": False,
                    "num_heads": 12,
                    "in_channels": 3,
                    "image_size": 336,
                    "patch_size": 14,
                    "rms_norm_eps": 1e-5,
                    "spatial_merge_size": 2,
                    "temporal_patch_size": 2,
                    "out_hidden_size": 4096,
                    "intermediate_size": 13696,
                    "rope_parameters": None,
                },
            )
            for name in ("glm4v_vision", "glm4v_moe_vision")
        },
    }
)


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


def _qwen2_5(vision: Fields) -> Native:
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
            "hidden": vision.integer("intermediate_size"),
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
        "qwen2_5_vl_vision": _qwen2_5,
        "qwen3_vl_vision": _qwen3,
        "qwen3_vl_moe_vision": _qwen3,
        **dict.fromkeys(_WITHOUT_DEEP, _qwen3),
        "glm4v_vision": _glm4v,
        "glm4v_moe_vision": _glm4v,
    }
)
