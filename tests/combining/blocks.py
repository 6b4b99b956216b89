"""A sweep in blocks of draws, each a file: what is there already is not drawn again."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from .cases import WHOLE, draw, examine, record

# Where the results are; empty the folder to draw all again.
FOLDER = Path(os.environ.get("GRAPHVLM_SWEEP", Path(__file__).parents[2] / ".sweep"))
# Whether every draw is compiled and exported, at seven seconds of a processor each, not one in twenty and in forty.
WHOLE_SWEEP = bool(os.environ.get("GRAPHVLM_SWEEP_WHOLE"))
SIZE, BLOCKS = 25, 80


def block(index: int) -> list[dict[str, Any]]:
    """The records of `SIZE` draws."""
    path = FOLDER / f"block_{index:03}.json"
    if not path.exists():
        found = [_one(number) for number in range(index * SIZE, (index + 1) * SIZE)]
        FOLDER.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found, indent=1), encoding="utf-8")
        part.replace(path)
    lines: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return lines


def _one(number: int) -> dict[str, Any]:
    case = draw(number)
    if WHOLE_SWEEP:
        case = replace(case, slow=WHOLE)
    return record(number, case, examine(case))
