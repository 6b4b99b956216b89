"""Graphs whose directories for transformers are tested, and loading them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import graphvlm
from graphvlm.exporters.hub import Options, export
from graphvlm.exporters.models import loaded as package_of
from graphvlm.ir import Graph

from ..running import GRAPHS, SHIPPED, small
from ..test_golden import graph as of_golden

# A graph that no library knows: two towers, joined and added, with necks of their own.
ODD = "odd"


def golden(name: str) -> Graph:
    """A golden graph, a ready one at a tiny size, or the one beside this file."""
    if name in SHIPPED and name not in ("tiny", "prefix_clip_llama"):
        return small(name)
    return graphvlm.load(Path(__file__).with_name("odd.yaml")) if name == ODD else of_golden(name)


def tiny(overrides: Iterable[str]) -> Graph:
    """The smallest graph with other settings."""
    return graphvlm.load(GRAPHS / "tiny.yaml", overrides=overrides)


def from_seed(graph: Graph, seed: int = 0) -> Any:
    """The package with the weights that an export without any has, its projections apart."""
    return package_of(replace(graph, passes=replace(graph.passes, merge_projections=False)), None, seed, "float32")[1]


def loaded(folder: Path, auto: str = "AutoModelForImageTextToText") -> Any:
    """The model of a directory."""
    import transformers

    return getattr(transformers, auto).from_pretrained(folder, trust_remote_code=True).eval()


# Settings of the smallest graph, and what is in its vocabulary.
PROMPT = (
    'prompt.image.token="<image>"',
    'prompt.image.start="["',
    "prompt.image.resample=bilinear",
    """prompt.template="{% for m in messages %}{{ m.role }} : {% for c in m.content %}{% if c.type == 'image' %}"""
    """<image>{% else %} {{ c.text }}{% endif %}{% endfor %}{% endfor %}\"""",
)
WORDS = {"<pad>": 0, "<s>": 1, "</s>": 2, "user": 3, "hello": 4, ":": 5, "[": 6, "<unk>": 7, "<image>": 99}


def prompted(folder: Path, image: int = 99, overrides: tuple[str, ...] = PROMPT, *, begin: bool = False) -> Any:
    """A directory with a tokenizer of few words, in which the placeholder has the number `image`; texts may `begin`
    with a token of their own."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    graph = graphvlm.load(GRAPHS / "tiny.yaml", overrides=overrides)
    made = export(graph, folder, Options(verify=False), lambda _: None)
    words = WORDS | {"<image>": image}
    vocabulary = {f"w{number}": number for number in range(101) if number not in words.values()} | words
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if begin:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )
    fast.save_pretrained(made.folder)
    return made.folder
