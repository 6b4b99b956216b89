"""Any legal combination of parts: random graphs over every component, and what random graphs have found so far."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, note, settings

import graphvlm
from graphvlm.diagnostics import GraphError

from .combining import demands
from .combining.cases import WHOLE, Case, Verdict, cases, check, draw
from .combining.parts import KNOWN
from .packages import lint, write

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

ROOT = Path(__file__).parents[1]

DECODER: dict[str, Any] = {
    "kind": "decoder",
    "type": "transformer",
    "vocab": 40,
    "dim": 16,
    "max_tokens": 96,
    "norm": "rms",
    "attention": {"heads": 2},
    "mlp": {"hidden": 20},
    "position": "none",
    "layers": 2,
    "inputs": "text",
}
VIT: dict[str, Any] = {
    "kind": "encoder",
    "type": "vit",
    "image": {"size": 8},
    "patch": {"size": 4},
    "position": "learned",
    "dim": 16,
    "layers": 1,
    "norm": "layer",
    "attention": {"heads": 2},
    "mlp": {"hidden": 20},
    "inputs": "pixels",
}


def graph(*, inputs: dict[str, Any], outputs: dict[str, str] | None = None, **nodes: dict[str, Any]) -> dict[str, Any]:
    """A text and a decoder, with other nodes and settings."""
    text = {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids"}
    base: dict[str, Any] = {"text": text, "llm": deepcopy(DECODER)}
    for name, node in nodes.items():
        base[name] = {**base.get(name, {}), **node}
    order = [*(name for name in base if name != "llm"), "llm"]
    return {
        "version": 1,
        "name": "found",
        "inputs": {"input_ids": "tokens", **inputs},
        "nodes": {name: base[name] for name in order},
        "outputs": outputs or {"logits": "llm.logits"},
    }


_CROSS = {"op": "attention", "heads": 2, "kv": "image"}
_EACH = {"count": 2, "each": ["attn", "cross", "mlp"]}

# What drawing graphs at random has found: each was refused without reason, failed, or gave something else.
FOUND: dict[str, dict[str, Any]] = {
    "a norm that is added to one behind a convolution": graph(
        inputs={"pixels": "image"},
        vision=VIT,
        seen={
            "kind": "projector",
            "type": "conv",
            "convolutions": [{"kernel": 3}],
            "inputs": "vision",
            "norm": {"type": "rms", "unit_offset": True},
        },
        fused={"kind": "fusion", "type": "prefix", "inputs": {"text": "text", "image": "seen"}},
        llm={"inputs": "fused"},
    ),
    "bounds in a second feed-forward": graph(
        inputs={},
        llm={
            "sublayers": {"more": {"op": "mlp", "hidden": 12, "gated": True, "clamp": 2.0, "up_offset": 1.0}},
            "layers": {"count": 2, "each": ["attn", "mlp", "more"]},
        },
    ),
    "quick_gelu in linear attention alone": graph(
        inputs={}, llm={"attention": {"linear": {"key_heads": 2, "key_dim": 4, "activation": "quick_gelu"}}}
    ),
    "given embeddings behind an image, beside a text that is only read": graph(
        inputs={"pixels": "image", "given": {"type": "features", "dim": 16}},
        vision=VIT,
        text={"dim": 16, "vocab": 40},
        fused={"kind": "fusion", "type": "prefix", "inputs": {"text": "given", "image": "vision"}},
        llm={"inputs": {"features": "fused", "image": "text"}, "sublayers": {"cross": _CROSS}, "layers": _EACH},
    ),
    "two decoders that see different things of what they attend to": graph(
        inputs={"feats": {"type": "features", "dim": 12, "tokens": 4}, "stands": "mask"},
        first={
            **DECODER,
            "inputs": {"features": "text", "image": "feats", "image_mask": "stands"},
            "sublayers": {"cross": {**_CROSS, "mask": {"present": "image_mask"}, "rows": "image"}},
            "layers": _EACH,
        },
        llm={
            "inputs": {"features": "first.hidden", "image": "feats"},
            "sublayers": {"cross": {**_CROSS, "kv": "image"}},
            "layers": _EACH,
        },
    ),
    "layers of long names whose heads share keys": graph(
        inputs={},
        llm={
            "attention": {"heads": 4, "kv_heads": 2, "head_dim": 4},
            "layers": {
                "count": 3,
                "where": [
                    {"at": [1], "name": "unusual", "attention": {"heads": 2, "head_dim": 6}},
                    {"at": [2], "name": "unusually_long_name", "attention": {"heads": 6, "head_dim": 2}},
                ],
            },
        },
    ),
    "states inside a tower, whose end nobody reads": graph(
        inputs={"pixels": "image"},
        vision={**VIT, "layers": 2, "output": {"taps": [1]}},
        seen={"kind": "projector", "type": "linear", "out": 8, "inputs": "vision.layer_1"},
        outputs={"logits": "llm.logits", "seen": "seen"},
        llm={},
    ),
    "windows of patches that are filled up, beside scores of its own and an activation in plain numbers": graph(
        inputs={"pixels": "image"},
        vision={
            **VIT,
            "attention": {"heads": 2, "softcap": 5.0, "mask": {"grid_window": 2, "edge": "padded"}},
            "mlp": {"hidden": 20, "activation": "quick_gelu"},
            "image": {"size": [8, 12]},
        },
        outputs={"logits": "llm.logits", "seen": "vision"},
        llm={},
    ),
    "a tower without layers whose norm is added to one": graph(
        inputs={"pixels": "image"},
        vision={**VIT, "norm": {"type": "rms", "unit_offset": True}, "input_norm": True, "output": {"layer": 0}},
        outputs={"logits": "llm.logits", "seen": "vision"},
        llm={},
    ),
    "groups of experts for tokens that are marked, of which there may be none": graph(
        inputs={"is_seen": "mask"},
        llm={
            "inputs": {"features": "text", "is_seen": "is_seen"},
            "segments": {"words": {}, "seen": {"where": "is_seen"}},
            "mlp": {
                "hidden": 12,
                "scope": "seen",
                "moe": {"experts": 4, "top": 1, "router": {"groups": 2, "top_groups": 1}},
            },
        },
    ),
    "a window behind an image, where a text is padded on the left": graph(
        inputs={"feats": {"type": "features", "dim": 16}},
        fused={"kind": "fusion", "type": "prefix", "inputs": {"text": "text", "image": "feats"}},
        llm={"inputs": "fused", "attention": {"heads": 2, "window": 3}},
    ),
    "windows and runs behind another segment, where a text is padded on the left": graph(
        inputs={"feats": {"type": "features", "dim": 16, "tokens": 4}},
        llm={
            "inputs": {"image": "feats", "text": "text"},
            "segments": {"image": {}, "text": {}},
            "attention": {"heads": 2, "window": 3},
            "layers": {"count": 3, "where": [{"at": [1], "attention": {"window": None, "mask": {"chunk": 5}}}]},
        },
    ),
    "linear attention there": graph(
        inputs={"feats": {"type": "features", "dim": 16}},
        fused={"kind": "fusion", "type": "prefix", "inputs": {"text": "text", "image": "feats"}},
        llm={"inputs": "fused", "attention": {"linear": {"key_heads": 2, "key_dim": 4}}},
    ),
    "generation behind states inside a tower": graph(
        inputs={"pixels": "image"},
        vision={**VIT, "layers": 2, "output": {"taps": [1]}},
        seen={"kind": "projector", "type": "linear", "inputs": "vision"},
        inner={"kind": "fusion", "type": "prefix", "inputs": {"text": "text", "image": "vision.layer_1"}},
        fused={"kind": "fusion", "type": "prefix", "inputs": {"text": "inner", "image": "seen"}},
        llm={"inputs": "fused"},
    ),
    "generation behind two images for each text": graph(
        inputs={"feats": {"type": "features", "dim": 16}},
        fused={"kind": "fusion", "type": "prefix", "images": 2, "inputs": {"text": "text", "image": "feats"}},
        llm={"inputs": "fused"},
    ),
}


JOINED: tuple[dict[str, Any], ...] = ({}, {"axis": "tokens"}, {"axis": "tokens", "interleave": True})


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_is_mended(name: str, tmp_path: Path) -> None:
    graph = demands.load(FOUND[name])  # which is legal
    check(Case(FOUND[name], batch=2, seq=5, padded=True, slow="saved"))
    write(tmp_path / "found", graphvlm.render(graph))
    assert lint(tmp_path) == ""


def test_as_many_images_as_texts_are_not_twice_as_many() -> None:
    """The same features, once one for each text and once two."""
    first = {"kind": "fusion", "type": "prefix", "images": 2, "inputs": {"text": "text", "image": "feats"}}
    second = {"kind": "fusion", "type": "prefix", "inputs": {"text": "first", "image": "feats"}}
    plain = graph(
        inputs={"feats": {"type": "features", "dim": 16}}, first=first, second=second, llm={"inputs": "second"}
    )
    with pytest.raises(GraphError) as caught:
        demands.load(plain)
    (found,) = caught.value.diagnostics
    assert found.rule == "shape-mismatch"
    assert found.message == "`second.image` takes features of batch images, `feats` gives 2 * batch"


def test_padding_of_a_text_before_another_is_not_read() -> None:
    """On either side of the first text, and its mask is found by itself."""
    first = {"kind": "encoder", "type": "token_embedding", "inputs": "other", "vocab": 40, "dim": 16}
    fused = {"kind": "fusion", "type": "prefix", "inputs": {"text": "text", "image": "first"}}
    made = demands.load(graph(inputs={"other": "tokens"}, first=first, fused=fused, llm={"inputs": "fused"}))
    assert [*made.inputs] == ["input_ids", "other", "attention_mask", "other_mask"]
    model = demands.Subject(made).model.requires_grad_(False)
    ids, other = torch.tensor([[3, 4, 5]]), torch.tensor([[6, 7, 8]])
    expected = model(ids, other).logits
    for side in ((0, 2), (2, 0)):
        mask = torch.nn.functional.pad(torch.ones_like(other), side)
        found = model(ids, torch.nn.functional.pad(other, side, value=9), other_mask=mask).logits
        assert demands.close(found, expected)


@pytest.mark.parametrize("join", [{"type": "add"}, *({"type": "concat", **each} for each in JOINED)], ids=str)
def test_padding_of_joined_features_is_not_read(join: dict[str, Any]) -> None:
    """A clip that is padded beside one that is not, before a text: nobody has to connect its mask."""
    clips: dict[str, Any] = {"kind": "encoder", "type": "audio", "audio": {"bins": 6}, "front": {"strides": [1]}}
    clips |= {key: VIT[key] for key in ("dim", "layers", "norm", "attention", "mlp")} | {"position": "none"}
    made = graph(
        inputs={"one": "audio", "seen": "mask", "other": "audio"},
        first={**clips, "inputs": {"audio": "one", "mask": "seen"}},
        second={**clips, "inputs": "other"},
        both={"kind": "fusion", **join, "inputs": {"a": "first", "b": "second"}},
        wide={"kind": "projector", "type": "linear", "inputs": "both"},
        fused={"kind": "fusion", "type": "prefix", "inputs": {"text": "text", "image": "wide"}},
        llm={"inputs": "fused"},
    )
    model = demands.Subject(demands.load(made)).model.requires_grad_(False)
    ids, one, other = torch.tensor([[3, 4, 5]]), torch.randn(1, 6, 8), torch.randn(1, 6, 8)
    noisy = torch.where(torch.arange(8) == 7, 9.0, one)  # which the convolution brings to no token that is seen
    seen = (torch.arange(8) < 6)[None]
    expected, found = (model(ids, clip, other, seen=seen).logits for clip in (one, noisy))
    assert demands.close(found, expected)
    assert not demands.close(model(ids, noisy, other).logits, expected)


def test_a_number_that_is_none_of_those_listed() -> None:
    """An even kernel: the message is about numbers, as the list is."""
    seen = {"kind": "projector", "type": "conv", "convolutions": [{"kernel": 6}], "inputs": "feats"}
    with pytest.raises(GraphError) as caught:
        demands.load(graph(inputs={"feats": {"type": "features", "dim": 16, "tokens": 4}}, seen=seen))
    (found,) = caught.value.diagnostics
    assert found.rule == "bad-value"
    assert found.message.endswith("not 6")
    assert found.help == "write 5 or 7"


def test_every_component_is_drawn() -> None:
    """A new component is one entry in the table of `tests/combining/parts.py`."""
    folders = (ROOT / "graphvlm" / "components").glob("*/*.py")
    registered = {f"{path.parent.name}/{path.stem}" for path in folders if not path.stem.startswith("_")}
    assert registered == KNOWN


@pytest.mark.parametrize("number", [9000, 9001])
def test_drawn_graphs_compile_and_export(number: int) -> None:
    """One graph without a break, and a program for other sizes; every draw with GRAPHVLM_SWEEP_WHOLE=1 in a sweep."""
    verdict = Verdict()
    check(replace(draw(number), slow=WHOLE), verdict)
    assert verdict.met[-2:] == ["compiled", "exported"]


@settings(max_examples=25)
@given(cases())
def test_any_parts_go_together(case: Case) -> None:
    """Built, run, trained, padded, generated from; or refused by a diagnostic that says why."""
    note(demands.text_of(case.plain))
    check(case, slow=False)
