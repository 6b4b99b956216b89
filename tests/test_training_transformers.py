"""Ready graphs of training against classes of transformers: scores of pairs, captions."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import torch

import graphvlm
from graphvlm.diagnostics import Source
from graphvlm.keys import dead_patterns, ignored_patterns
from graphvlm.passes import apply_all
from graphvlm.weights import expected

from .oracles import Case, agree
from .running import GRAPHS, randomise
from .training_cases import loaded

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

VISION = "nodes.vision.checkpoint.use=checkpoint/blip2_vision"


def blip(**more: Any) -> Any:
    """A tiny configuration of transformers' BLIP, with the eps of the original."""
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    text: dict[str, Any] = {"vocab_size": 97, "hidden_size": 24, "encoder_hidden_size": 36, "intermediate_size": 40}
    text |= {"num_hidden_layers": 3, "num_attention_heads": 3, "max_position_embeddings": 48, "layer_norm_eps": 1e-12}
    vision: dict[str, Any] = {
        "hidden_size": 36,
        "intermediate_size": 52,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
    }
    vision |= {"image_size": 24, "patch_size": 8, "layer_norm_eps": 1e-6, "hidden_act": "gelu"}
    return transformers.BlipConfig(text_config=text | more, vision_config=vision, image_text_hidden_size=12)


def as_case(config: Any) -> Case:
    """What `training_cases` reads of a case."""
    text, vision = config.text_config, config.vision_config
    return Case(
        {
            "vision": {
                "image_size": vision.image_size,
                "patch_size": vision.patch_size,
                "width": vision.hidden_size,
                "layers": vision.num_hidden_layers,
                "heads": vision.num_attention_heads,
                "mlp_ratio": vision.intermediate_size / vision.hidden_size,
                "layer_norm_eps": vision.layer_norm_eps,
            },
            "text": {
                "vocab_size": text.vocab_size,
                "width": text.hidden_size,
                "layers": text.num_hidden_layers,
                "heads": text.num_attention_heads,
                "intermediate": text.intermediate_size,
                "max_positions": text.max_position_embeddings,
                "layer_norm_eps": text.layer_norm_eps,
            },
            "embed_dim": config.image_text_hidden_size,
            "token_ids": {"enc": 5, "dec_bos": 4},
        },
        {},
        {},
        Path(),
    )


