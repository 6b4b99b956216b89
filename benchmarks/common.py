"""Pairs of models to measure: the reference of `transformers` with random weights, and the package generated for it.

The reference is built, saved with `save_pretrained`, its config.json is imported as `graphvlm import` does it, and the
generated package loads the saved weights: what is measured is what a user gets.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

import graphvlm
from graphvlm.importers import import_config

PATCH: Final = 14
HEAD_DIM: Final = 64
TEXT_TOKENS: Final = 32
IMAGE_TOKEN: Final = 5


@dataclass(frozen=True, slots=True)
class Size:
    """A LLaVA: a CLIP tower and a Llama of the same width, heads 64 wide, feed-forwards four times the width."""

    vision_layers: int
    text_layers: int
    dim: int
    pixels: int
    vocab: int

    @property
    def image_tokens(self) -> int:
        """Tokens of one image, class token dropped."""
        return (self.pixels // PATCH) ** 2

    @property
    def prompt(self) -> int:
        """Tokens of the prompt: one image and the text."""
        return self.image_tokens + TEXT_TOKENS

    def __str__(self) -> str:
        return (
            f"CLIP {self.vision_layers}x{self.dim}, Llama {self.text_layers}x{self.dim}, {self.pixels} px, "
            f"{self.image_tokens} + {TEXT_TOKENS} tokens, vocabulary {self.vocab:,}"
        )


SIZES: Final[Mapping[str, Size]] = MappingProxyType(
    {
        "tiny_img": Size(4, 4, 256, 112, 4096),
        "small": Size(4, 4, 256, 336, 4096),
        "small32k": Size(4, 4, 256, 336, 32064),
        "mid": Size(4, 4, 512, 336, 4096),
        "large": Size(8, 8, 1024, 336, 32064),
        "deep": Size(24, 32, 256, 112, 4096),
        "toy": Size(2, 2, 64, 56, 512),  # for --quick alone
    }
)


@dataclass(frozen=True, slots=True)
class Package:
    """A generated package, imported, and its model with the weights of the reference."""

    module: Any
    model: Any

    @property
    def generate(self) -> Any:
        """Its module `generate`."""
        return self.module.generate

    def cache(self, new_tokens: int, prompt: int, batch: int = 1) -> Any:
        """A key-value cache for a prompt and what follows it."""
        layers = self.model.config.llm.layers
        return self.generate.KVCache(layers, batch, prompt + new_tokens, torch.device("cpu"))


class Pair:
    """The reference of a size and the packages that do the same, with the same weights."""

    def __init__(self, size: Size, folder: Path) -> None:
        self.size = size
        self.folder = folder
        torch.manual_seed(0)
        self.reference: Any = LlavaForConditionalGeneration(reference_config(size)).eval()
        self.reference.generation_config.eos_token_id = None  # generations of a fixed length
        self.reference.generation_config.pad_token_id = 0
        self.reference.save_pretrained(folder)

    def package(self, feature_layer: int = -2, overrides: Sequence[str] = ()) -> Package:
        """The generated package for the tower's output `feature_layer`, with the weights of the reference.

        -2, as in LLaVA, leaves the last layer of the tower without effect: the compiler removes it, the reference
        runs it. With -1 both sides run all layers: the like-for-like comparison.
        """
        chosen = [f"nodes.vision.output.layer={feature_layer}", "name=benchmark", *overrides]
        module = graphvlm.compile(self.graph(), overrides=chosen)
        return Package(module, module.from_pretrained(self.folder).eval())

    def graph(self) -> Path:
        """The graph imported from the config of the reference."""
        path = self.folder / "graph.yaml"
        if not path.exists():
            path.write_text(import_config(self.folder), encoding="utf-8")
        return path

    def set_feature_layer(self, layer: int) -> None:
        """Which output of the tower the reference takes from now on."""
        self.reference.config.vision_feature_layer = layer

    def inputs(self, seed: int = 1) -> dict[str, Tensor]:
        """A prompt of one image and `TEXT_TOKENS` tokens, without a mask: nothing is padded."""
        generator = torch.Generator().manual_seed(seed)
        size = self.size
        text = torch.randint(IMAGE_TOKEN + 1, size.vocab, (1, TEXT_TOKENS), generator=generator)
        image = torch.full((1, size.image_tokens), IMAGE_TOKEN)
        pixels = torch.randn(1, 3, size.pixels, size.pixels, generator=generator)
        return {"input_ids": torch.cat([text[:, :4], image, text[:, 4:]], dim=1), "pixel_values": pixels}


@contextmanager
def pair(name: str) -> Iterator[Pair]:
    """The pair of a named size; its files are removed at the end."""
    with tempfile.TemporaryDirectory(prefix="benchmark") as folder:
        yield Pair(SIZES[name], Path(folder))


def reference_config(size: Size) -> LlavaConfig:
    """The config of the reference."""
    shape: dict[str, Any] = {
        "hidden_size": size.dim,
        "intermediate_size": 4 * size.dim,
        "num_attention_heads": size.dim // HEAD_DIM,
    }
    vision = CLIPVisionConfig(num_hidden_layers=size.vision_layers, image_size=size.pixels, patch_size=PATCH, **shape)
    text = LlamaConfig(
        num_hidden_layers=size.text_layers,
        vocab_size=size.vocab,
        max_position_embeddings=2048,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
        **shape,
    )
    return LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE_TOKEN)
