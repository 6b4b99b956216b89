"""What the tests of prompts share."""

from __future__ import annotations

from ..exports.conftest import own_modules

__all__ = ["own_modules"]
