"""What `transformers` itself has wrong, put right in the reference; each is shown by a test of `test_reference.py`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def mend(model: nn.Module) -> None:
    """Mend a reference in place; most have nothing to mend."""
    module: Any
    for module in model.modules():
        kind = type(module).__name__
        if kind == "Llama4TextDecoderLayer":
            _count_from_the_first_token(module)
        elif kind == "MllamaVisionModel":
            # The states that Meta takes go into these layers; the class takes those that come out.
            module.intermediate_layers_indices = [index - 1 for index in module.intermediate_layers_indices]
        elif kind == "MllamaCrossAttentionDecoderLayer":
            _nothing_seen(module)
        elif kind == "Ovis2VisionModel":
            _fill_squares(module)
        elif kind == "Llama4VisionRotaryEmbedding":
            # Complex numbers, of which `Module.to` with a type has dropped a part.
            module.freqs_ci = module._compute_freqs_ci(module.config)


def _nothing_seen(layer: Any) -> None:
    """Tokens that see no image stay as they are; the class lets them see all images evenly in the attention."""
    rows: list[torch.Tensor | None] = []

    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rows[:] = [kwargs["full_text_row_masked_out_mask"]]

    def clear(_: nn.Module, args: tuple[Any, ...], output: tuple[torch.Tensor, Any]) -> tuple[torch.Tensor, Any]:
        seen = rows[0]
        return output if seen is None else (output[0] * seen[:, 0], output[1])

    layer.register_forward_pre_hook(note, with_kwargs=True)
    layer.cross_attn.register_forward_hook(clear)


def _fill_squares(tower: Any) -> None:
    """Rows and columns of patches that fill no square are filled up with zeros, as in the original.

    The class does this to a list of patches, as if it were a square already, and fails.
    """

    def fill(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        tokens = output.last_hidden_state
        side = round(tokens.size(1) ** 0.5)
        more = -side % tower.config.hidden_stride
        square = nn.functional.pad(tokens.unflatten(1, (side, side)), (0, 0, 0, more, 0, more))
        output.last_hidden_state = square.flatten(1, 2)
        return output

    tower.transformer.register_forward_hook(fill)


def _count_from_the_first_token(layer: Any) -> None:
    """Temperatures of queries go by where a token stands in its row.

    The class counts the padding on the left too, so that a row says something else beside a longer one; rotary
    positions and chunks do not. Meta's own code has no padding there.
    """
    attention = layer.self_attn
    if attention.use_rope or not attention.attn_temperature_tuning:
        return
    attention.attn_temperature_tuning = False
    places: list[torch.Tensor] = []

    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        places[:] = [kwargs["position_ids"]]

    def scale(_: nn.Module, args: tuple[Any, ...], q: torch.Tensor) -> torch.Tensor:
        steps = torch.floor((places[0].float() + 1.0) / attention.floor_scale)
        factor: torch.Tensor = torch.log1p(steps) * attention.attn_scale + 1.0
        return (q * factor[:, :, None]).to(q.dtype)

    layer.register_forward_pre_hook(note, with_kwargs=True)
    # There is neither a rotation nor a norm between this projection and the scores.
    attention.q_proj.register_forward_hook(scale)
