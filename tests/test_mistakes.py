"""Everyday mistakes of putting a model together: found before a tensor exists, with a place and an edit that helps.

The same mistakes in a configuration of `transformers` show what a library makes of them. `docs/mistakes.md` is made
here, from what both really say; `pytest --update-golden` rewrites it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import graphvlm
from graphvlm.diagnostics import Diagnostic, GraphError, Source
from graphvlm.report import render
from graphvlm.rules import RULES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "mistakes.md"
TINY = (ROOT / "graphs" / "tiny.yaml").read_text(encoding="utf-8")

Config = Mapping[str, Any]
NONE: Config = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Reference:
    """The mistake in a `LlavaConfig`: what changes in it, and where it is found, if it is, with what words."""

    top: Config = field(default_factory=lambda: NONE)
    vision: Config = field(default_factory=lambda: NONE)
    text: Config = field(default_factory=lambda: NONE)
    placeholders: int = 16
    pixels: tuple[int, int] = (3, 56)
    stage: str = ""
    says: str = ""


@dataclass(frozen=True, slots=True)
class Mistake:
    """Edits of tiny.yaml, `old -> new`, and the rule that finds them, at `place`; `fix` is what the help proposes."""

    name: str
    edits: Config
    rule: str
    place: str
    help: str
    fix: Config
    reference: Reference


def edited(edits: Config) -> Source:
    text = TINY
    for old, new in edits.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return Source("tiny.yaml", text)


ROPE = "rope_parameters"
SCATTER = "    placeholder: {image: 99}\n"
TOWER, DECODER = "    kind: encoder\n    type: vit\n", "    kind: decoder\n    type: transformer\n"
PIXELS = "pixel_values: image"
HEADS = "attention: {heads: 6, kv_heads: 2, head_dim: 20, bias: false}"
EYES = "attention: {heads: 3, bias: true}"
OUTPUT = "output: {layer: -2, drop_cls: true}"
TYPO = "did you mean"


def counted(tokens: int) -> Config:
    return {SCATTER: f"{SCATTER}    tokens: {{image: {tokens}}}\n"}


def siglip(**more: Any) -> Config:
    return {"class_token: true": "class_token: false", **more}


def wrong_type(name: str, type_: str, component: str, help: str = "graphvlm list", **reference: Any) -> Mistake:
    """A component that is none of ours."""
    old = component.splitlines()[1]
    edits, place = {component: component.replace(old, f"    type: {type_}")}, type_
    return Mistake(name, edits, "unknown-type", place, help, {}, Reference(**reference))


FORWARD: Config = {"stage": "forward"}
FULL: Config = {"vision_feature_select_strategy": "full"}
SIZES: Config = {"hidden_size": 24, "intermediate_size": 44, "num_hidden_layers": 3, "num_attention_heads": 3}
CLIP: Config = {"model_type": "clip_vision_model", **SIZES, "image_size": 56, "patch_size": 14}
SIGLIP: Config = {**CLIP, "model_type": "siglip_vision_model"}
SWIN: Config = {"model_type": "swin", "image_size": 56, "embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2]}
RESNET: Config = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
QWEN: Config = {"model_type": "qwen2_vl_vision", "depth": 2, "embed_dim": 24, "num_heads": 3}

MISTAKES = (
    Mistake(
        "a key at the top misspelled",
        {"generation: {": "genration: {"},
        *("unknown-key", "genration", "did you mean `generation`?", {}),
        Reference(top={"vision_feature_layr": -2}),
    ),
    Mistake(
        "a key of the text model misspelled",
        {"    max_tokens": "    max_token"},
        *("unknown-key", "max_token", "did you mean `max_tokens`?", {}),
        Reference(text={"max_position_embedings": 256}),
    ),
    Mistake(
        "a key of a nested mapping misspelled",
        {"theta: 10000.0": "thta: 10000.0"},
        *("unknown-key", "thta", "did you mean `theta`?", {}),
        Reference(text={ROPE: {"rope_type": "default", "rope_thta": 10000.0}}),
    ),
    Mistake(
        "a number of image tokens that is not the tower's",
        counted(9),
        *("shape-mismatch", "projector", "or set it to 16", counted(16)),
        Reference(top={"image_seq_length": 9}),
    ),
    Mistake(
        "the class token of SigLIP dropped, which has none: the first patch is lost",
        siglip(),
        *("no-class-token", "true", "remove `drop_cls`", siglip(**{OUTPUT: "output: {layer: -2}"})),
        Reference(vision=SIGLIP, placeholders=15),
    ),
    Mistake(
        "an image size that is no multiple of the patch",
        {"image: {size: 56": "image: {size: 60"},
        *("patch-not-divisible", "60", "use an image of 56 or 70", {"image: {size: 56": "image: {size: 70"}),
        Reference(vision={"image_size": 60}, pixels=(3, 60)),
    ),
    Mistake(
        "fewer positions than an image has tokens",
        {"max_tokens: 256": "max_tokens: 8"},
        *("sequence-too-short", "8", "of `llm` to 17 or more", {"max_tokens: 256": "max_tokens: 17"}),
        Reference(text={"max_position_embeddings": 8}),
    ),
    wrong_type("a layer of a hierarchical tower (Swin)", "swin", TOWER, vision=SWIN, top=FULL, placeholders=49),
    Mistake(
        "rotary positions without their base",
        {"{type: rope, theta: 10000.0}": "{type: rope}"},
        *("missing-key", "position", "add `theta`", {}),
        Reference(text={ROPE: {"rope_type": "default"}}),
    ),
    Mistake(
        "a width in quotes",
        {"dim: 40": "dim: '40'"},
        *("wrong-type", "'40'", "write 40, without quotes", {}),
        Reference(text={"hidden_size": "40"}, stage="config", says="Field 'hidden_size' expected int, got str"),
    ),
    Mistake(
        "a width of the text model that its heads do not divide",
        {HEADS: "attention: {heads: 7}"},
        *("heads-not-divisible", "7", "set `heads` to 5, 8 or 10", {HEADS: "attention: {heads: 10}"}),
        Reference(
            text={"num_attention_heads": 7, "num_key_value_heads": 7},
            stage="config",
            says="The hidden size (40) is not a multiple of the number of attention heads (7).",
        ),
    ),
    Mistake(
        "a width of the tower that its heads do not divide",
        {EYES: "attention: {heads: 5}"},
        *("heads-not-divisible", "5", "set `heads` to 4, 6 or 8", {EYES: "attention: {heads: 6}"}),
        Reference(
            vision={"num_attention_heads": 5},
            stage="config",
            says="The hidden size (24) is not a multiple of the number of attention heads (5).",
        ),
    ),
    Mistake(
        "key and value heads that do not divide the heads",
        {"kv_heads: 2": "kv_heads: 4"},
        *("heads-not-divisible", "4", "set `kv_heads` to 1, 2, 3 or 6", {"kv_heads: 2": "kv_heads: 3"}),
        Reference(
            text={"num_key_value_heads": 3},
            **FORWARD,
            says="The size of tensor a (4) must match the size of tensor b (3)",
        ),
    ),
    Mistake(
        "the class token of SigLIP dropped, and a placeholder for every patch",
        siglip(**counted(16)),
        *("no-class-token", "true", "remove `drop_cls`", siglip(**{OUTPUT: "output: {layer: -2}"}, **counted(16))),
        Reference(
            vision=SIGLIP, **FORWARD, says="Image features and image tokens do not match, tokens: 16, features: 600"
        ),
    ),
    Mistake(
        "the class token of CLIP kept, and a placeholder for every patch",
        {OUTPUT: "output: {layer: -2}", **counted(16)},
        *("shape-mismatch", "projector", "write `output: {drop_cls: true}` in `vision`", counted(16)),
        Reference(top=FULL, **FORWARD, says="Image features and image tokens do not match, tokens: 16, features: 680"),
    ),
    Mistake(
        "a placeholder outside the vocabulary",
        {"{image: 99}": "{image: 101}"},
        *("placeholder-outside-vocabulary", "101", "use an id below 101", {"{image: 99}": "{image: 100}"}),
        Reference(top={"image_token_index": 101}, **FORWARD, says="IndexError: index out of range in self"),
    ),
    Mistake(
        "a layer that the tower does not have",
        {"layer: -2": "layer: -9"},
        *("no-such-layer", "-9", "use a number from -4 to 3", {"layer: -2": "layer: -4"}),
        Reference(top={"vision_feature_layer": -9}, **FORWARD, says="IndexError: tuple index out of range"),
    ),
    Mistake(
        "images of another size than the tower's",
        {PIXELS: "pixel_values: {type: image, size: 70}"},
        *("shape-mismatch", "pixel_values", "or set it to 56", {PIXELS: "pixel_values: {type: image, size: 56}"}),
        Reference(pixels=(3, 70), **FORWARD, says="Input image size (70*70) doesn't match model (56*56)."),
    ),
    Mistake(
        "images with another number of channels",
        {PIXELS: "pixel_values: {type: image, channels: 1}"},
        *("shape-mismatch", "pixel_values", "or set it to 3", {PIXELS: "pixel_values: {type: image, channels: 3}"}),
        Reference(pixels=(1, 56), **FORWARD, says="to have 3 channels, but got 1 channels instead"),
    ),
    Mistake(
        "the activation of the projector misspelled",
        {"activation: gelu\n": "activation: gleu\n"},
        *("bad-value", "gleu", "did you mean `gelu`?", {}),
        Reference(top={"projector_hidden_act": "gleu"}, stage="init", says="KeyError: 'gleu'"),
    ),
    Mistake(
        "the type of rotary scaling misspelled",
        {"theta: 10000.0}": "theta: 10000.0, scaling: {type: liner, factor: 2}}"},
        *("bad-value", "liner", "did you mean `linear`?"),
        {"theta: 10000.0}": "theta: 10000.0, scaling: {type: linear, factor: 2}}"},
        Reference(
            text={ROPE: {"rope_type": "liner", "rope_theta": 1e4, "factor": 2.0}},
            stage="init",
            says="KeyError: 'liner'",
        ),
    ),
    *(
        wrong_type(
            f"{name} as the text model", type_, DECODER, help, text={"model_type": type_}, stage="init", says=says
        )
        for name, type_, help in (
            *(("BERT", "bert", "graphvlm list"), ("Mamba", "mamba", "graphvlm list")),
            ("T5", "t5", "the catalog has `use: decoder/flan_t5_xl`"),
        )
        for says in (f"{type_.capitalize()}Model has no attribute `embed_tokens`",)
    ),
    wrong_type("ResNet as the tower", "resnet", TOWER, vision=RESNET, stage="init", says="no attribute 'hidden_size'"),
    wrong_type(
        *("the tower of Qwen2-VL", "qwen2_vl", TOWER, "the catalog has `use: encoder/qwen2_vl_vision`"),
        vision=QWEN,
        stage="init",
        says="Unrecognized configuration",
    ),
)

each_mistake = pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)


def found(mistake: Mistake) -> Diagnostic:
    """The one problem of the edited graph."""
    with pytest.raises(GraphError) as caught:
        graphvlm.load(edited(mistake.edits))
    (problem,) = caught.value.diagnostics
    return problem


@each_mistake
def test_a_mistake_is_found_where_it_is(mistake: Mistake) -> None:
    problem = found(mistake)
    assert problem.rule == mistake.rule
    assert problem.rule in RULES
    span = problem.span
    assert span is not None
    assert span.source.line(span.line)[span.column - 1 : span.end_column - 1] == mistake.place
    assert mistake.help in problem.help


@each_mistake
def test_the_help_helps(mistake: Mistake) -> None:
    graphvlm.load(edited(mistake.fix))


def test_all_are_found_without_torch() -> None:
    program = """
