"""The image encoders of LoongForge as graph inputs and one node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from .by_kind import resampler
from .checkpoints import tower_names
from .component import Component
from .narrowing import between
from .tables import HARMLESS

GROUP = 2  # patches of a block of so many rows and columns become one token, in every tower of native resolution
_WINDOW_PIXELS = 112
_WHOLE_FRAME = [7, 15, 23, 31]  # layers of the windowed tower that see a whole frame


@dataclass(frozen=True, slots=True)
class Tower:
    """Inputs of the graph, the node that reads them, and what others need to know of it.

    `grid` is the input with the sizes of the images, where the tower takes any. `taps` are output ports of hidden
    states between the layers, in the order in which they are added to the layers of the language model. `note` says
    what the node does not do. `before` and `more` are nodes around it, of which the last gives the features; a
    token of the text is `group` by `group` patches of so many `frames`. Features that come row by row have the grid
    `rows`.
    """

    inputs: dict[str, str]
    node: dict[str, Any]
    grid: str = ""
    taps: tuple[str, ...] = ()
    note: str = ""
    before: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    more: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    group: int = GROUP
    frames: int = 1
    rows: str = ""

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        """All of them."""
        return {**self.before, "vision": self.node, **self.more}

    @property
    def features(self) -> str | dict[str, str]:
        """What a projector reads."""
        return {"features": self.end, "grid": self.rows} if self.rows else self.end

    @property
    def end(self) -> str:
        """The node that gives the features."""
        return ["vision", *self.more][-1]


def read_tower(config: Component) -> Tower:
    """The tower of a component whose class is in `READERS`."""
    config.check_names(HARMLESS, f"a `{config.stem}`")
    tower = READERS[config.stem](config)
    tower.node.update(tower_names(config.stem))
    return tower


def _stack(config: Component) -> dict[str, Any]:
    """Width, layers, norms and blocks: what every tower says in the same words."""
    dim, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    padded = config.integer_or_none("original_num_attention_heads")  # heads are padded for tensor parallelism
    heads = padded or heads
    head_dim = config.integer_or_none("kv_channels") or dim // heads
    gated = config.boolean("gated_linear_unit") or config.boolean("swiglu")
    norm = {"RMSNorm": "rms", "LayerNorm": "layer"}[config.choice("normalization", ("RMSNorm", "LayerNorm"))]
    eps = config.number("layernorm_epsilon")
    bias, qkv = config.boolean("add_bias_linear"), config.boolean("add_qkv_bias")
    attention: dict[str, Any] = {"heads": heads}
    if head_dim * heads != dim:
        attention["head_dim"] = head_dim
    attention["bias"] = qkv if qkv == bias else {"q": qkv, "k": qkv, "v": qkv, "o": bias}
    mlp: dict[str, Any] = {"hidden": config.integer("ffn_hidden_size"), "activation": activation(config)}
    mlp |= ({"gated": True} if gated else {}) | {"bias": bias}
    return {
        "dim": dim,
        "layers": config.integer("num_layers"),
        "norm": {"type": norm, "eps": eps},
        "attention": attention,
        "mlp": mlp,
    }


def activation(config: Component) -> str:
    """The activation by the name that the language has for it; a gate of Megatron's is always SiLU."""
    if "swiglu" in config.defaults and config.boolean("swiglu"):
        return "silu"
    return config.choice("activation_func", ("gelu", "gelu_tanh", "quick_gelu", "silu", "relu"))


def _native(config: Component, position: list[dict[str, Any]], *, patch_bias: bool, frames: int = 2) -> Tower:
    """Patches of images of any size in one sequence, each frame by itself."""
    patch = {"size": config.integer("patch_size"), "channels": config.integer("in_channels")}
    patch |= ({"frames": frames} if frames > 1 else {}) | {"group": GROUP}
    node = {
        "kind": "encoder",
        "type": "native_vit",
        "inputs": {"patches": "pixel_values", "grid": "image_grid_thw"},
        "patch": patch | ({"bias": True} if patch_bias else {}),
        "position": position if len(position) > 1 else position[0],
        **_stack(config),
        "final_norm": False,
    }
    return Tower({"pixel_values": "patches", "image_grid_thw": "grid"}, node, "image_grid_thw")


_ROPE = {"type": "rope2d", "theta": 10000.0}


