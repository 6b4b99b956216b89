"""Fields that many text configs of Hugging Face have in common."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# transformers 4 wrote `rope_theta` beside `rope_scaling`, version 5 writes both into `rope_parameters`.
ROPE: dict[str, Any] = {
    "rope_parameters": None,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "partial_rotary_factor": None,
    "original_max_position_embeddings": None,
}

# The loss that balances the experts in training.
ROUTER_LOSS = frozenset({"output_router_logits", "router_aux_loss_coef"})

# A bias of queries, keys and values alone.
QKV: Mapping[str, bool | str] = MappingProxyType({"q": True, "k": True, "v": True, "o": False})
