"""The text model classes of transformers that can be imported, by model type."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .tables import ConfigTable
from .text_kind import TextKind
from .texts import (
    by_kind,
    chunked,
    cohere,
    crossed,
    deepseek,
    experts,
    gemma,
    glm,
    gpt_oss,
    granite,
    indexed,
    kindred,
    layer_norm,
    linear,
    llama,
    olmo,
    phi,
    plain,
    sloped,
    spatial,
)

_MODULES = (
    llama,
    experts,
    olmo,
    gemma,
    phi,
    glm,
    layer_norm,
    cohere,
    granite,
    deepseek,
    indexed,
    kindred,
    gpt_oss,
    linear,
    spatial,
    plain,
    chunked,
    crossed,
    sloped,
    by_kind,
)

TEXT_KINDS: Mapping[str, TextKind] = MappingProxyType(
    {kind.table.model_type: kind for module in _MODULES for kind in module.KINDS}
)
TEXT_TABLES: Mapping[str, ConfigTable] = MappingProxyType({name: kind.table for name, kind in TEXT_KINDS.items()})
