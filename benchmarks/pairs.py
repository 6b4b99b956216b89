"""Training on pairs made on the spot: `python -m benchmarks.pairs`. Losses fall, and images find their texts.

Images of one coloured shape at one place, and what they show in words. The ready graphs `albef_pretrain` and
`blip_pretrain`, at a small size, learn by likeness, matching and masked tokens or captions. Retrieval is among texts
that all differ. Curves and numbers go to `benchmarks/results/pairs.svg` and `.md`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import graphvlm
from graphvlm.catalog import graphs

RESULTS = Path(__file__).parent / "results"
SIZES = ("small", "large")
COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0), "white": (1, 1, 1)}
SHAPES = ("square", "circle", "cross")
ROWS, COLUMNS = ("top", "bottom"), ("left", "right")
CAPTIONS = tuple(itertools.product(SIZES, COLOURS, SHAPES, ROWS, COLUMNS))
WORDS = (*("<pad>", "<cls>", "<sep>", "<mask>", "<dec>", "<enc>"), *SIZES, *COLOURS, *SHAPES, *ROWS, *COLUMNS)
SPECIAL = 6
SIDE = 32


def tokens(caption: tuple[str, ...]) -> list[int]:
    """The ids of a caption between a beginning and an end."""
    return [1, *map(WORDS.index, caption), 2]


def picture(caption: tuple[str, ...], generator: torch.Generator) -> Tensor:
    """An image of what a caption says [3, SIDE, SIDE]: shifted a little, on a noisy ground."""
    size, colour, shape, row, column = caption
    shift = torch.randint(-2, 3, (2,), generator=generator)
    middle = torch.tensor([SIDE // 4 * (1 if row == "top" else 3), SIDE // 4 * (1 if column == "left" else 3)]) + shift
    half = 3 if size == "small" else 6
    down, right = (torch.arange(SIDE) - place for place in middle)
    inside = (down.abs()[:, None] <= half) & (right.abs() <= half)
    if shape == "circle":
        inside = down.square()[:, None] + right.square() <= half**2
    elif shape == "cross":
        inside &= (down.abs()[:, None] <= half // 3) | (right.abs() <= half // 3)
    ground = 0.3 * torch.randn(3, SIDE, SIDE, generator=generator)
    image: Tensor = ground + 2 * torch.tensor(COLOURS[colour])[:, None, None] * inside
    return image


def batch(captions: list[tuple[str, ...]], generator: torch.Generator) -> dict[str, Tensor]:
    """What both graphs read; a caption of any length would bring padding, and these are all as long."""
    ids = torch.tensor([tokens(caption) for caption in captions])
    images = torch.stack([picture(caption, generator) for caption in captions])
    return {"image": images, "input_ids": ids, "attention_mask": torch.ones_like(ids)}


def masked(ids: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Some words masked, and these as labels."""
    chosen = (torch.rand(ids.shape, generator=generator) < 0.3) & (ids >= SPECIAL)
    return {"masked_ids": ids.masked_fill(chosen, 3), "masked_labels": ids.masked_fill(~chosen, -100)}


def small(name: str, steps: int) -> list[str]:
    """The overrides that make a ready graph small."""
    stack = {
        "vocab": len(WORDS),
        "dim": 64,
        "max_tokens": 16,
        "attention": {"heads": 4},
        "mlp": {"hidden": 128},
        "sublayers": {"cross": {"heads": 4}},
    }
    layers: dict[str, Any] = {"count": 4}
    if name.startswith("albef"):
        layers |= {"run": [0, 2], "where": [{"name": "fusion", "range": [2, 4], "each": ["attn", "cross", "mlp"]}]}
    nodes: dict[str, Any] = {
        "vision": {
            "image": {"size": SIDE},
            "patch": {"size": 8},
            "dim": 64,
            "layers": 3,
            "attention": {"heads": 4},
            "mlp": {"hidden": 128},
        },
        "text": stack | {"layers": layers},
        "image_vector": {"out": 32},
        "queue": {"size": 32},
        "itc": {"distill": {"steps": steps}},
    }
    if name.startswith("albef"):
        nodes |= {"mlm": {"distill": {"steps": steps}}, "fused": {"layers": [2, 4]}, "text_teacher": {"layers": [0, 2]}}
        nodes |= {"masked": {"layers": [0, 4]}, "masked_teacher": {"layers": [0, 4]}}
    else:
        nodes |= {"decoder": stack | {"layers": layers}, "decoder_ids": {"token": 4}, "pair_ids": {"token": 5}}
    return [f"nodes.{node}={json.dumps(changes)}" for node, changes in nodes.items()]


