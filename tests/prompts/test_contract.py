"""The processors of directories are what vLLM asks for; checks that could not fail would be worth nothing."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ..exports import contract_processor as contract
from .test_directories import SEEN, directory
from .test_images import SIZES, given, picture
from .tokenizing import tokenizer as words_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_modules")]


USUAL = ("llava_1_5_7b", "internvl3_8b")
OTHERS = ("llava_v1_6_mistral_7b", *(name for name in SEEN if name not in USUAL))


@pytest.fixture(params=[*USUAL, *(pytest.param(name, marks=pytest.mark.long) for name in OTHERS)])
def processor(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Of images of one size, of tiles by several strategies, and of images that keep their shape."""
    return directory(request.param, words_of(given(request.param)), tmp_path / "x")


def test_every_clause(processor: Any) -> None:
    assert contract.broken(processor, [picture(*SIZES[0]), picture(*SIZES[1])]) == {}


def bent(clause: str, processor: Any) -> Any:
    """A processor that breaks a clause."""
    kind, found = type(processor), processor._get_num_multimodal_tokens
    every: dict[str, dict[str, Any]] = {
        "parts_are_named": {"image_processor": None},
        "sizes_are_bounded": {"image_processor": SimpleNamespace(size={"width": 5})},
        "images_are_counted_ahead": {"_get_num_multimodal_tokens": lambda self, **_: found(image_sizes=[(9, 9)] * 2)},
        "pieces_are_rows": {"_get_num_multimodal_tokens": lambda self, **_: SimpleNamespace(num_image_patches=[1, 1])},
        "replacements_are_told": {"get_text_with_replacements": lambda self, text, *_: (text, [])},
        "keys_are_known": {"model_input_names": property(lambda self: ["input_ids", "attention_mask"])},
    }
    changed, made = every[clause], copy(processor)
    made.__class__ = type(kind.__name__, (kind,), {name: each for name, each in changed.items() if callable(each)})
    for name, each in changed.items():
        if isinstance(each, property):
            setattr(made.__class__, name, each)
        elif not callable(each):
            setattr(made, name, each)
    return made


@pytest.mark.parametrize("clause", [each.__name__ for each in contract.CLAUSES])
def test_a_clause_that_is_broken_is_found(clause: str, tmp_path: Path) -> None:
    """Of tiles, of which large images have more."""
    name = "internvl3_8b"
    processor = bent(clause, directory(name, words_of(given(name)), tmp_path / "x"))
    asked = next(each for each in contract.CLAUSES if each.__name__ == clause)
    assert [*asked(processor, [picture(*SIZES[0]), picture(*SIZES[1])])] != []
