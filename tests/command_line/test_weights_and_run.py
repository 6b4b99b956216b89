"""Using graphs: `weights`, `run`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .running import PHOTO, Cli


def write_header(directory: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file without data."""
    header = {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    text = json.dumps(header).encode()
    directory.mkdir()
    (directory / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)


def test_weights_check(cli: Cli, tmp_path: Path) -> None:
    import graphvlm
    from graphvlm import catalog, weights

    shapes = weights.expected(graphvlm.load(catalog.graphs()["tiny"]))
    write_header(tmp_path / "good", shapes)
    done = cli("weights", "check", "tiny", "good")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("fits: ")

    lost = "language_model.lm_head.weight"
    bent = "language_model.model.norm.weight"
    write_header(tmp_path / "bad", {**shapes, bent: (3,), lost + "s": shapes.pop(lost)})
    report = json.loads(cli("weights", "check", "tiny", "bad", "--format", "json").out)
    assert not report["fits"]
    done = cli("weights", "check", "tiny", "bad")
    assert done.code == 1
    assert f"unexpected: {lost}s\n" in done.out
    assert f"misshapen: {bent} is [3], not [40]\n" in done.out


@pytest.mark.slow
def test_run_with_random_weights(cli: Cli) -> None:
    words = ["run", "tiny", "--image", str(PHOTO), "--prompt", "What is this?", "--max-new-tokens", "5"]
    done = cli(*words)
    assert done.code == 0
    assert len([int(token) for token in done.out.split()]) <= 5
    assert "random" in done.err
    assert "tokens/s" in done.err
    assert cli(*words).out == done.out
    sampled = cli(*words, "--temperature", "2", "--top-k", "50", "--seed", "3")
    assert sampled.code == 0
    assert "256" in cli(*words[:2], "--prompt", "x" * 300).err  # longer than the decoder
    assert "--device frobnicator" in cli(*words, "--device", "frobnicator").err


@pytest.mark.slow
def test_run_with_a_checkpoint(cli: Cli, tmp_path: Path) -> None:
    """A checkpoint with a tokenizer and an image processor: text comes out."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    import graphvlm
    from graphvlm import catalog

    module = graphvlm.compile(catalog.graphs()["tiny"])
    module.save_pretrained(module.Model(), tmp_path / "weights")
    words = {f"word{number}": number for number in range(99)} | {"<image>": 99, "<unk>": 100}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=model, unk_token="<unk>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    size = {"height": 56, "width": 56}
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 56}, crop_size=size)
    processor = transformers.LlavaProcessor(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    processor.save_pretrained(tmp_path / "weights")
    done = cli("run", "tiny", "--weights", "weights", "--image", str(PHOTO), "--prompt", "word7 word8")
    assert done.code == 0, done.err
    assert re.search(r"word\d+", done.out)
    assert "random" not in done.err
    misfit = cli("run", "tiny", "nodes.llm.layers=3", "--weights", "weights", "--prompt", "word7")
    assert misfit.code == 2
    assert "missing: language_model.model.layers.2." in misfit.err