def _rotary(config: Component) -> Tower:
    config.neutral({"position_embedding_type": ("none",), "group_query_attention": (False,)})
    return _native(config, [_ROPE], patch_bias=False)


def _windowed(config: Component) -> Tower:
    """Patches see those of their window, and in a few layers those of their frame."""
    tower = _rotary(config)
    window = _WINDOW_PIXELS // config.integer("patch_size")
    count = config.integer("num_layers")
    whole = [layer for layer in _WHOLE_FRAME if layer < count]
    tower.node["attention"] |= {"mask": {"grid_window": window}}
    if whole:
        where = {"name": "full", "at": whole, "attention": {"mask": "frame"}}
        tower.node["layers"] = {"count": count, "where": [where]}
    return tower


def _stretched(config: Component) -> Tower:
    """A learned square of positions, stretched over each image, beside the rotary ones."""
    config.neutral({"position_embedding_type": ("none",), "group_query_attention": (False,)})
    cells = config.integer("num_position_embeddings")
    side = round(cells**0.5)
    if side * side != cells:
        message = f"`{config.name('num_position_embeddings')}` is {cells}, which are not the cells of a square"
        config.problems.conflict(message, config.span("num_position_embeddings"))
    return _native(config, [{"type": "learned", "side": side}, _ROPE], patch_bias=True)


def _deep(config: Component) -> Tower:
    """The same with hidden states taken after some layers."""
    tower = _stretched(config)
    layers = config.listed("deepstack_visual_indexes")
    count = config.integer("num_layers")
    if not all(isinstance(layer, int) and 0 <= layer < count for layer in layers):
        config.wrong("deepstack_visual_indexes", f"a list of layers, 0 to {count - 1}")
        return tower
    taps = [layer + 1 for layer in layers]
    return Tower(
        tower.inputs,
        {**tower.node, "output": {"taps": taps}},
        tower.grid,
        tuple(f"layer_{tap}" for tap in taps),
    )


def _frames_apart(config: Component) -> Tower:
    """A learned square and rotary positions of which columns and rows turn pairs by turns; videos are left out."""
    config.neutral(
        {
            "position_embedding_type": ("none",),
            "group_query_attention": (False,),
            "pos_emb_type": ("divided_fixed",),
            "video_attn_type": ("spatial_temporal",),
            "merge_type": ("sd2_tpool",),
            "merge_kernel_size": ([GROUP, GROUP],),
        }
    )
    side = config.integer("init_pos_emb_height")
    if config.integer("init_pos_emb_width") != side:
        message = f"`{config.name('init_pos_emb_width')}`: only a square of learned positions is in the language"
        config.unsupported("init_pos_emb_width", message, f"only {side} can be imported")
    square = {"type": "learned", "side": side, "interpolation": "bicubic", "align": "corners"}
    turns = {**_ROPE, "order": "turns"}
    tower = _native(config, [square, turns], patch_bias=True, frames=config.integer("temporal_patch_size"))
    tower.node["final_norm"] = True
    return replace(tower, note="not carried over: videos, whose frames have positions of their own and are averaged")


def _with_class_tokens(config: Component) -> Tower:
    """A class token for each image, and a norm before the layers; videos are left out."""
    config.neutral({"position_embedding_type": ("rope",), "group_query_attention": (False,), "class_token_len": (0, 1)})
    tower = _native(config, [_ROPE], patch_bias=False, frames=1)
    tower.node.update({"class_token": True, "input_norm": True})
    return replace(tower, note="not carried over: frames of videos, each of which has a class token")


