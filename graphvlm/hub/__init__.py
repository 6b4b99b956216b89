"""The profile `hf`: a graph as a directory that `transformers`, and the engines that serve its models, load by code.

Templates in `codegen_templates/hf` lie over those of the package: what is not there is as it is in the package. What
the engines ask for is in `docs/design/hub.md`.
"""

from __future__ import annotations

from .fitting import deployed
from .pages import make
from .placing import Place, places, prepared
from .reading import started, writes
from .roles import input_names
from .weights import names

__all__ = ["Place", "deployed", "input_names", "make", "names", "places", "prepared", "started", "writes"]
