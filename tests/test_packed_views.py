"""Packing of tiles as whole models do it: Phi-3-Vision and DeepSeek-VL2, against transformers and their descriptions.

No class of transformers is either of both. Phi-4-multimodal packs as Phi-3-Vision does; what DeepSeek-VL2 does is
written again here with `unfold` and axes that change places; the package computes a row of a table for each token.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import graphvlm
from graphvlm.weights import expected

from .running import packaged, randomise

pytestmark = pytest.mark.usefixtures("one_thread")

GRAPHS = Path(__file__).parents[1] / "graphs"
CUTS = ((2, 3), (1, 5), (3, 1))  # rows and columns of tiles
COUNTS = [rows * columns + 1 for rows, columns in CUTS]


def views(name: str, side: int, made: str) -> Any:
    """The nodes of a published model between its tower and its text, with features instead of the tower, tiny."""
    model = packaged(
        graphvlm.load(
            GRAPHS / f"{name}.yaml",
            overrides=[
                f"inputs={{pixel_values: null, image_sizes: sizes, features: {{type: features, tokens: {side**2}}}}}",
                "inputs={input_ids: null, features: {dim: 6}}",
                "nodes={tiles: null, vision: null, text: null, fused: null, llm: null}",
                f"nodes.shuffled={{inputs: features, grid: [{side}, {side}]}}",
                "nodes.packed.inputs.grid=image_sizes",
                "nodes.projector={out: 10}",
                f"outputs={{logits: null, merged: shuffled, made: {made}}}",
                "checkpoint=null",
                "generation=null",
            ],
        )
    ).Model()
    randomise(model)
    return model


def features(tokens: int, dim: int = 6) -> Tensor:
    return torch.randn(sum(COUNTS), tokens, dim, generator=torch.Generator().manual_seed(1))


def test_phi_3_vision_packs_as_phi_4_does() -> None:
    """Tiles, a separator, the whole image; a newline behind each row; then the projector, over all of these."""
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    from transformers.models.phi4_multimodal.modeling_phi4_multimodal import Phi4MultimodalImageEmbedding

    model = views("phi_3_vision_128k", 4, "projector")
    given = features(16)
    with torch.no_grad():
        found = model(features=given, image_sizes=torch.tensor(CUTS))
    squares = given.view(-1, 2, 2, 2, 2, 6).transpose(2, 3).reshape(-1, 4, 24)
    assert torch.equal(found.merged, squares)

    vision = {"hidden_size": 24, "image_size": 28, "patch_size": 14, "crop_size": 28, "num_hidden_layers": 1}
    vision |= {"intermediate_size": 8, "num_attention_heads": 2, "image_token_id": 3}
    config = transformers.Phi4MultimodalConfig(vision_config=vision, hidden_size=10, vocab_size=8, pad_token_id=0)
    reference = Phi4MultimodalImageEmbedding(config)
    stacks = torch.nn.utils.rnn.pad_sequence([*torch.split(squares, COUNTS)], batch_first=True)
    reference.get_img_features = lambda *_, **__: stacks.flatten(0, 1)
    with torch.no_grad():
        reference.sub_img_feature_extensor.copy_(model.packed.newline)
        reference.global_img_feature_extensor.copy_(model.packed.separator)
        reference.img_projection_up.load_state_dict(model.projector.linear_1.state_dict())
        reference.img_projection_down.load_state_dict(model.projector.linear_2.state_dict())
        whole = torch.ones(*stacks.shape[:2], 4, 4)  # no pixel is padding
        pixels, sizes = torch.zeros(*stacks.shape[:2], 3, 28, 28), torch.tensor(CUTS) * 28
        ids, words = torch.full(found.made.shape[:2], 3), torch.zeros_like(found.made)
        theirs = reference(ids, words, pixels, sizes, whole)
    assert torch.allclose(found.made, theirs, rtol=0, atol=1e-6)


def test_deepseek_vl2_packs_as_it_is_described() -> None:
    """Squares by `unfold` after padding, their projector, the whole image, a separator, the tiles put together."""
    model = views("deepseek_vl2_small", 5, "packed")
    given = features(25)
    with torch.no_grad():
        found = model(features=given, image_sizes=torch.tensor(CUTS))
        maps = F.pad(given.transpose(1, 2).reshape(-1, 6, 5, 5), (0, 1, 0, 1))
        merged = F.unfold(maps, kernel_size=2, stride=2).transpose(1, 2)
        assert torch.equal(found.merged, merged)
        projected = model.projector.linear_2(F.gelu(model.projector.linear_1(merged))).view(-1, 3, 3, 10)
        theirs = list[Tensor]()
        for (rows, columns), tiles in zip(CUTS, torch.split(projected, COUNTS), strict=True):
            cut = tiles[1:].view(rows, columns, 3, 3, 10).transpose(1, 2).reshape(rows * 3, columns * 3, 10)
            lined = [torch.cat((view, model.packed.newline.expand(len(view), 1, -1)), 1) for view in (tiles[0], cut)]
            theirs += [lined[0].flatten(0, 1), model.packed.separator[None], lined[1].flatten(0, 1)]
    assert torch.allclose(found.made[0], torch.cat(theirs), rtol=0, atol=1e-6)


def test_an_image_has_as_many_tokens_as_published() -> None:
    """By the formulas of both processors, for every way to cut."""
    cuts = list(product(range(1, 5), repeat=2))
    phi, deepseek = views("phi_3_vision_128k", 24, "projector"), views("deepseek_vl2_small", 27, "packed")
    for rows, columns in cuts:
        grid = torch.tensor([[rows, columns]])
        with torch.no_grad():
            tokens = phi(features=torch.zeros(rows * columns + 1, 576, 6), image_sizes=grid).made.size(1)
            assert tokens == (rows * columns + 1) * 144 + 1 + (rows + 1) * 12
            tokens = deepseek(features=torch.zeros(rows * columns + 1, 729, 6), image_sizes=grid).made.size(1)
            assert tokens == 14 * (14 + 1) + 1 + rows * 14 * (columns * 14 + 1)


# ---- keys of the published files

PHI_3_VISION = {
    "model.vision_embed_tokens.sub_GN": (1, 1, 1, 4096),
    "model.vision_embed_tokens.glb_GN": (1, 1, 4096),
    "model.vision_embed_tokens.img_projection.0.weight": (3072, 4096),
    "model.vision_embed_tokens.img_projection.0.bias": (3072,),
    "model.vision_embed_tokens.img_projection.2.weight": (3072, 3072),
    "model.vision_embed_tokens.img_projection.2.bias": (3072,),
}
DEEPSEEK_VL2 = {
    "image_newline": (2048,),
    "view_seperator": (2048,),
    "projector.layers.0.weight": (2048, 4608),
    "projector.layers.0.bias": (2048,),
    "projector.layers.2.weight": (2048, 2048),
    "projector.layers.2.bias": (2048,),
    "vision.pos_embed": (1, 729, 1152),
    "vision.patch_embed.proj.weight": (1152, 3, 14, 14),
    "vision.patch_embed.proj.bias": (1152,),
    "vision.norm.weight": (1152,),
    "vision.norm.bias": (1152,),
}
_BLOCK = {"norm1": (1152,), "norm2": (1152,), "attn.qkv": (3456, 1152), "attn.proj": (1152, 1152)}
_BLOCK |= {"mlp.fc1": (4304, 1152), "mlp.fc2": (1152, 4304)}


def keys(prefix: str, model: Any) -> dict[str, tuple[int, ...]]:
    """Those of a class of transformers on the meta device, behind a prefix."""
    from transformers.core_model_loading import revert_weight_conversion

    state = revert_weight_conversion(model, model.state_dict())
    return {f"{prefix}{key}": tuple(value.shape) for key, value in state.items()}


def test_the_keys_of_published_files() -> None:
    """Those of the towers and decoders as transformers has them, the rest as the published code names it."""
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    from .published import TEXTS
    from .published.images import tower

    def made(config: dict[str, Any], language: bool) -> Any:
        kind = transformers.AutoModelForCausalLM if language else transformers.AutoModel
        with torch.device("meta"):
            return kind.from_config(transformers.AutoConfig.for_model(**config))

    clip = made(tower("clip", 336, 14, 1024, 24, 16, 4096), language=False)
    theirs = keys("model.vision_embed_tokens.img_processor.vision_model.", clip) | PHI_3_VISION
    theirs |= keys("", made(TEXTS["phi_3_mini_vision_128k"].config, language=True))
    assert expected(graphvlm.load(GRAPHS / "phi_3_vision_128k.yaml")) == theirs

    theirs = dict(DEEPSEEK_VL2)
    for layer, (name, shape) in product(range(27), _BLOCK.items()):
        theirs |= {f"vision.blocks.{layer}.{name}.weight": shape, f"vision.blocks.{layer}.{name}.bias": shape[:1]}
    theirs |= keys("language.", made(TEXTS["deepseek_moe_16b_vl2"].config, language=True))
    assert expected(graphvlm.load(GRAPHS / "deepseek_vl2_small.yaml")) == theirs
