"""Graphs of any number of nodes, for the compiler alone."""

from __future__ import annotations

from typing import Final

_TOWER: Final = """\
  {name}:
    kind: encoder
    type: vit
    inputs: {image}
    image: {{size: 56, channels: 3}}
    patch: {{size: 14, bias: false}}
    class_token: true
    position: learned
    dim: 24
    layers: 3
    norm: {{type: layer, eps: 1.0e-5}}
    attention: {{heads: 3, bias: true}}
    mlp: {{hidden: 44, activation: quick_gelu, bias: true}}
    output: {{layer: -2, drop_cls: true}}
"""

_LANGUAGE: Final = """\
  text: {{kind: encoder, type: token_embedding, inputs: input_ids}}
  fused:
    kind: fusion
    type: scatter
    inputs: {{text: text, ids: input_ids, {images}}}
    placeholder: {{{tokens}}}
  llm:
    kind: decoder
    type: transformer
    inputs: fused
    vocab: 5000
    dim: 40
    max_tokens: 32768
    layers: 2
    norm: {{type: rms, eps: 1.0e-5}}
    attention: {{heads: 6, kv_heads: 2, head_dim: 20, bias: false}}
    mlp: {{hidden: 72, activation: silu, gated: true, bias: false}}
    position: {{type: rope, theta: 10000.0}}
outputs:
  logits: llm.logits
"""


def chain(nodes: int) -> str:
    """One tower, a chain of projectors and a decoder: the deepest graph of so many nodes."""
    projectors = nodes - 4
    parts = ["version: 1\nname: chain\ninputs: {pixel_values: image, input_ids: tokens}\nnodes:\n"]
    parts.append(_TOWER.format(name="vision", image="pixel_values"))
    last = "vision"
    for index in range(projectors):
        name = f"projector_{index}"
        width = "" if index == projectors - 1 else f"    out: {24 + 8 * (index % 5)}\n"
        parts.append(_projector(name, last, index) + width)
        last = name
    parts.append(_LANGUAGE.format(images=f"image: {last}", tokens="image: 99"))
    return "".join(parts)


def towers(nodes: int) -> str:
    """As many towers with a projector each, all read by one decoder: the widest graph of so many nodes."""
    count = (nodes - 3) // 2
    images = "".join(f"  image_{index}: image\n" for index in range(count))
    parts = [f"version: 1\nname: towers\ninputs:\n  input_ids: tokens\n{images}nodes:\n"]
    for index in range(count):
        parts.append(_TOWER.format(name=f"vision_{index}", image=f"image_{index}"))
        parts.append(_projector(f"projector_{index}", f"vision_{index}", index))
    ports = ", ".join(f"image_{index}: projector_{index}" for index in range(count))
    tokens = ", ".join(f"image_{index}: {100 + index}" for index in range(count))
    parts.append(_LANGUAGE.format(images=ports, tokens=tokens))
    return "".join(parts)


def _projector(name: str, source: str, index: int) -> str:
    kind = "linear" if index % 2 else "mlp"
    return f"  {name}:\n    kind: projector\n    type: {kind}\n    inputs: {source}\n"
