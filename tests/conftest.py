"""What all tests share: a cache of their own, one thread, the same examples every time, `--update-golden`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every machine; `HYPOTHESIS_PROFILE=search` looks for new ones, and for longer.
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
settings.register_profile("fixed", derandomize=True, deadline=None, database=None, suppress_health_check=_SLOW)
settings.register_profile("search", deadline=None, suppress_health_check=_SLOW, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden/ with what is built now")


# What runs and compiles graphs does so with these by default; with the others when `-m long` asks for it.
USUAL_GRAPHS = frozenset(
    (
        *("tiny", "llava_1_5_7b", "llava_onevision_qwen2_7b", "siglip2_qwen3_8b", "prefix_clip_llama", "qwen2_5_vl_7b"),
        *("llama_3_2_vision_11b", "qwen2_audio_7b", "blip2_opt_2_7b", "gemma_3_4b", "deepseek_v3", "gpt_oss_20b"),
        *("qwen3_next_80b_a3b", "t5_base", "bert_base", "kempnerforge_mot_7b", "llama_4_scout"),
    )
)
# Of these, what is exported to other sizes and run with every pass on and off: the most costly tests of all.
FEW_GRAPHS = frozenset(("tiny", "llava_1_5_7b", "qwen2_5_vl_7b", "llama_3_2_vision_11b", "deepseek_v3", "t5_base"))
COSTLY = frozenset(("test_an_exported_program_takes_other_sizes", "test_outputs_are_equal", "test_gradients_are_equal"))
USUAL_FAMILIES = frozenset(
    ("llava", "qwen2_vl", "qwen3_next", "deepseek_v3", "gemma3", "mllama", "llama4", "idefics2", "llava_next")
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sweeps and what takes long run when they are asked for, whatever else is left out."""
    asked = str(config.getoption("-m"))
    for item in items:
        if _is_long(item):
            item.add_marker("long")
    marks = [mark for mark in ("sweep", "long") if mark not in asked]
    left_out = [item for item in items if any(map(item.get_closest_marker, marks))]
    config.hook.pytest_deselected(items=left_out)
    gone = set(map(id, left_out))
    items[:] = [item for item in items if id(item) not in gone]


def _is_long(item: pytest.Item) -> bool:
    """Whether a test runs one graph of many, and others show the same."""
    file, name = item.path.stem, item.name.partition("[")[0]
    given = getattr(item, "callspec", _NONE).params.values()
    values = {value.removeprefix("small_") for value in given if isinstance(value, str)}
    if file in ("test_compile_export", "test_generation", "test_passes", "test_generated_code", "test_parallel"):
        from .running import SHIPPED

        usual = FEW_GRAPHS if name in COSTLY else USUAL_GRAPHS
        return bool(values & set(SHIPPED)) and not values & usual
    if name == "test_one_graph_when_compiled":
        return item.name.partition("[")[2].rstrip("]") not in USUAL_FAMILIES
    return file == "test_bfloat16"


class _NONE:
    params: ClassVar[dict[str, object]] = {}


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Packages that tests compile stay out of the cache of the person who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHVLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """Tiny matrices: more threads cost fifty times what they save."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
