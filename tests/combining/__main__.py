"""`python -m tests.combining` sums up what `pytest -m sweep` wrote; with numbers, it shrinks those draws."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .blocks import FOLDER
from .cases import draw, shrink
from .demands import text_of


def main(arguments: list[str]) -> int:
    """Print the table, or the draw of each number and what it shrinks to."""
    for number in map(int, arguments):
        print(text_of(draw(number).plain))
        shrink(number)
    if not arguments:
        print("\n".join(table()))
    return 0


def table() -> Iterator[str]:
    """Draws, what they met, the rules that refused them, failures."""
    lines: list[dict[str, Any]] = [
        line for path in sorted(FOLDER.glob("*.json")) for line in json.loads(path.read_text("utf-8"))
    ]
    met = Counter(name for line in lines for name in line["met"])
    refused = Counter(rule for line in lines for rule in {*line["refused"]})
    failed = [line for line in lines if "failed" in line]
    yield f"{len(lines)} draws, {sum(bool(line['refused']) for line in lines)} refused, {len(failed)} failed"
    yield ", ".join(f"{name} {count}" for name, count in met.items())
    yield ", ".join(f"{rule} {count}" for rule, count in refused.most_common())
    for line in failed:
        yield f"{line['number']}: {line['failed']}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
