"""Ready graphs of training against classes of transformers: scores of pairs, captions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from .oracles import Case, agree
from .running import randomise
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