import json, sys, graphvlm
from graphvlm.diagnostics import GraphError, Source
for text in json.load(sys.stdin):
    try:
        graphvlm.load(Source("tiny.yaml", text))
        sys.exit("a mistake passed")
    except GraphError:
        pass
assert not {"torch", "transformers"} & sys.modules.keys()
"""
    texts = json.dumps([edited(mistake.edits).text for mistake in MISTAKES])
    done = subprocess.run([sys.executable, "-c", program], input=texts, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# What transformers makes of the same mistakes

LLAMA: Config = {
    "model_type": "llama",
    "hidden_size": 40,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 101,
    "max_position_embeddings": 256,
}
LLAVA: Config = {"image_token_index": 99, "image_seq_length": 16, "vision_feature_layer": -2}


def reference(case: Reference) -> tuple[str, str]:
    """Where transformers finds the mistake, and what it says."""
    import torch
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    stage = "config"
    try:
        vision = case.vision if "model_type" in case.vision else {**CLIP, **case.vision}
        config = LlavaConfig(vision_config=dict(vision), text_config={**LLAMA, **case.text}, **{**LLAVA, **case.top})
        stage = "init"
        model = LlavaForConditionalGeneration(config)
        stage = "forward"
        ids = torch.tensor([[1, *[config.image_token_id] * case.placeholders, 5]])
        channels, size = case.pixels
        model(input_ids=ids, pixel_values=torch.randn(1, channels, size, size), attention_mask=torch.ones_like(ids))
    except Exception as error:  # of any type: that is what the table is about
        return stage, f"{type(error).__name__}: {error}"
    return "", ""


@pytest.mark.slow
@each_mistake
@pytest.mark.filterwarnings("ignore")
def test_transformers_finds_it_there(mistake: Mistake) -> None:
    stage, says = reference(mistake.reference)
    assert stage == mistake.reference.stage
    assert mistake.reference.says in says


# The page


def test_the_page_is_up_to_date(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        PAGE.write_text(page(), "utf-8")
    assert PAGE.read_text("utf-8") == page(), "run pytest --update-golden"


def page() -> str:
    stages = Counter(mistake.reference.stage for mistake in MISTAKES)
    example = next(mistake for mistake in MISTAKES if mistake.rule == "sequence-too-short")
    return f"""\
