"""Several segments in one stack, each with weights of its own, against recorded outputs of KempnerForge."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from .oracles import Case, agree, check_gradients, loaded, marks, recorded
from .test_oracles_prefix import joint_decoder

pytestmark = marks("kempnerforge")

SEGMENTS = ("image", "text")
OWN = {
    "layers.*.attn_norm.{}": "layers.*.attn_norm.{}",
    "layers.*.attn.wq.{}": "layers.*.attn.q_proj.{}",
    "layers.*.attn.wk.{}": "layers.*.attn.k_proj.{}",
    "layers.*.attn.wv.{}": "layers.*.attn.v_proj.{}",
    "layers.*.attn.wo.{}": "layers.*.attn.o_proj.{}",
    "layers.*.mlp_norm.{}": "layers.*.mlp_norm.{}",
    "layers.*.mlp.{}.gate": "layers.*.mlp.{}.gate_proj",
    "layers.*.mlp.{}.up": "layers.*.mlp.{}.up_proj",
    "layers.*.mlp.{}.down": "layers.*.mlp.{}.down_proj",
    "norm.{}": "mot_norms.{}",
}
NORMED = {f"layers.*.attn.{name}.{{}}": f"layers.*.attn.{name}.{{}}" for name in ("q_norm", "k_norm")}


def mixture(config: dict[str, Any]) -> dict[str, Any]:
    """The graph for a recorded mixture of transformers: that of the joint decoder, with weights by segment."""
    graph = joint_decoder(config)
    model, llm = config["model"], graph["nodes"]["llm"]
    by = {"weights_by": "segment"}
    llm["segments"] = {"image": {}, "text": {"restart": True}}
    llm |= {"norm": llm["norm"] | by, "attention": llm["attention"] | by, "mlp": llm["mlp"] | by}
    if not model["qk_norm"]:
        llm["attention"]["qk_norm"] = "none"
    names = {"embed": "token_embedding.embedding", "head": "output_head.proj"}
    own = OWN | (NORMED if model["qk_norm"] else {})
    names |= {key.format(each): name.format(each) for each in SEGMENTS for key, name in own.items()}
    llm["checkpoint"] = {"names": names, "ignore": ["norm.weight"]}
    llm["inputs"] = {"image": "adapter", "text": "text"}
    del graph["nodes"]["fused"]
    return graph


def check(model: Any, given: dict[str, Tensor], case: Case) -> None:
    """Blocks, logits, loss and gradients are as recorded."""
    blocks: dict[str, Tensor] = {}
    for index, layer in enumerate(model.llm.layers):
        name = f"tap.transformer.layers.{index}#0"
        layer.register_forward_hook(lambda *found, name=name: blocks.update({name: found[2]}))
    logits = model(**given).logits
    assert agree(logits, case.outputs["logits"])
    assert blocks
    for name, value in blocks.items():
        length = case.inputs["input_ids"].size(1)
        text = case.outputs[name][:, -length:] if name in case.outputs else case.outputs[f"{name}.text"]
        assert agree(value[:, -text.size(1) :], text), name
    loss = F.cross_entropy(logits.flatten(0, 1), case.inputs["labels"].flatten())  # the reference does not shift
    assert agree(loss, case.outputs["loss"])
    torch.autograd.backward(loss)
    check_gradients(model, case)


def test_mixture_of_transformers(tmp_path: Path) -> None:
    case = recorded("kempnerforge/mot", tmp_path)
    model = loaded(mixture(case.config), case)
    unused = model.config.llm.dim  # a norm that nothing goes through
    assert sum(parameter.numel() for parameter in model.parameters()) == case.config["n_parameters"] - unused
    given = {name: case.inputs[name] for name in ("input_ids", "vision_features")}
    check(model, given, case)


def pooling(adapter: dict[str, Any]) -> dict[str, Any]:
    """The nodes of a recorded adapter that pools by attention."""
    cross = {"op": "attention", "heads": adapter["pool_heads"], "bias": True, "kv": "image"}
    pool = {
        "kind": "projector",
        "type": "transformer",
        "inputs": {"image": "vision_features"},
        "segments": {"query": {"window": adapter["pool_window"]}},
        "layers": {"count": 1, "each": ["cross"]},
        "norm": {"type": "layer", "place": "none"},
        "sublayers": {"cross": {**cross, "residual": {"skip": False}}},
        "final_norm": False,
        "checkpoint": {"names": {f"layers.*.cross.w{name}": f"{name}_proj" for name in "qkvo"}},
    }
    linear = {"kind": "projector", "type": "linear", "inputs": "pool"}
    return {"pool": pool, "adapter": {**linear, "checkpoint": {"names": {"linear": "out_proj"}}}}


def test_frames_of_a_video(tmp_path: Path) -> None:
    """Each frame is pooled by attention; some are not there, in one sample all of them."""
    case = recorded("kempnerforge/mot_video", tmp_path)
    graph = mixture(case.config)
    graph["inputs"] |= {"frame_mask": "mask"}
    graph["inputs"]["vision_features"]["tokens"] = case.config["vision"]["num_tokens"]
    graph["nodes"] = {**pooling(case.config["adapter"]), **{k: graph["nodes"][k] for k in ("text", "llm")}}
    graph["nodes"]["llm"]["inputs"] |= {"image_mask": "frame_mask"}
    graph["checkpoint"]["prefixes"] |= {"pool": "adapter."}
    model = loaded(graph, case)
    frames = case.inputs["vision_features"]
    features = model.encode_vision_features(frames.flatten(0, 1))
    assert agree(features, case.outputs["tap.adapter#0"])
    given = {"input_ids": case.inputs["input_ids"], "frame_mask": case.inputs["frame_mask"]}
    check(model, {**given, "encoded_vision_features": features.view(len(frames), -1, features.size(2))}, case)


def test_frames_before_a_text_may_be_missing(tmp_path: Path) -> None:
    """The same weights for both segments: a joint decoder, whose missing frames keep their positions.

    Its pooling has ragged edges, which ours has not: it is done here.
    """
    case = recorded("kempnerforge/joint_decoder_video", tmp_path)
    model, vision = case.config["model"], case.config["vision"]
    graph = joint_decoder(case.config)
    del graph["nodes"]["fused"]
    graph["inputs"] |= {"frame_mask": "mask"}
    graph["inputs"]["vision_features"]["tokens"] = 4 * vision["frames_per_clip"]
    llm = graph["nodes"]["llm"]
    llm |= {"segments": {"image": {}, "text": {}}, "head": {"tied": True}}
    llm |= {"inputs": {"image": "adapter", "image_mask": "frame_mask", "text": "text"}}
    llm |= {"norm": {"type": "layer", "eps": model["norm_eps"]}, "attention": llm["attention"] | {"qk_norm": "none"}}
    grid = case.inputs["vision_features"].flatten(0, 1).transpose(1, 2).reshape(-1, vision["feature_dim"], 3, 3)
    pooled = F.avg_pool2d(grid, 2, ceil_mode=True, count_include_pad=False).flatten(2).transpose(1, 2)
    given = {name: case.inputs[name] for name in ("input_ids", "frame_mask")}
    check(loaded(graph, case), {**given, "vision_features": pooled.reshape(len(given["frame_mask"]), -1, 20)}, case)


@pytest.mark.parametrize("padding", [(0, 0), (2, 0), (0, 3)])
def test_mixture_decodes_token_by_token(padding: tuple[int, int], tmp_path: Path) -> None:
    """The image once, with part of the text, padded on a side or not; then one token of text after the other."""
    case = recorded("kempnerforge/mot", tmp_path)
    model = loaded(mixture(case.config), case)
    ids, expected = case.inputs["input_ids"], case.outputs["logits"]
    left, right = padding
    generate = sys.modules[f"{type(model).__module__.rpartition('.')[0]}.generate"]
    length, size = 5, case.inputs["vision_features"].size(1) + left + right + ids.size(1)
    cache = generate.KVCache(model.config.llm.layers, len(ids), size, ids.device)
    mask = F.pad(torch.ones(len(ids), length), padding)
    with torch.no_grad():
        features = model.encode_vision_features(case.inputs["vision_features"])
        made = [model.decode(F.pad(ids[:, :length], padding), features, mask, cache=cache).logits]
        made[0] = made[0][:, left : left + length]
        made += [model.decode(token, cache=cache).logits for token in torch.split(ids[:, length:], 1, dim=1)]
        assert agree(torch.cat(made, dim=1), expected)
        greedy = generate.generate(model, ids, vision_features=case.inputs["vision_features"], max_new_tokens=3)
        again = model(greedy, vision_features=case.inputs["vision_features"]).logits
    assert torch.equal(again[:, ids.size(1) - 1 : -1].argmax(dim=-1), greedy[:, ids.size(1) :])


def test_without_an_image_its_weights_are_not_read(tmp_path: Path) -> None:
    """A text alone is what the text of a mixture computes where no frame of a video is there."""
    case = recorded("kempnerforge/mot", tmp_path)
    graph = mixture(case.config)
    graph["inputs"]["frame_mask"] = "mask"
    graph["nodes"]["llm"]["inputs"]["image_mask"] = "frame_mask"
    model = loaded(graph, case)
    ids, features = case.inputs["input_ids"], case.inputs["vision_features"]
    with torch.no_grad():
        hidden = model(ids, vision_features=features, frame_mask=torch.zeros(len(ids), 3)).logits
        assert agree(model(ids).logits, hidden)
        seen = model(ids, vision_features=features, frame_mask=torch.ones(len(ids), 3)).logits
        assert agree(seen, case.outputs["logits"])
        with pytest.raises(ValueError, match="9 tokens are not 2 equal runs"):
            model(ids, vision_features=features, frame_mask=torch.ones(len(ids), 2))


MOMA = {
    "layers.*.{}.router": "layers.*.mlp.experts.{}.router.gate",
    "layers.*.{}.experts.*.gate": "layers.*.mlp.experts.{}.experts.*.gate_proj",
    "layers.*.{}.experts.*.up": "layers.*.mlp.experts.{}.experts.*.up_proj",
    "layers.*.{}.experts.*.down": "layers.*.mlp.experts.{}.experts.*.down_proj",
}


def choosing_experts(config: dict[str, Any]) -> dict[str, Any]:
    """The graph for a recorded decoder where experts of each kind of token choose among these."""
    graph = joint_decoder(config)
    llm, vlm = graph["nodes"]["llm"], config["vlm"]
    router = {"chooses": "expert", "score": "sigmoid"}
    router |= {"noise": "gumbel"} if vlm["moma_gumbel_noise"] else {}
    router |= {"capacity": vlm["moma_capacity_factor"]} if vlm["moma_capacity_factor"] else {}
    experts = vlm["moma_experts_per_modality"]
    mlp = {
        name: {**llm["mlp"], "scope": name, "moe": {"experts": experts[name], "router": router}} for name in SEGMENTS
    }
    llm["segments"] = {"image": {}, "text": {}}
    llm["mlp"] = mlp["text"]
    llm["sublayers"] = {"image_mlp": {"op": "mlp", **mlp["image"], "norm": {"place": "shared"}}}
    llm["layers"] = {"count": llm["layers"], "each": ["attn", ["mlp", "image_mlp"]]}
    llm["inputs"] = {"image": "adapter", "text": "text"}
    names = {key: name for key, name in llm["checkpoint"]["names"].items() if ".mlp." not in key}
    for ours, theirs in (("mlp", "text"), ("image_mlp", "image")):
        names |= {key.format(ours): name.format(theirs) for key, name in MOMA.items()}
    llm["checkpoint"] = {"names": names}
    if "frame_mask" in config["vision"] or config["vision"]["frames_per_clip"] > 1:
        graph["inputs"]["frame_mask"] = "mask"
        llm["inputs"]["image_mask"] = "frame_mask"
    del graph["nodes"]["fused"]
    return graph


@pytest.mark.parametrize("name", ["moma", "moma_video"])
def test_experts_choose_their_tokens(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the recorded draws, which come image before text; frames that are not there are not chosen."""
    case = recorded(f"kempnerforge/{name}", tmp_path)
    model = loaded(choosing_experts(case.config), case)
    assert sum(parameter.numel() for parameter in model.parameters()) == case.config["n_parameters"]
    code = sys.modules[type(model.llm).__module__]
    draws = iter(case.inputs[f"rand.gumbel#{number}"] for number in range(16))
    if name == "moma":
        monkeypatch.setattr(code, "gumbel", lambda _: next(draws))
    names = ["input_ids", "vision_features", "frame_mask"]
    given = {key: case.inputs[key] for key in names if key in case.inputs}
    given["vision_features"] = given["vision_features"].flatten(1, -2)  # frame by frame
    check(model.train(), given, case)
    assert name != "moma" or next(draws, None) is None


