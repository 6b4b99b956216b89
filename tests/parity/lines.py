"""How long generated code is, beside the files of the reference that it replaces.

`python -m tests.parity.lines` writes `docs/lines.md`. Of a package count `model.py` and the files of its nodes; of the
reference every `modeling_*.py` that defines a module of the model, as built on the meta device.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import graphvlm
from graphvlm.importers.huggingface.models import ARCHITECTURES

from ..published import MODELS, TEXTS, Published

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "lines.md"
SHARED = frozenset(
    ("__init__.py", "config.py", "checkpoint.py", "generate.py", "parallel.py", "sampling.py", "paged.py")
)
FAMILIES = {"deepseek_v3": TEXTS["deepseek_v3"], "qwen3_next_80b_a3b": TEXTS["qwen3_next_80b_a3b"]}
FAMILIES |= {"gpt_oss_20b": TEXTS["gpt_oss_20b"], "mixtral_8x7b": TEXTS["mixtral_8x7b"], **MODELS}


class Row(NamedTuple):
    """One model: lines of its package, lines of the reference, and the files of the latter."""

    name: str
    ours: int
    theirs: int
    files: tuple[str, ...]


def row(name: str, published: Published) -> Row:
    """Both counts of a shipped graph; empty lines and comments count."""
    rendered = graphvlm.render(graphvlm.load(ROOT / "graphs" / f"{name}.yaml"))
    own = [text for file, text in rendered.items() if file.endswith(".py") and file not in SHARED]
    files = modeling_files(published.config)
    theirs = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
    return Row(name, sum(len(text.splitlines()) for text in own), theirs, tuple(path.stem for path in files))


def modeling_files(config: dict[str, Any]) -> list[Path]:
    """The files of `transformers.models` that define the modules of a model, its own first."""
    import torch
    import transformers

    made = transformers.AutoConfig.for_model(**json.loads(json.dumps(config)))
    with torch.device("meta"):
        model = getattr(transformers, ARCHITECTURES[config["model_type"]])(made)
    modules = dict.fromkeys(type(module).__module__ for module in model.modules())
    return [Path(str(sys.modules[name].__file__)) for name in modules if name.startswith("transformers.models.")]


def page() -> str:
    """The text of the document."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    import transformers

    yield "# Lines of code"
    yield ""
    yield f"What a package has to be read for, beside transformers {transformers.__version__}: the lines of `model.py`"
    yield "and of the files of its nodes, and those of the modeling files that the model is built from there. Empty"
    yield "lines, comments and docstrings count on both sides; configs, checkpoints, generation and plans on neither."
    yield "`python -m tests.parity.lines` writes this page."
    yield ""
    yield "| graph | package | transformers | ratio | its files |"
    yield "|---|---:|---:|---:|---|"
    for name, published in FAMILIES.items():
        found = row(name, published)
        files = ", ".join(f"`{file}`" for file in found.files)
        yield f"| {name} | {found.ours:,} | {found.theirs:,} | {found.theirs / found.ours:.1f} | {files} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
    print(page(), end="")
