"""Attention at each place of all frames, then within each frame, against LAVIS and `transformers`: TimeSformer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import graphvlm
from graphvlm.diagnostics import GraphError, Source
from graphvlm.weights import expected

from .oracles import ORACLES, VALUES, loaded, recorded
from .running import packaged

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

TOWER: dict[str, Any] = {
    "kind": "encoder",
    "type": "video_vit",
    "inputs": "video",
    "image": {"size": 24},
    "frames": 3,
    "patch": {"size": 8, "bias": True},
    "class_token": True,
    "dim": 24,
    "layers": {"count": 2, "each": ["time", "attn", "mlp"]},
    "norm": {"type": "layer", "eps": 1e-6},
    "attention": {"heads": 3, "bias": True, "mask": "frame"},
    "mlp": {"hidden": 96, "activation": "gelu", "bias": True},
    "sublayers": {"time": {"op": "attention", "heads": 3, "bias": True, "mask": "place", "out_maps": 2}},
}
_ATTENTION = ("wq", "wk", "wv")
LAVIS = {
    "patch": "patch_embed.proj",
    "class_token": "cls_token",
    "position": "pos_embed",
    "time": "time_embed",
    "layers.*.time_norm": "blocks.*.temporal_norm1",
    **{f"layers.*.time.{each}": "blocks.*.temporal_attn.qkv" for each in _ATTENTION},
    "layers.*.time.wo": "blocks.*.temporal_attn.proj",
    "layers.*.time.wo_2": "blocks.*.temporal_fc",
    "layers.*.attn_norm": "blocks.*.norm1",
    **{f"layers.*.attn.{each}": "blocks.*.attn.qkv" for each in _ATTENTION},
    "layers.*.attn.wo": "blocks.*.attn.proj",
    "layers.*.mlp_norm": "blocks.*.norm2",
    "layers.*.mlp.up": "blocks.*.mlp.fc1",
    "layers.*.mlp.down": "blocks.*.mlp.fc2",
}


def graph(**changes: Any) -> dict[str, Any]:
    tower = {**TOWER, **changes}
    return {
        "version": 1,
        "name": "divided",
        "inputs": {"video": "video"},
        "nodes": {"vision": tower},
        "outputs": {"features": "vision"},
    }


@pytest.mark.skipif(not (ORACLES / "lavis").is_dir(), reason=f"NOT COMPARED: no recordings of lavis in {ORACLES}")
def test_lavis(tmp_path: Path) -> None:
    case = recorded("lavis/timesformer", tmp_path)
    leading = {"class_token": 2, "position": 1, "time": 1}
    whole = graph(checkpoint={"names": LAVIS, "leading": leading}) | {"checkpoint": {"prefixes": {"vision": "model."}}}
    model = loaded(whole, case).eval()
    with torch.no_grad():
        made = model(case.inputs["video"].transpose(1, 2)).features
    expected = case.outputs["tap.model.norm#0"]
    assert (made - expected).abs().max() <= VALUES * expected.abs().max()
    # what its features are: the patches at each place, averaged over the frames
    places = made[:, 1:].reshape(3, 9, 3, 24).mean(dim=2)
    expected = case.outputs["features"]
    assert (torch.cat((made[:, :1], places), dim=1) - expected).abs().max() <= VALUES * expected.abs().max()


@pytest.mark.parametrize("kind", ["divided_space_time", "joint_space_time"])
def test_transformers(kind: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    from .parity.agreement import LIMIT, relative_error
    from .parity.reference import randomise

    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3}
    config = transformers.TimesformerConfig(
        **sizes, image_size=24, patch_size=8, num_frames=4, layer_norm_eps=2e-3, attention_type=kind
    )
    reference = transformers.TimesformerModel(config).eval()
    randomise(reference)
    reference.save_pretrained(tmp_path)
    changes: dict[str, Any] = {"frames": 4, "norm": {"type": "layer", "eps": 2e-3}}
    changes |= {"mlp": {**TOWER["mlp"], "hidden": 40}}
    names: dict[str, Any] = {"use": "checkpoint/timesformer"}
    if kind == "joint_space_time":
        changes |= {"layers": 2, "sublayers": {}, "attention": {"heads": 3, "bias": True}}
        shipped = yaml.safe_load((Path(__file__).parents[1] / "graphs/catalog/checkpoint/timesformer.yaml").read_text())
        names = {"names": {key: name for key, name in shipped["names"].items() if "*.time" not in key}}
        names |= {"leading": shipped["leading"]}
    whole = graph(**changes, checkpoint=names) | {"checkpoint": {"prefixes": {"vision": ""}}}
    resolved = graphvlm.load(Source("divided.yaml", yaml.safe_dump(whole)))
    model: Any = packaged(resolved).from_pretrained(tmp_path).eval()
    video = torch.randn(2, 4, 3, 24, 24, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert relative_error(model(video).features, reference(video).last_hidden_state) <= LIMIT


def test_actions(tmp_path: Path) -> None:
    """The ready graph that tells what somebody does in a clip; tiny, and at its full size without numbers."""
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    from .parity.agreement import LIMIT, relative_error
    from .parity.reference import randomise

    with torch.device("meta"):
        whole = transformers.TimesformerForVideoClassification(transformers.TimesformerConfig(num_labels=400))
    keys = {key: tuple(tensor.shape) for key, tensor in whole.state_dict().items()}
    shipped = Path(__file__).parents[1] / "graphs" / "timesformer_k400.yaml"
    assert expected(graphvlm.load(shipped)) == keys
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3}
    config = transformers.TimesformerConfig(**sizes, image_size=24, patch_size=8, num_frames=4, num_labels=7)
    reference = transformers.TimesformerForVideoClassification(config).eval()
    randomise(reference)
    reference.save_pretrained(tmp_path)
    small = "{image: {size: 24}, patch: {size: 8}, frames: 4, dim: 24, layers: {count: 2}, attention: {heads: 3}"
    tower = f"nodes.vision={small}, mlp: {{hidden: 40}}, sublayers: {{time: {{heads: 3}}}}}}"
    model: Any = packaged(graphvlm.load(shipped, overrides=[tower, "nodes.classes.classes=7"])).from_pretrained(
        tmp_path
    )
    video = torch.randn(2, 4, 3, 24, 24, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert relative_error(model.eval()(video).logits, reference(video).logits) <= LIMIT


@pytest.mark.parametrize("own", [True, False])
def test_the_mean_of_each_place_over_frames(own: bool) -> None:
    """With a class token before them, or without one."""
    plain, pooled = (
        packaged(graphvlm.load(Source("divided.yaml", yaml.safe_dump(graph(class_token=own, pool=pool))))).Model()
        for pool in ("none", "frames")
    )
    pooled.load_state_dict(plain.state_dict())
    video = torch.randn(2, 3, 3, 24, 24, generator=torch.Generator().manual_seed(3))
    whole = plain(video).features
    places = whole[:, int(own) :].reshape(2, 9, 3, 24).mean(dim=2)
    torch.testing.assert_close(pooled(video).features, torch.cat((whole[:, : int(own)], places), dim=1))


def test_masks_of_images_are_not_those_of_videos() -> None:
    with pytest.raises(GraphError, match="have a frame and a place"):
        graphvlm.load(Source("divided.yaml", yaml.safe_dump(graph(attention={"heads": 3, "mask": "image"}))))


def test_what_comes_in_at_a_port_has_no_place() -> None:
    sublayers = {"time": {"op": "attention", "heads": 3, "kv": "other", "mask": "place"}}
    whole = graph(sublayers=sublayers, inputs={"video": "video", "other": "seen"})
    whole["inputs"]["seen"] = {"type": "features", "dim": 24}
    with pytest.raises(GraphError):
        graphvlm.load(Source("divided.yaml", yaml.safe_dump(whole)))


def test_places_are_those_of_videos() -> None:
    whole = graph() | {"inputs": {"video": "image"}}
    tower = {key: value for key, value in TOWER.items() if key not in ("frames", "sublayers")}
    own = {"type": "vit", "position": "none", "layers": 1, "attention": {"heads": 3, "mask": "place"}}
    whole["nodes"] = {"vision": {**tower, **own}}
    with pytest.raises(GraphError, match="this node reads none"):
        graphvlm.load(Source("divided.yaml", yaml.safe_dump(whole)))