def test_marked_tokens_are_a_segment_too(tmp_path: Path) -> None:
    """The same mixture in one sequence, whose flags say which tokens are of the image; its positions are given."""
    case = recorded("kempnerforge/mot", tmp_path)
    graph = mixture(case.config)
    graph["nodes"]["fused"] = {"kind": "fusion", "type": "prefix", "inputs": {"image": "adapter", "text": "text"}}
    graph["inputs"]["flags"] = "mask"
    llm = graph["nodes"]["llm"]
    llm["segments"] = {"text": {}, "image": {"where": "image_tokens"}}
    llm["inputs"] = {"features": "fused", "image_tokens": "flags"}
    llm["position"] |= {"type": "mrope", "sections": [1, 1, 2]}
    model = loaded(graph, case)
    ids, image = case.inputs["input_ids"], model.adapter(case.inputs["vision_features"])
    count, length = image.size(1), ids.size(1)
    x = torch.cat((image, model.text(ids)), dim=1)
    flags = (torch.arange(count + length) < count).expand(len(ids), -1).long()
    places = torch.cat((torch.arange(count), torch.arange(length))).expand(3, len(ids), -1)
    logits = model.llm.head(model.llm(x, None, flags, places, None)[:, count:])
    assert agree(logits, case.outputs["logits"])
    loss = F.cross_entropy(logits.flatten(0, 1), case.inputs["labels"].flatten())
    torch.autograd.backward(loss)
    check_gradients(model, case)
