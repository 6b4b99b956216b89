"""`fusion/module`: a module of the user's own that joins several streams."""

from __future__ import annotations

from .._own import OwnModule

COMPONENT = OwnModule()
