"""Models of a hundred billion parameters and more over hundreds of ranks, of which one is there: laid out on meta."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import graphvlm
from graphvlm.catalog import graphs
from graphvlm.diagnostics import Source
from graphvlm.planning import Workload, device, plan

from .packages import python

# A mixture the size of DeepSeek-V3 that reads images.
MIXTURE = """
version: 1
extends: {deepseek}
name: mixture
inputs: {{pixel_values: image}}
nodes:
  vision: {{use: encoder/siglip2_so400m_patch14_384, inputs: pixel_values}}
  projector: {{kind: projector, type: mlp, layers: 2, activation: gelu, inputs: vision}}
  fused:
    kind: fusion
    type: scatter
    inputs: {{text: text, image: projector, ids: input_ids}}
    placeholder: {{image: 129000}}
  llm: {{inputs: fused}}
checkpoint: null
"""
CASES = {
    "llama_3_2_vision_90b": ("replicate: 4, dp: 16, tp: 8", "vision: {tp: 2}, llm: {recompute: block}"),
    "mixture": ("dp: 8, ep: 64, tp: 4", "vision: {tp: 2}, projector: {tp: 1}"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_what_a_rank_holds(name: str, tmp_path: Path) -> None:
    """To the byte what the plan says, in four gigabytes and two minutes."""
    mesh, nodes = CASES[name]
    own = Source("mixture.yaml", MIXTURE.format(deepseek=graphs()["deepseek_v3"]))
    source = own if name == "mixture" else graphs()[name]
    changes = [f"parallelism={{mesh: {{{mesh}}}, nodes: {{{nodes}}}}}"]
    found = plan(graphvlm.load(source, overrides=changes), Workload(), device("h200-141g"))
    began = time.monotonic()
    graphvlm.build(source, tmp_path, overrides=changes)
    said = json.loads(
        python("-m", "tests.at_scale", str(tmp_path), name, json.dumps(dict(found.mesh))).splitlines()[-1]
    )
    assert said["held"] == found.memory.weights
    assert said["memory"] < 4e9
    assert time.monotonic() - began < 120
    assert found.ranks == {"llama_3_2_vision_90b": 512, "mixture": 2048}[name]
