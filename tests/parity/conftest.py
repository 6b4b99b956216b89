"""Reference models and the packages generated for them, each made once in a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .reference import Reference


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny matrices: more threads cost fifty times what they save."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reference]:
    """The reference model of a case, by name."""
    import torch
    from transformers.models.auto import AutoModelForCausalLM

    from .encoders import ENCODERS
    from .families import FAMILIES
    from .multimodal import MULTIMODAL
    from .reference import build, saved

    folder = tmp_path_factory.mktemp("references")

    def build_reference(name: str) -> Reference:
        torch.manual_seed(0)
        if name in FAMILIES:
            return saved(name, AutoModelForCausalLM.from_config(FAMILIES[name]()), folder)
        if name in ENCODERS:
            return saved(name, ENCODERS[name].make(), folder)
        case = MULTIMODAL.get(name)
        return saved(name, case.make(), folder, case) if case else build(name, folder)

    return cache(build_reference)


@pytest.fixture(scope="session")
def package(reference: Callable[[str], Reference], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """The package of a case: its config imported as a user would, and compiled."""
    import graphvlm
    from graphvlm.importers import import_config

    folder = tmp_path_factory.mktemp("graphs")

    def build_package(name: str) -> Any:
        graph: Path = folder / f"{name}.yaml"
        graph.write_text(import_config(reference(name).directory), encoding="utf-8")
        return graphvlm.compile(graph, overrides=[f"name={name}"])

    return cache(build_package)


@pytest.fixture(scope="session")
def ours(reference: Callable[[str], Reference], package: Callable[[str], Any]) -> Callable[[str], Any]:
    """The generated model of a case, with the weights that the reference saved."""
    return cache(lambda name: package(name).from_pretrained(reference(name).directory).eval())
