"""Which multimodal model types of the installed `transformers` can be imported, and with what proof.

`python -m tests.parity.coverage` prints the table and writes `docs/coverage.md`, as `pytest --update-golden` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from graphvlm.importers.huggingface.missing import MISSING
from graphvlm.importers.huggingface.models import ENCODERS, TEXT
from graphvlm.importers.huggingface.models import MULTIMODAL as IMPORTED

from ..published import ENCODER_DECODERS, LLAMAS, MASKED, MODELS, TEXT_ENCODERS, TEXTS

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"

State = Literal["parity", "tiny", "imported", "refused"]


class Row(NamedTuple):
    """One model type. `note` is how many configurations are compared, or what is missing.

    `sizes` are the published models whose checkpoint keys and shapes are compared on the meta device.
    """

    model_type: str
    state: State
    note: str
    sizes: tuple[str, ...] = ()


def rows() -> list[Row]:
    """A row for every type, in alphabetical order: those that `AutoModelForMultimodalLM` knows, and others imported."""
    from .multimodal import MULTIMODAL

    compared = Counter(case.config().model_type for case in MULTIMODAL.values())
    return [_row(name, compared[name]) for name in sorted({*known(), *IMPORTED})]


def text_rows() -> list[Row]:
    """A row for every text model type that is imported."""
    from .encoder_decoders import CASES as ENCODER_DECODER_CASES
    from .encoders import ENCODERS as CASES
    from .families import FAMILIES
    from .reference import TEXT_CASES

    compared = Counter(config().model_type for config in (*TEXT_CASES.values(), *FAMILIES.values()))
    compared += Counter(case.make().config.model_type for case in CASES.values())
    compared += Counter(make().config.model_type for make in ENCODER_DECODER_CASES.values())
    return [_row(name, compared[name]) for name in sorted({*TEXT, *ENCODERS})]


def known() -> tuple[str, ...]:
    """The multimodal model types of `transformers`."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES

    return tuple(MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES)


def published(model_type: str) -> tuple[str, ...]:
    """The published models of a type whose keys `test_full_size.py` compares."""
    found = [(name, config) for name, (config, _) in LLAMAS.items()]
    tables = (TEXTS, TEXT_ENCODERS, MASKED, ENCODER_DECODERS, MODELS)
    found += [(name, each.config) for table in tables for name, each in table.items()]
    return tuple(name for name, config in found if config["model_type"] == model_type)


def _row(name: str, compared: int) -> Row:
    if name not in IMPORTED and name not in TEXT and name not in ENCODERS:
        return Row(name, "refused", MISSING.get(name, "nobody has looked at it"))
    sizes = published(name)
    if not compared:
        return Row(name, "imported", "no configuration is compared yet", sizes)
    note = f"{compared} configuration{'s' if compared > 1 else ''} compared"
    return Row(name, "parity" if sizes else "tiny", note, sizes)


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
    yield "  the reference, for tiny odd configurations with every parameter random; and for the published models that"
    yield "  are named, at their full sizes, the keys and shapes of checkpoints are exactly the reference's."
    yield f"- **tiny**: {count['tiny']}. The first alone."
    yield f"- **imported**: {count['imported']}. A config gives a graph, and nothing compares what that computes."
    yield f"- **refused**: {count['refused']}. `graphvlm import` says so; what is missing is in the last column."
    yield ""
    yield from _table(found)
    texts = text_rows()
    yield ""
    yield "## Text models alone"
    yield ""
    states = Counter(row.state for row in texts)
    yield f"{len(texts)} types are imported, {states['parity']} of them with parity, {states['tiny']} as tiny"
    yield "configurations alone; any other is refused."
    yield ""
    yield from _table(texts)


def _table(found: list[Row]) -> Iterator[str]:
    yield "| `model_type` | state | published models | |"
    yield "|---|---|---|---|"
    yield from (f"| `{row.model_type}` | {row.state} | {', '.join(row.sizes)} | {row.note} |" for row in found)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
    print(page(), end="")
