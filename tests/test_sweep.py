"""Two thousand random graphs: `pytest tests/test_sweep.py -m sweep -n 2`, then `python -m tests.combining`."""

from __future__ import annotations

import pytest

from .combining.blocks import BLOCKS, block

pytestmark = [pytest.mark.sweep, pytest.mark.usefixtures("one_thread")]


@pytest.mark.parametrize("index", range(BLOCKS))
def test_a_block_of_draws(index: int) -> None:
    failed = [line for line in block(index) if "failed" in line]
    assert not failed, "\n".join(f"{line['number']}: {line['failed']}\n{line['yaml']}" for line in failed)
