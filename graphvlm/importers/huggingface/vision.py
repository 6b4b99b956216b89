"""The vision towers of transformers as one encoder, cut where a LLaVA reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .fields import Fields


@dataclass(frozen=True, slots=True)
class VisionKind:
    """What the code of a tower fixes (class token, norm before the layers, bias of the patches), and its key names."""

    class_token: bool
    input_norm: bool
    patch_bias: bool
    checkpoint: str


VISION_KINDS: Mapping[str, VisionKind] = MappingProxyType(
    {
        "clip_vision_model": VisionKind(class_token=True, input_norm=True, patch_bias=False, checkpoint="clip_vision"),
        **dict.fromkeys(
            ("siglip_vision_model", "idefics2_vision", "idefics3_vision", "smolvlm_vision"),
            VisionKind(class_token=False, input_norm=False, patch_bias=True, checkpoint="siglip_vision"),
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Vision:
    """The encoder node, without its output; the number of its layers, and of the patches of one image."""

    node: dict[str, Any]
    layers: int
    patches: int
    class_token: bool
    checkpoint: str

    def tower(self, output: dict[str, Any]) -> dict[str, Any]:
        """The whole node; its own end is the output where there is nothing in `output`."""
        read = {"output": output} if output else {}
        return {**self.node, **read, "checkpoint": {"use": f"checkpoint/{self.checkpoint}"}}


def read_vision(vision: Fields) -> Vision:
    """The encoder of a vision config."""
    vision.check_names()
    kind = VISION_KINDS[vision.table.model_type]
    size, patch = read_square(vision, "image_size"), read_square(vision, "patch_size")
    dim = vision.integer("hidden_size")
    heads, layers = vision.integer("num_attention_heads"), vision.integer("num_hidden_layers")
    check_sizes(vision, size, patch, dim, heads)
    node: dict[str, Any] = {
        "kind": "encoder",
        "type": "vit",
        "inputs": "pixel_values",
        "image": {"size": size, "channels": vision.integer("num_channels")},
        "patch": {"size": patch, "bias": kind.patch_bias, **({"remainder": "crop"} if size % patch else {})},
    }
    if kind.class_token:
        node["class_token"] = True
    node["position"] = "learned"
    if kind.input_norm:
        node["input_norm"] = True
    mlp = {"hidden": vision.integer("intermediate_size"), "activation": vision.activation("hidden_act"), "bias": True}
    node |= {
        "dim": dim,
        "layers": layers,
        "norm": {"type": "layer", "eps": vision.number("layer_norm_eps")},
        "attention": {"heads": heads, "bias": True},
        "mlp": mlp,
        "final_norm": True,
    }
    return Vision(node, layers, (size // patch) ** 2, kind.class_token, kind.checkpoint)


def read_square(vision: Fields, key: str) -> int:
    """A size in pixels: one number, or where the class has a pair by default, a pair of equal ones."""
    tree = vision.tree.get(key)
    usual = vision.table.understood[key]
    if isinstance(usual, tuple):
        pair = usual if tree is None else tree.plain()
        if isinstance(pair, int):
            return vision.integer(key)
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and pair[0] == pair[1]:
            size = pair[0]
            if type(size) is int and size > 0:
                return size
    if tree is not None and tree.is_sequence:
        message = f"`{vision.name(key)}` is a list: only square images and patches are read"
        vision.unsupported(key, message, "write one number; the class of transformers takes no list here either")
        return 1
    return vision.integer(key)


def check_sizes(vision: Fields, size: int, patch: int, dim: int, heads: int) -> None:
    """Heads of whole numbers, and at least one patch."""
    if dim % heads:
        message = f"`{vision.name('hidden_size')}`: a width of {dim} is not a multiple of {heads} heads"
        vision.problems.conflict(message, vision.span("hidden_size"))
    if size < patch:
        message = f"`{vision.name('image_size')}`: an image of {size} pixels holds no patch of {patch}"
        vision.problems.conflict(message, vision.span("image_size"))
