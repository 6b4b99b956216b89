"""Published models: the parts and the graphs that are shipped are what these say, of as many parameters."""

from __future__ import annotations

from .codebooks import CODEBOOKS
from .encoders import ENCODER_DECODERS, MASKED, TEXT_ENCODERS
from .families import FAMILIES
from .images import IMAGES
from .latents import LATENTS
from .llamas import LARGER, LLAMAS
from .native import NATIVE
from .packed import PACKED
from .queried import QUERIED
from .record import Published
from .sounds import SOUNDS
from .texts import TEXTS as _TEXTS

# decoders: part -> what was published
TEXTS: dict[str, Published] = {**_TEXTS, **LATENTS, **LARGER, **FAMILIES, **PACKED}
# models of several modalities: graph -> what was published
MODELS: dict[str, Published] = {**IMAGES, **CODEBOOKS, **QUERIED, **NATIVE, **SOUNDS}

__all__ = ["ENCODER_DECODERS", "LLAMAS", "MASKED", "MODELS", "TEXTS", "TEXT_ENCODERS", "Published"]