@torch.no_grad()
def test_transformers_scores_pairs_alike(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    reference = transformers.BlipForImageTextRetrieval(blip()).eval()
    randomise(reference)
    reference.save_pretrained(tmp_path)
    case = as_case(reference.config)._replace(weights=tmp_path)
    prefixes = "checkpoint.prefixes={vision: vision_model., text: text_encoder., words: text_encoder.}"
    model = loaded("blip_itm", case, prefixes, VISION).eval()
    given = random_batch()
    pairs = given["input_ids"].clone()
    pairs[:, 0] = 5
    expected = reference(input_ids=pairs, pixel_values=given["image"], attention_mask=given["attention_mask"])
    alone = reference(
        input_ids=given["input_ids"],
        pixel_values=given["image"],
        attention_mask=given["attention_mask"],
        use_itm_head=False,
    )
    output = model(**given)
    assert agree(output.itm, expected.itm_score)
    assert agree(output.itc, alone.itm_score)


@torch.no_grad()
def test_transformers_writes_the_same_captions(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    reference = transformers.BlipForConditionalGeneration(blip(is_decoder=True)).eval()
    randomise(reference)
    reference.save_pretrained(tmp_path)
    case = as_case(reference.config)._replace(weights=tmp_path)
    prefixes = "checkpoint.prefixes={vision: vision_model., text: {cls.: text_decoder.cls., '': text_decoder.bert.}}"
    model = loaded("blip_caption", case, prefixes, VISION).eval()
    given = random_batch()
    expected = reference(
        input_ids=given["input_ids"], pixel_values=given["image"], attention_mask=given["attention_mask"]
    )
    there = given["attention_mask"].bool()
    assert agree(model(**given).logits[there], expected.logits[there])


def random_batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(6, 97, (3, 7), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return {"image": torch.randn(3, 3, 24, 24, generator=generator), "input_ids": ids, "attention_mask": mask}


# Full sizes on the meta device: keys and shapes

BLIP_VISION = "nodes.vision={image: {size: 384}, checkpoint: {use: checkpoint/blip2_vision}}"
BLIP_ITM = (
    "checkpoint={prefixes: {vision: vision_model., text: text_encoder., words: text_encoder.}}",
    BLIP_VISION,
)
BLIP_CAPTION = (
    "checkpoint={prefixes: {vision: vision_model., text: {cls.: text_decoder.cls., '': text_decoder.bert.}}}",
    BLIP_VISION,
)
_TOP = (
    "prefixes: {vision: vision_model., queries: {embeddings.position: embeddings.position, query_tokens: query_tokens,"
)
BLIP2_ITM = (
    f"checkpoint={{{_TOP} '': qformer.}}, words: embeddings.word_embeddings, image_vectors: vision_projection,"
    " text_vector: text_projection}}",
    "nodes.vision={attention: {bias: {k: true}}, checkpoint: null}",
    "nodes.vision.checkpoint={use: checkpoint/blip2_vision}",
    "nodes.queries.checkpoint=null",
    "nodes.queries={head: none, checkpoint: {use: checkpoint/qformer_text}}",
    "nodes.queries.checkpoint.names.input_norm=layernorm",
    "nodes.words.checkpoint={names: {'': ''}}",
)


def blip2_config() -> Any:
    """The published BLIP-2 that scores pairs."""
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    return transformers.Blip2Config(qformer_config={"vocab_size": 30523, "use_qformer_text_input": True})


@pytest.mark.parametrize(
    ("graph", "changes", "name"),
    [
        ("blip_itm", BLIP_ITM, "BlipForImageTextRetrieval"),
        ("blip_caption", BLIP_CAPTION, "BlipForConditionalGeneration"),
        ("blip2_itm", BLIP2_ITM, "Blip2ForImageTextRetrieval"),
    ],
)
def test_full_sizes(graph: str, changes: tuple[str, ...], name: str) -> None:
    """Every key of the class, and its parameters."""
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    with torch.device("meta"):
        config = blip2_config() if graph == "blip2_itm" else transformers.BlipConfig()
        reference = getattr(transformers, name)(config)
    found = graphvlm.load(GRAPHS / f"{graph}.yaml", overrides=changes)
    unread = (*dead_patterns(apply_all(found)), *ignored_patterns(apply_all(found)))
    keys = {key: tuple(tensor.shape) for key, tensor in reference.state_dict().items()}
    ours = expected(found)
    assert {key: shape for key, shape in ours.items() if keys.get(key) != shape} == {}
    assert [key for key in keys.keys() - ours.keys() if not any(fnmatchcase(key, each) for each in unread)] == []
    assert found.parameter_count == sum(parameter.numel() for parameter in reference.parameters())


# Parts of the published models: millions of parameters.
PUBLISHED = {
    ("albef_features", "vision"): 85.8,
    ("albef_matching", "vision"): 85.8,
    ("albef_retrieval", "vision"): 86.1,
    ("blip2_qformer", "vision"): 985.9,
    ("blip2_opt_training", "queries"): 105.2,  # 105.162
    ("alpro_retrieval", "vision"): 121.3,
}
TEXTS = {("albef_retrieval", "text"): 123.1, ("blip_itm", "text"): 137.3, ("blip2_qformer", "queries"): 185.7}


@pytest.mark.parametrize(("graph", "node"), PUBLISHED)
def test_parts_are_as_large_as_published(graph: str, node: str) -> None:
    count = graphvlm.load(GRAPHS / f"{graph}.yaml").nodes[node].parameter_count
    assert count / 1e6 == pytest.approx(PUBLISHED[graph, node], abs=0.06)


@pytest.mark.parametrize(("graph", "node"), TEXTS)
def test_stacks_of_text_are_as_large_as_published(graph: str, node: str) -> None:
    """With the table of their words; a Q-Former without the head for logits that its first stage has."""
    nodes = graphvlm.load(GRAPHS / f"{graph}.yaml").nodes
    own = [each for each in nodes[node].parameters if graph != "blip2_qformer" or not each.path.startswith("head.")]
    count = sum(each.count for each in own) + nodes["words"].parameter_count
    assert count / 1e6 == pytest.approx(TEXTS[graph, node], abs=0.06)


LARGE = (
    "use: encoder/vit_b_16_224, dim: 1024, layers: 24, attention: {heads: 16}, mlp: {hidden: 4096}, image: {size: 384}"
)


@pytest.mark.parametrize(
    ("tower", "millions"),
    [(LARGE, 303.7), ("use: encoder/clip_vit_l_14, output: {layer: -2}", 290.6)],
    ids=["ViT large", "CLIP large"],
)
def test_large_towers_are_as_large_as_published(tower: str, millions: float) -> None:
    """Layers that are not read are left out, as LAVIS does."""
    nodes = f"{{vision: {{{tower}, inputs: image}}}}"
    text = f"{{version: 1, name: large, inputs: {{image: image}}, nodes: {nodes}, outputs: {{x: vision}}}}"
    graph = apply_all(graphvlm.load(Source("large.yaml", text)))
    assert graph.parameter_count / 1e6 == pytest.approx(millions, abs=0.06)
