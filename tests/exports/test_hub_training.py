"""A graph of parts that no library has together, trained by TRL from its directory for transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from .directories import PROMPT, loaded, prompted

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread", "own_cache", "own_modules")]

# Convolutions over the features of images, two layers with linear attention, and sinks in the third.
PARTS = (
    "nodes.projector={layers: null, activation: null, type: conv, grid: [4, 4]}",
    "nodes.projector.convolutions=[{kernel: 1}, {kernel: 3}]",
    "nodes.llm.attention.linear={key_heads: 2, value_heads: 4, key_dim: 6, value_dim: 10}",
    "nodes.llm.layers={count: 3, where: [{name: full, at: [1], attention: {linear: null, sinks: true}}]}",
)


def test_trl_trains_it_on_chats_with_images(tmp_path: Path) -> None:
    """Two steps of `SFTTrainer`, which calls the processor and the model by itself; every weight moves."""
    reason = "pip install trl datasets (tested with trl 1.16)"
    trl, datasets = (pytest.importorskip(name, reason=reason) for name in ("trl", "datasets"))
    from PIL import Image
    from transformers import AutoProcessor

    folder = prompted(tmp_path / "x", overrides=(*PROMPT, *PARTS))
    model = loaded(folder)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    image = Image.effect_noise((60, 50), 64).convert("RGB")
    asked = [{"type": "image", "text": None}, {"type": "text", "text": "hello"}]
    messages = [{"role": "user", "content": asked}, {"role": "user", "content": asked[1:]}]
    arguments = trl.SFTConfig(
        output_dir=str(tmp_path / "trained"),
        max_steps=2,
        per_device_train_batch_size=2,
        learning_rate=0.1,
        max_length=None,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
    )
    trainer = trl.SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=datasets.Dataset.from_list([{"images": [image], "messages": messages}] * 4),
        processing_class=AutoProcessor.from_pretrained(folder, trust_remote_code=True),
    )
    assert trainer.train().global_step == 2
    assert [name for name, tensor in model.named_parameters() if torch.equal(tensor, before[name])] == []
