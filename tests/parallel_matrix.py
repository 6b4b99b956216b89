"""Families by layouts on four processes: `python -m tests.parallel_matrix [GRAPH ...]` prints what equals one process.

Layouts can be named too: `python -m tests.parallel_matrix pp pp+tp tiny`.
A cell is `pass`, the diagnostic that refuses the layout, or `FAIL` with how far the worst gradient is off.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import torch

import graphvlm
from graphvlm.blocks.settings import Attention, Mlp

from .laid_out import reference
from .open_sizes import Sizes
from .running import GRAPHS, inputs, loaded, shrinking, sizes, small

FAMILIES = (
    *("tiny", "llava_1_5_7b", "siglip2_qwen3_8b", "prefix_clip_llama", "qwen2_5_vl_7b", "gemma_3_4b"),
    *("llama_3_2_vision_11b", "kempnerforge_mot_7b", "kempnerforge_moma_7b", "deepseek_v3", "gpt_oss_20b"),
    *("qwen3_next_80b_a3b", "llama_4_scout", "t5_base", "blip2_opt_2_7b", "qwen2_audio_7b"),
    *("qwen3_vl_8b", "minimax_text_01", "bloom_7b1"),
)
# Layout -> the mesh, and settings of decoders and of towers.
LAYOUTS = MappingProxyType(
    {
        "fsdp": ("dp: 4", "", ""),
        "tp": ("dp: 2, tp: 2", "", ""),
        "tp towers 1": ("dp: 2, tp: 2", "", "tp: 1"),
        "tp+sp": ("dp: 2, tp: 2", "sequence: true", "tp: 1"),
        "images": ("dp: 2, tp: 2", "", "images: shard"),
        "ep": ("dp: 2, ep: 2", "", ""),
        "ep+tp": ("dp: 1, ep: 2, tp: 2", "", "tp: 1"),
        "cp": ("dp: 2, cp: 2", "", ""),
        "hsdp": ("replicate: 2, dp: 2", "", ""),
        "recompute": ("dp: 4", "recompute: block", "recompute: block"),
        "pp": ("pp: 2, dp: 2", "", ""),
        "pp+tp": ("pp: 2, tp: 2", "", "tp: 1"),
        "pp+sp": ("pp: 2, tp: 2", "sequence: true", "tp: 1"),
        "pp+cp": ("pp: 2, dp: 1, cp: 2", "", ""),
    }
)
SECONDS = 300
# In float32 these are off by more than 1e-5 by roundings alone: small vectors are made to have length one.
DOUBLE = frozenset(("qwen3_next_80b_a3b",))
# Each rank draws noise of its own: without it, there is something to compare.
QUIET = MappingProxyType(
    {
        "kempnerforge_moma_7b": (
            "nodes.llm.mlp.moe.router.noise=none",
            "nodes.llm.sublayers.image_mlp.moe.router.noise=none",
        )
    }
)


def even(name: str) -> Iterator[str]:
    """The overrides by which ranks can share the heads and experts of the small form: no odd numbers of them.

    Small forms have odd sizes to show what counts on even ones; here the layout is what is looked at.
    """
    for node in small(name).owners:
        stack = node.spec.stack
        ops = [s.op for kind in stack.kinds for s in kind.sublayers] if stack else []
        attentions = [op for op in ops if isinstance(op, Attention)]
        if any(op.heads % 2 and not op.cross for op in attentions):
            wide = f"dim: {max(32, stack.dim)}" if stack else ""
            yield f"nodes.{node.name}={{{wide}, attention: {{heads: 4}}}}"
        if any(isinstance(op, Mlp) and op.moe and op.moe.experts % 2 for op in ops):
            yield f"nodes.{node.name}.mlp.moe.experts=6"
        for sublayer in (s for kind in stack.kinds for s in kind.sublayers) if stack else ():
            if sublayer.name != "attn" and isinstance(sublayer.op, Attention) and sublayer.op.heads % 2:
                kv = ", kv_heads: 2" if sublayer.op.kv_heads != sublayer.op.heads else ""
                yield f"nodes.{node.name}.sublayers.{sublayer.name}={{heads: 4{kv}}}"


def settings(name: str, layout: str) -> str:
    """The override that lays a graph out."""
    mesh, decoders, towers = LAYOUTS[layout]
    nodes = {node.name: decoders if node.kind == "decoder" else towers for node in loaded(name).owners}
    if "images" in towers:  # of the towers alone
        nodes = {each: "images: shard" if loaded(name).nodes[each].type == "vit" else "" for each in nodes}
        nodes |= {node.name: "tp: 1" for node in loaded(name).owners if node.kind == "projector"}
    own = ", ".join(f"{node}: {{{words}}}" for node, words in nodes.items() if words)
    return f"parallelism={{mesh: {{{mesh}}}, nodes: {{{own}}}}}"


def row(name: str, layouts: list[str]) -> Iterator[str]:
    """The cells of one family."""
    with TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        found = {layout: _built(name, layout, Path(folder)) for layout in layouts}
        sys.path.remove(folder)
        _run(Path(folder), *(cell for refused, cell in found.values() if not refused))
        for refused, cell in found.values():
            yield refused or _cell(Path(folder), cell)


def _built(name: str, layout: str, folder: Path) -> tuple[str, str]:
    """Why a layout is refused, or the name of the package that is ready to be compared."""
    kind = "double_" if name in DOUBLE else ""
    cell = f"{kind}{name}_{layout}".replace(" ", "_").replace("+", "_")
    changes = (*shrinking(name), *even(name), *QUIET.get(name, ()), settings(name, layout), f"name={cell}")
    try:
        graph = graphvlm.load(GRAPHS / f"{name}.yaml", overrides=changes)
    except graphvlm.GraphError as error:
        return error.diagnostics[0].rule, cell
    graphvlm.build(GRAPHS / f"{name}.yaml", folder, overrides=changes)
    if kind:
        in_double(folder / cell)
    known = _sizes(name) if {"sp", "cp"} & {*layout.split("+")} else sizes(small(name))
    batches = [inputs(small(name), known, seed=seed) for seed in range(4)]
    if "pp" in graph.parallelism.mesh:
        tokens = next(each for each in ("decoder_input_ids", "input_ids") if each in batches[0])
        batches = [{**batch, "labels": batch[tokens]} for batch in batches]
    torch.set_default_dtype(torch.float64 if kind else torch.float32)
    torch.save(reference(import_module(cell), batches), folder / f"{cell}.pt")
    torch.set_default_dtype(torch.float32)
    (folder / f"{cell}.mesh.json").write_text(json.dumps(dict(graph.parallelism.mesh)))
    return "", cell


def in_double(package: Path) -> None:
    """Let a package calculate in float64 where it was written to in float32."""
    for file in package.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        text = text.replace("torch.float32", "torch.float64").replace(".float()", ".double()")
        # As packages do: of other types torch divides twice what a group of one rank sums.
        text = text.replace("reduce_dtype=torch.float64", "reduce_dtype=torch.float32")
        file.write_text(text, encoding="utf-8")


def _sizes(name: str) -> Sizes:
    """Sizes for which ranks can share the tokens of the decoder: an even number."""
    graph = small(name)
    decoder = next(node for node in graph.nodes.values() if node.kind == "decoder")
    segments = decoder.spec.stack.segments if decoder.spec.stack else ()
    ports = [each.name for each in segments if each.name in decoder.inputs] or [decoder.signature.stream]
    streams = [decoder.signature.inputs[port].shape[1] for port in ports]
    found = [sizes(graph, seq=seq) for seq in (8, 9)]
    return next((each for each in found if sum(map(each.evaluate, streams)) % 2 == 0), found[0])


def _cell(folder: Path, cell: str) -> str:
    """What four processes found; if they ended before, they try this one alone."""
    found = folder / f"{cell}.found.json"
    why = "" if found.exists() else _run(folder, cell)
    if not found.exists():
        return f"FAIL ({why})"
    off = max(json.loads(found.read_text())["off"].values())
    return "pass" if off <= 1e-5 else f"FAIL ({off:.0e})"


def _run(folder: Path, *cells: str) -> str:
    """Four processes compare these; what went wrong, in a few words."""
    launch = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4")
    try:
        subprocess.run(
            (*launch, "-m", "tests.laid_out", str(folder), *cells), capture_output=True, check=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return "no end"
    except subprocess.CalledProcessError as error:
        lines = (line.partition("Error: ")[2] for line in error.stderr.decode().splitlines() if "Error: " in line)
        return next(filter(None, lines), "without a word")[:60]
    return ""


def main(*names: str) -> None:
    """Print the table as Markdown."""
    layouts = [name for name in names if name in LAYOUTS] or [*LAYOUTS]
    print(f"| | {' | '.join(layouts)} |\n|{'---|' * (len(layouts) + 1)}")
    for name in [name for name in names if name not in LAYOUTS] or FAMILIES:
        print(f"| {name} | {' | '.join(row(name, layouts))} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