@torch.no_grad()
def recall(model: Any, generator: torch.Generator) -> float:
    """The share of images whose own text is the likeliest of all that there are."""
    given = batch(list(CAPTIONS), generator)
    images = model.image_vector(model.vision(given["image"]))
    words = model.words(given["input_ids"])
    albef = not hasattr(model, "decoder")
    hidden = model.text(words, given["attention_mask"]) if albef else model.text(words, None, given["attention_mask"])
    best = (images @ model.text_vector(hidden).T).argmax(dim=1)
    return float((best == torch.arange(len(best))).float().mean())


def train(name: str, steps: int) -> Iterator[dict[str, float]]:
    """One row a report: the losses, as means since the last one, and the recall."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = graphvlm.compile(graphs()[name], overrides=small(name, steps)).Model().train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.02)
    kinds = ("itc", "itm", "mlm" if name.startswith("albef") else "lm")
    sums, every = dict.fromkeys(kinds, 0.0), max(1, steps // 20)
    yield {"step": 0, "recall": recall(model, generator)}
    for step in range(steps):
        drawn = torch.randperm(len(CAPTIONS), generator=generator)[:32].tolist()
        given = batch([CAPTIONS[index] for index in drawn], generator)
        ids = given["input_ids"]
        given |= masked(ids, generator) if "mlm" in kinds else {"caption_labels": ids}
        model.begin_step(step)
        output = model(**given)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        sums = {kind: sums[kind] + getattr(output, kind).item() for kind in kinds}
        if (step + 1) % every == 0:
            means = {kind: total / every for kind, total in sums.items()}
            sums = dict.fromkeys(kinds, 0.0)
            yield {"step": step + 1, **means, "recall": recall(model, generator)}


def drawn(curves: dict[str, list[dict[str, float]]]) -> str:
    """The curves of all graphs as an SVG: one panel each, every curve in parts of its largest value."""
    width, height, gap = 360, 200, 60
    colours = {"itc": "#4583e0", "itm": "#c67f10", "mlm": "#8760d9", "lm": "#8760d9", "recall": "#5fa33a"}
    parts = []
    for index, (name, rows) in enumerate(curves.items()):
        left = gap + index * (width + gap)
        parts.append(f'<rect x="{left}" y="40" width="{width}" height="{height}" fill="none" stroke="#8593a6"/>')
        parts.append(f'<text x="{left}" y="28" font-weight="600">{name}</text>')
        last = rows[-1]["step"]
        for place, kind in enumerate(key for key in rows[-1] if key != "step"):
            found = [(row["step"], row[kind]) for row in rows if kind in row]
            top = 1.0 if kind == "recall" else max(value for _, value in found)
            points = " ".join(f"{left + width * x / last:.1f},{40 + height * (1 - y / top):.1f}" for x, y in found)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colours[kind]}" stroke-width="2"/>')
            label = f"{kind} {found[0][1]:.2f} to {found[-1][1]:.2f}"
            x, y = left + width // 2 * (place % 2), 60 + height + 18 * (place // 2)
            parts.append(f'<text x="{x}" y="{y}" fill="{colours[kind]}">{label}</text>')
    size = f'width="{gap + len(curves) * (width + gap)}" height="300"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">'
    return "\n".join((head, '<rect width="100%" height="100%" fill="#ffffff"/>', *parts, "</svg>\n"))


def table(curves: dict[str, list[dict[str, float]]], seconds: float) -> str:
    """Beginning and end of every curve."""
    chance = 1 / len(CAPTIONS)
    lines = [f"One of {len(CAPTIONS)} texts belongs to an image: chance is {chance:.3f}. {seconds:.0f} s in all.\n"]
    lines += ["| graph | steps | what | first | last |", "|---|---:|---|---:|---:|"]
    for name, rows in curves.items():
        for kind in (key for key in rows[-1] if key != "step"):
            values = [row[kind] for row in rows if kind in row]
            lines.append(f"| {name} | {rows[-1]['step']} | {kind} | {values[0]:.3f} | {values[-1]:.3f} |")
    return "\n".join((*lines, "", "![the curves](pairs.svg)", ""))


def main() -> None:
    """Train both graphs and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    torch.set_num_threads(1)  # sizes are small: more threads wait for each other
    began = time.monotonic()
    curves: dict[str, list[dict[str, float]]] = {}
    for name in ("albef_pretrain", "blip_pretrain"):
        curves[name] = []
        for row in train(name, asked.steps):
            curves[name].append(row)
            print(name, {key: round(value, 3) for key, value in row.items()}, flush=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "pairs.svg").write_text(drawn(curves), encoding="utf-8")
    (asked.out / "pairs.md").write_text(table(curves, time.monotonic() - began), encoding="utf-8")


if __name__ == "__main__":
    main()
