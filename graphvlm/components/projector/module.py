"""`projector/module`: a module of the user's own from features to features."""

from __future__ import annotations

from .._own import OwnModule

COMPONENT = OwnModule()
