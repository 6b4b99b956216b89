"""Placeholders that stand for something only between two other tokens: frames of a video at the tokens of images."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from ..diagnostics import Label
from ..problems import Problems
from ..settings import Settings
from ..words import suggestion

# port -> the token before its placeholders and the token behind them
Between = Mapping[str, tuple[int, int]]


def read_between(
    placeholder: Mapping[str, int], settings: Settings, node: str, vocab: object, problems: Problems
) -> dict[str, tuple[int, int]]:
    """The setting `between`, and that ports with one token can be told apart; `vocab` is a number where it is known."""
    tree = settings.child("between").tree
    found = {port: (int(first), int(last)) for port, (first, last) in settings.get("between", default={}).items()}
    for port, around in found.items():
        if port not in placeholder:
            message = f"`between` of `{node}` is that of `{port}`, which has no placeholder"
            problems.error(
                "unknown-port", message, tree.key_span(port), help=suggestion(port, placeholder, "placeholder")
            )
        elif around[0] == around[1] or placeholder[port] in around:
            problems.error(
                "placeholder-shared",
                f"`{port}` of `{node}`, token {placeholder[port]}, is between {around[0]} and {around[1]}: two are one",
                settings.span("between", port),
                help="write the token before and the token behind, each another than the placeholder",
            )
        elif isinstance(vocab, int) and max(around) >= vocab:
            problems.error(
                "placeholder-outside-vocabulary",
                f"token {max(around)}, beside `{node}.{port}`, is outside the vocabulary of {vocab} tokens",
                settings.span("between", port),
                help=f"use ids below {vocab}",
            )
    for one, other in combinations(placeholder, 2):
        if placeholder[one] == placeholder[other] and found.get(one) == found.get(other):
            problems.clash(
                "placeholder-shared",
                f"`{one}` and `{other}` of `{node}` have the same placeholder token {placeholder[one]}",
                Label(settings.span("placeholder", other), f"`{other}`"),
                Label(settings.span("placeholder", one), f"`{one}`"),
                help="give each its own token id, or the tokens that one of them stands `between`",
            )
    return found


def conditions(placeholder: Mapping[str, int], between: Between) -> dict[str, tuple[str, ...]]:
    """Port -> what else a token that is its placeholder has to be, as expressions over `ids`."""
    inside = {port: f"self.in_{port}(ids)" for port in between}
    return {
        port: (inside[port],)
        if port in inside
        else tuple(f"~{inside[other]}" for other in inside if placeholder[other] == token)
        for port, token in placeholder.items()
    }