# Mistakes that are found before a tensor exists

<!-- made by tests/test_mistakes.py: pytest --update-golden -->

{len(MISTAKES)} everyday mistakes of putting a vision-language model together, each made in
[graphs/tiny.yaml](../graphs/tiny.yaml) and in a `LlavaConfig` of the same sizes. Transformers 5.23 lets \
{stages[""]} of them pass in silence.
It finds {stages["config"]} in the configuration, {stages["init"]} when the model is made, and {stages["forward"]} in \
the first forward pass. `graphvlm check` finds all of
them without importing torch. It says where, and what to write instead:

```text
{render([found(example)]).rpartition("see: ")[0].strip()}
```

Sizes that follow from each other cannot be wrong: a width is never typed twice, and the number of image tokens is not
typed at all. Some mistakes of the table are possible only because something was written that could have been left out
(`tokens` of a fusion, `size` and `channels` of an input). Then it is checked.

| mistake | transformers 5.23 | graphvlm |
|---|---|---|
{chr(10).join(map(row, MISTAKES))}
"""


def row(mistake: Mistake) -> str:
    problem, case = found(mistake), mistake.reference
    theirs = f"{case.stage}: {case.says}" if case.stage else "no error"
    edit = problem.help.partition("? the keys of ")[0] + ("?" if "? the keys of " in problem.help else "")
    return f"| {mistake.name} | {theirs} | `{problem.rule}` at {problem.span!r}: {problem.message} <br> *{edit}* |"
