"""Directories for transformers, each written once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from graphvlm.exporters.hub import Exported, Options, export

from .directories import golden


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, own_cache: None) -> Callable[[str], Exported]:
    """Directories by the name of a golden graph; each is written, and loaded by another process, once."""
    del own_cache
    found: dict[str, Exported] = {}

    def get(name: str) -> Exported:
        if name not in found:
            folder = tmp_path_factory.mktemp("hub") / f"{name}_hf"
            found[name] = export(golden(name), folder, Options(), lambda _: None)
        return found[name]

    return get


PLACE: list[str] = []


@pytest.fixture(scope="session")
def own_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Code that is loaded is copied to a place of its own: one a session, as what is imported from there stays."""
    import transformers

    transformers.logging.set_verbosity_error()
    if not PLACE:  # several folders of tests have this fixture, each their own
        PLACE.append(str(tmp_path_factory.mktemp("modules")))
    place = PLACE[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", place)
        patch.syspath_prepend(place)
        yield