def _in_pairs(config: Component) -> Tower:
    """Rotary positions, and behind the layers blocks of patches as tokens, then pairs of frames as one."""
    config.neutral(
        {
            "position_embedding_type": ("none",),
            "group_query_attention": (False,),
            "spatial_merge_size": (GROUP,),
            "temporal_merge_size": (_PAIR,),
            "use_temporal_conv": (True,),
            "normalization": ("LayerNorm",),
            "resampler_hidden_in": (config.value("embed_dim"),),
        }
    )
    dim, heads = config.integer("embed_dim"), config.integer("num_attention_heads")
    hidden, width = int(dim * config.number("mlp_ratio")), config.integer("hidden_size")
    for key, wanted in (("hidden_size", GROUP**2 * dim), ("ffn_hidden_size", hidden), ("kv_channels", dim // heads)):
        if config.has(key) and config.integer(key) != wanted:
            message = f"`{config.name(key)}` is {config.integer(key)}, and follows from other fields: {wanted}"
            config.problems.conflict(message, config.span(key))
    eps = config.number("rms_norm_eps")
    node = {
        "kind": "encoder",
        "type": "native_vit",
        "inputs": {"patches": "pixel_values", "grid": "image_grid_thw"},
        "patch": {"size": config.integer("patch_size"), "channels": config.integer("in_channels"), "group": GROUP},
        "position": _ROPE,
        "dim": dim,
        "layers": config.integer("num_layers"),
        "norm": {"type": "layer", "eps": eps},
        "attention": {"heads": heads, "bias": config.boolean("add_qkv_bias")},
        "mlp": {"hidden": hidden, "activation": activation(config), "bias": config.boolean("add_bias_linear")},
    }
    inputs = {"pixel_values": "patches", "image_grid_thw": "grid"}
    more = resampler(width, eps, GROUP, _PAIR)
    return Tower(inputs, node, "image_grid_thw", note="not carried over: videos", more=more, frames=_PAIR)


_PAIR = 2


def _narrowing(config: Component) -> Tower:
    """Patches side by side, row by row; after some layers squares of them become one."""
    config.neutral(
        {
            "position_embedding_type": ("none",),
            "group_query_attention": (False,),
            "window_kernel_size": ([_PAIR, _PAIR],),
            "num_query_groups": (config.value("num_attention_heads"),),
        }
    )
    stack, size = _stack(config), config.integer("patch_size")
    merged = config.choice("downsample_mode", ("16x", "4x")) == "16x"
    more = between(config, stack) if merged else {}
    patch = {"size": size, "channels": config.integer("in_channels")}
    patches = {
        "kind": "encoder",
        "type": "patches",
        "inputs": {"image": "pixel_values", "sizes": "target_sizes"},
        "patch": patch,
        "cut": "row",
    }
    node = {
        "kind": "encoder",
        "type": "native_vit",
        "inputs": {"patches": "patches", "grid": "patches.grid"},
        "patch": {**patch, "bias": True},
        "position": {"type": "learned", "side": config.integer("image_size") // size, "interpolation": "nearest"},
        **stack,
    }
    if merged:
        node |= {"layers": stack["layers"] - more["upper"]["layers"], "final_norm": False}
    return Tower(
        {"pixel_values": "image", "target_sizes": "sizes"},
        node,
        "patches.grid",
        note="not carried over: videos. Positions are three numbers, as LoongForge's are; in transformers, one",
        before={"patches": patches},
        more=more,
        group=_PAIR**2 if merged else _PAIR,
        rows="reduced.grid" if merged else "patches.grid",
    )


def _tiles(config: Component) -> Tower:
    """Square tiles with a class token, which is left out in the end."""
    config.neutral({"position_embedding_type": ("none",), "downsample_ratio": (0.5,), "select_layer": (-1,)})
    stack = _stack(config)
    if config.boolean("qk_layernorm"):
        stack["attention"]["qk_norm"] = {"type": "rms", "over": "all"}
    node = {
        "kind": "encoder",
        "type": "vit",
        "inputs": "pixel_values",
        "image": {"size": config.integer("image_size"), "channels": config.integer("in_channels")},
        "patch": {"size": config.integer("patch_size"), "bias": True},
        "class_token": True,
        "position": "learned",
        **stack,
        "residual": {"gate": "layer_scale", "init": config.number("initializer_factor")},
        "final_norm": False,
        "output": {"drop_cls": True},
    }
    return Tower({"pixel_values": "image"}, node)


READERS: Mapping[str, Callable[[Component], Tower]] = MappingProxyType(
    {
        "Qwen2VisionModelConfig": _rotary,
        "Qwen2VisionRMSNormConfig": _windowed,
        "Qwen3VisionModelConfig": _deep,
        "Qwen35VisionConfig": _stretched,
        "RiceVisionConfig": _with_class_tokens,
        "MoonVisionModelConfig": _frames_apart,
        "InternVisionConfig": _tiles,
        "ErnieVisionConfig": _in_pairs,
        "MiniCPMV46VisionConfig": _narrowing,
    }
)
