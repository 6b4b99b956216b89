"""Weights in fewer bits in a directory: transformers loads it, torchao quantises, transformers writes it again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..quantising import GROUP

# Run by itself: what converts is what people load with, and nothing of graphvlm.
_CHILD = """
import json, logging, sys, warnings
warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
sys.modules["graphvlm"] = None
import torch, transformers
from torchao import quantization as ao
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
folder, made, asked = sys.argv[1:]
asked = json.loads(open(asked).read())
kinds = {
    "int8": ao.Int8WeightOnlyConfig,
    "float8": ao.Float8WeightOnlyConfig,
    "int4": lambda: ao.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=ao.PerGroup(asked["group"])),
}
config = transformers.TorchAoConfig(kinds[asked["kind"]](), modules_to_not_convert=asked["kept"])
auto = getattr(transformers, asked["auto"])
model = auto.from_pretrained(folder, trust_remote_code=True, quantization_config=config)
model.save_pretrained(made, max_shard_size="5GB")
"""


def put_in(folder: Path, kind: str, kept: Sequence[str]) -> None:
    """Replace the weights of a directory, and write into its config what transformers needs to load them."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    auto = next(name for name in config["auto_map"] if name not in ("AutoConfig", "AutoModel"))
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        asked, made = Path(place) / "asked.json", Path(place) / "made"
        asked.write_text(json.dumps({"kind": kind, "kept": [*kept], "auto": auto, "group": GROUP}), encoding="utf-8")
        command = [sys.executable, "-c", _CHILD, str(folder.resolve()), str(made), str(asked)]
        alone = {**os.environ, "HF_MODULES_CACHE": place}
        ended = subprocess.run(command, capture_output=True, check=False, text=True, cwd=place, env=alone)
        if ended.returncode:
            raise RuntimeError(f"transformers does not quantise {folder}:\n{ended.stderr[-2000:]}")
        for old in folder.glob("model*.safetensors*"):
            old.unlink()
        for new in made.glob("model*.safetensors*"):
            new.replace(folder / new.name)
        written = json.loads((made / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = written["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8", newline="\n")
