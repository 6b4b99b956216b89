"""The findings of all importers, under the name that this room knows them by."""

from ..findings import Findings

__all__ = ["Findings"]
