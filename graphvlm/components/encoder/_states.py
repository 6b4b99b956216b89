"""Which hidden states of an encoder leave it, and as what."""

from __future__ import annotations

from ...blocks.parse import layer_count
from ...diagnostics import Label
from ...dims import Dim, Many, Sum, Var
from ...problems import Problems
from ...settings import Settings


def tap_port(tap: int) -> str:
    """The output with the hidden states after so many layers."""
    return f"layer_{tap}"


def tapped(settings: Settings) -> tuple[int, ...]:
    """After how many layers hidden states leave it as outputs of their own."""
    return tuple(int(tap) for tap in settings.get("output", "taps", default=[]))


def check_taps(name: str, settings: Settings, problems: Problems) -> None:
    """Note a tap behind the last layer."""
    count = layer_count(settings)
    wrong = next((tap for tap in tapped(settings) if tap > count), None)
    if wrong is not None:
        problems.clash(
            "no-such-layer",
            f"`taps` of `{name}` names the state after {wrong} layers, and there are {count}",
            Label(settings.span("output", "taps"), "no such state"),
            *settings.labels("layers", text=f"{count} layers"),
            help=f"use numbers from 0 to {count}",
        )


def _wanted(settings: Settings) -> list[int]:
    """The hidden states that make the output, as they are written."""
    if settings.has("output", "layers"):
        return [int(layer) for layer in settings.get("output", "layers")]
    return [int(settings.get("output", "layer", default=layer_count(settings)))]


def output_width(settings: Settings, dim: Var) -> Dim:
    """How wide the output is: as many times the hidden states as it takes of them."""
    count = len(_wanted(settings))
    return Sum((Many(count, dim),)) if count > 1 else dim


def wanted_states(name: str, settings: Settings, problems: Problems) -> tuple[int, ...] | None:
    """The wanted hidden states, numbered from 0 (embeddings) to the layer count."""
    count, states = layer_count(settings), []
    key = "layers" if settings.has("output", "layers") else "layer"
    for wanted in _wanted(settings):
        state = wanted if wanted >= 0 else count + 1 + wanted
        if not 0 <= state <= count:
            problems.clash(
                "no-such-layer",
                f"`{name}` has no hidden state {wanted}: its {count} layers give states 0 to {count}, "
                f"or {-count - 1} to -1 counted from the end",
                Label(settings.span("output", key), "no such state"),
                *settings.labels("layers", text=f"{count} layers"),
                help=f"use a number from {-count - 1} to {count}; -2 is the state before the last layer",
            )
            return None
        states.append(state)
    return tuple(states)
