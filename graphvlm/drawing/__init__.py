"""Drawings of a graph as SVG: pure text out, no external program, the same bytes for the same picture.

`draw` takes a `Picture` (titles, boxes and wires, already in words) and gives an SVG document. Nothing here knows the
graph language: what a box says is decided by whoever makes the picture.
"""

from .picture import KINDS, Box, Kind, Picture, Wire, human_count
from .svg import Theme, draw

__all__ = ["KINDS", "Box", "Kind", "Picture", "Theme", "Wire", "draw", "human_count"]
