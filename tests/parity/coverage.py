"""Which multimodal model types of the installed `transformers` can be imported, and with what proof.

`python -m tests.parity.coverage` prints the table and writes `docs/coverage.md`, as `pytest --update-golden` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from graphvlm.importers.huggingface.models import ENCODERS, TEXT
from graphvlm.importers.huggingface.models import MULTIMODAL as IMPORTED

from .missing import MISSING, PARTLY

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"

State = Literal["parity", "imported", "refused"]


class Row(NamedTuple):
    """One model type. `note` is how many configurations are compared, or what is missing."""

    model_type: str
    state: State
    note: str


def rows() -> list[Row]:
    """A row for every type, in alphabetical order: those that `AutoModelForMultimodalLM` knows, and others imported."""
    from .multimodal import MULTIMODAL

    compared = Counter(case.config().model_type for case in MULTIMODAL.values())
    return [_row(name, compared[name]) for name in sorted({*known(), *IMPORTED})]


def text_rows() -> list[Row]:
    """A row for every text model type that is imported."""
    from .encoders import ENCODERS as CASES
    from .families import FAMILIES
    from .reference import TEXT_CASES

    compared = Counter(config().model_type for config in (*TEXT_CASES.values(), *FAMILIES.values()))
    compared += Counter(case.make().config.model_type for case in CASES.values())
    return [_row(name, compared[name]) for name in sorted({*TEXT, *ENCODERS})]


def known() -> tuple[str, ...]:
    """The multimodal model types of `transformers`."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES

    return tuple(MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES)


def _row(name: str, compared: int) -> Row:
    if name not in IMPORTED and name not in TEXT and name not in ENCODERS:
        return Row(name, "refused", MISSING.get(name, "nobody has looked at it"))
    if not compared:
        return Row(name, "imported", "no configuration is compared yet")
    note = f"{compared} configuration{'s' if compared > 1 else ''} compared"
    return Row(name, "parity", f"{note}; {PARTLY[name]}" if name in PARTLY else note)


def page() -> str:
    """The text of the document."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    import transformers

    found = rows()
    count = Counter(row.state for row in found)
    yield "# Which models can be imported"
    yield ""
    yield f"All {len(known())} multimodal model types of transformers {transformers.__version__} that"
    yield "`AutoModelForMultimodalLM` knows, and whatever else is imported. `python -m tests.parity.coverage` writes"
    yield "this page, and a test compares it with the importers and the parity tests."
    yield ""
    yield f"- **parity**: {count['parity']}. Logits, greedy tokens with the cache and written checkpoints are those of"
    yield "  the reference, for tiny odd configurations with every parameter random."
    yield f"- **imported**: {count['imported']}. A config gives a graph, and nothing compares what that computes."
    yield f"- **refused**: {count['refused']}. `graphvlm import` says so; what is missing is in the last column."
    yield ""
    yield from _table(found)
    texts = text_rows()
    yield ""
    yield "## Text models alone"
    yield ""
    equal = sum(row.state == "parity" for row in texts)
    yield f"{len(texts)} types are imported, {equal} of them with parity; any other is refused."
    yield ""
    yield from _table(texts)


def _table(found: list[Row]) -> Iterator[str]:
    yield "| `model_type` | state | |"
    yield "|---|---|---|"
    yield from (f"| `{row.model_type}` | {row.state} | {row.note} |" for row in found)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
    print(page(), end="")
