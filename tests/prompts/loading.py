"""The pages of a prompt as a module, without a model."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import graphvlm
from graphvlm import prompts, rendering
from graphvlm.ir import Graph
from graphvlm.pages.package import prompt_pages

ROOT = Path(__file__).parents[2]


@cache
def graph(name: str) -> Graph:
    return graphvlm.load(ROOT / "graphs" / f"{name}.yaml")


def processor_of(name: str, place: Path) -> ModuleType:
    """The module of the processor of a graph, in a package below `place`."""
    folder = place / f"prompted_{name}"
    folder.mkdir()
    for file, page in prompt_pages(graph(name), "input_ids", "attention_mask").items():
        (folder / file).write_text(rendering.text_of(page))
    for file, value in prompts.preprocessors(graph(name)).items():
        (folder / file).write_text(rendering.json_of(value))
    (folder / "__init__.py").touch()
    spec = importlib.util.spec_from_file_location(folder.name, folder / "__init__.py")
    assert spec is not None
    sys.modules[folder.name] = importlib.util.module_from_spec(spec)
    sys.modules[folder.name].__path__ = [str(folder)]
    return importlib.import_module(f"{folder.name}.processor")
