"""`encoder/module`: a module of the user's own that encodes something."""

from __future__ import annotations

from .._own import OwnModule

COMPONENT = OwnModule()
