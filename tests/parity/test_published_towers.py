"""Parts of models that no class of `transformers` is, read from files with the key names that were published.

MoonViT's names are those that `transformers` itself writes for Kimi K2.5, which has the same tower. RICE's were written
from the layout that its model was published in, and a torch module with Qwen-VL's names has the keys of its resampler.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import graphvlm
from graphvlm.diagnostics import Source

from ..running import packaged, randomise
from ..test_placed_queries import stretched
from . import test_class_token_tower as rice
from . import test_turning_tower as moon
from .agreement import LIMIT, relative_error

pytestmark = pytest.mark.slow


def part(name: str, inputs: str, more: str = "", nodes: str = "", output: str = "part") -> Any:
    """The package of a graph of a part of the catalog, with some settings of it changed."""
    text = f"""
version: 1
name: published
inputs: {inputs}
nodes:
  part: {{use: {name}, {more}}}
{nodes}
outputs: {{features: {output}}}
"""
    return packaged(graphvlm.load(Source("published.yaml", text)))


_NATIVE = "inputs: {patches: patches, grid: grid}, dim: 48, layers: 3, attention: {heads: 4}, mlp: {hidden: 40}"
_PATCHES = "{patches: patches, grid: grid}"


def test_moon_vit_reads_what_is_written_for_it(tmp_path: Path) -> None:
    """Rows of queries and keys pair by pair, the square of positions with two axes."""
    from transformers.models.kimi_k25.configuration_kimi_k25 import Kimi_K25Config
    from transformers.models.kimi_k25.modeling_kimi_k25 import Kimi_K25ForConditionalGeneration

    tower = moon.tower()
    text = {"model_type": "deepseek_v3", "num_hidden_layers": 1, "hidden_size": 16, "vocab_size": 8}
    text |= {"num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 8, "first_k_dense_replace": 1}
    text |= {"n_routed_experts": 4, "n_group": 1, "topk_group": 1, "kv_lora_rank": 4, "q_lora_rank": 4}
    text |= {"qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 4, "moe_intermediate_size": 8}
    config: Any = Kimi_K25Config
    make: Any = Kimi_K25ForConditionalGeneration
    whole = make(config(text_config=text, vision_config=tower.config.to_dict(), projection_hidden_size=48))
    whole.model.vision_tower.load_state_dict(tower.state_dict())
    whole.save_pretrained(tmp_path)
    # it writes patches below `encoder`, where it does not look for the positions beside them
    written = {
        name.replace("encoder.patch_embed", "patch_embed"): value
        for name, value in load_file(tmp_path / "model.safetensors").items()
    }
    save_file(written, tmp_path / "model.safetensors")
    assert written["vision_tower.patch_embed.pos_emb.weight"].shape == (8, 8, 48)
    assert written["vision_tower.encoder.blocks.2.wqkv.weight"].shape == (144, 48)

    square = "position: [{type: learned, side: 8, interpolation: bicubic, align: corners}"
    turns = "{type: rope2d, theta: 10000.0, order: turns, style: interleaved}]"
    package = part("encoder/moon_vit_so400m_14", _PATCHES, f"{_NATIVE}, {square}, {turns}")
    ours = package.from_pretrained({"part": tmp_path}, dtype=torch.float32).eval()
    grid = torch.tensor([[1, 4, 6], [1, 10, 2], [1, 8, 8]])
    patches = torch.randn(int(grid.prod(dim=1).sum()), 3 * 14 * 14, generator=torch.Generator().manual_seed(5))
    order = torch.cat(list(moon.by_block(grid)))
    with torch.no_grad():
        expected = tower(patches.reshape(-1, 3, 14, 14), grid_thw=grid).last_hidden_state[order]
        assert relative_error(ours(patches[order], grid).features.reshape(expected.shape), expected) <= LIMIT
    package.save_pretrained(ours, tmp_path / "again")
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert again
    assert all(torch.equal(value, written[name.replace("part.", "vision_tower.")]) for name, value in again.items())


RICE = {
    "embeddings.patch_embedding.": "patch_embed.proj.",
    "embeddings.class_embedding": "class_embedding",
    "pre_layrnorm.": "pre_layernorm.",
    "encoder.layers.": "blocks.",
    ".layer_norm1.": ".norm1.",
    ".layer_norm2.": ".norm2.",
    ".self_attn.out_proj.": ".attn.proj.",
}


def published_rice(tower: Any) -> dict[str, Tensor]:
    """The weights of the reference under the names of RICE, queries, keys and values in one matrix."""
    weights = {name.removeprefix("vision_model."): each.detach() for name, each in tower.named_parameters()}
    found = dict[str, Tensor]()
    for name, value in weights.items():
        if "q_proj" in name:
            joined = torch.cat([weights[name.replace("q_proj", f"{each}_proj")] for each in "qkv"])
            found[name.replace(".self_attn.q_proj.", ".attn.qkv.")] = joined
        elif not any(each in name for each in ("k_proj", "v_proj", "post_layernorm")):
            found[name] = value
    for old, new in RICE.items():
        found = {name.replace(old, new): value for name, value in found.items()}
    return {f"visual.{name}": value for name, value in found.items()}


def test_rice_reads_published_names_and_sees_frames_as_images(tmp_path: Path) -> None:
    tower = rice.tower()
    save_file(published_rice(tower), tmp_path / "model.safetensors")
    more = f"{_NATIVE}, norm: {{eps: 2.0e-3}}, patch: {{group: 1}}"
    ours = part("encoder/rice_vit_l_14", _PATCHES, more).from_pretrained({"part": tmp_path}, dtype=torch.float32)
    images = torch.randn(4, 3, 42, 42, generator=torch.Generator().manual_seed(5))
    patches = images.reshape(4, 3, 3, 14, 3, 14).permute(0, 2, 4, 1, 3, 5).reshape(36, -1)
    with torch.no_grad():
        expected = tower(images).last_hidden_state[:, 1:].flatten(0, 1)
        made = ours(patches, torch.tensor([[1, 3, 3], [2, 3, 3], [1, 3, 3]])).features[0]
    assert relative_error(made, expected) <= LIMIT


class Resampler(nn.Module):
    """Qwen-VL's, from its description: named as in its files."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(9, 24))
        self.pos_embed = nn.Parameter(stretched(3, 3, 3))
        self.kv_proj = nn.Linear(14, 24, bias=False)
        self.attn = nn.MultiheadAttention(24, 3)
        self.ln_q, self.ln_kv = nn.LayerNorm(24, eps=1e-6), nn.LayerNorm(24, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x, q = self.ln_kv(self.kv_proj(x)).transpose(0, 1), self.ln_q(self.query)
        queries = (q + stretched(3, 3, 3)).unsqueeze(1).expand(-1, x.size(1), -1)
        found: Tensor = self.attn(queries, x + stretched(3, 5, 5).unsqueeze(1), x, need_weights=False)[0]
        return found.transpose(0, 1)


class Visual(nn.Module):
    """What stands behind Qwen-VL's tower."""

    def __init__(self) -> None:
        super().__init__()
        self.attn_pool, self.ln_post = Resampler(), nn.LayerNorm(24, eps=1e-6)
        self.proj = nn.Parameter(torch.zeros(24, 24))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.ln_post(self.attn_pool(x)) @ self.proj
        return found


def test_qwen_vl_resampler_reads_published_names(tmp_path: Path) -> None:
    """With the maps before and behind it, each a node of its own."""
    visual = Visual()
    randomise(visual)
    save_file(
        {f"transformer.visual.{name}": each for name, each in visual.state_dict().items()},
        tmp_path / "model.safetensors",
    )
    beside = """
  wide: {kind: projector, type: linear, bias: false, out: 24, inputs: seen,
    checkpoint: {names: {linear: attn_pool.kv_proj}}}
  turned: {kind: projector, type: linear, bias: false, out: 24, inputs: part,
    checkpoint: {names: {linear.weight: proj}, transposed: [linear]}}
checkpoint: {prefixes: {part: transformer.visual., wide: transformer.visual., turned: transformer.visual.}}
"""
    more = "inputs: {image: wide}, dim: 24, segments: {query: {learned: 9}}, sublayers: {cross: {heads: 3}}"
    package = part(
        "projector/qwen_vl_resampler", "{seen: {type: features, dim: 14, tokens: 25}}", more, beside, "turned"
    )
    ours = package.from_pretrained(tmp_path, dtype=torch.float32)
    seen = torch.randn(2, 25, 14, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert relative_error(ours(seen).features, visual(seen)) <= LIMIT
