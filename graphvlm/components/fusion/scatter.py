"""`fusion/scatter`: features of another modality take the places of their placeholder tokens in the text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...code import Field, NodePage, Statement, Wiring
from ...component import Inferred, Port, Signature, Spec, known, sizes_of
from ...diagnostics import Label
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...problems import Problems
from ...settings import Settings
from ...words import suggestion


@dataclass(frozen=True, slots=True)
class Scatter(Spec):
    """Decided placeholders: port -> token id, and port -> how many of them an image takes, where that is known.

    `masked` are the ports whose features may hold padding, which is not placed.
    """

    dim: int
    placeholder: tuple[tuple[str, int], ...]
    tokens: tuple[tuple[str, int], ...]
    masked: tuple[str, ...] = ()

    def summary(self) -> str:
        tokens = ", ".join(f"{port} at token {token}" for port, token in self.placeholder)
        return f"scatter, {tokens}"

    def resolved(self) -> dict[str, Any]:
        return {"dim": self.dim, **({"tokens": dict(self.tokens)} if self.tokens else {})}


@dataclass(frozen=True, slots=True)
class ScatterView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    ports: tuple[str, ...]
    masked: tuple[str, ...]
    places: bool

    @property
    def parameters(self) -> tuple[str, ...]:
        """The ports of features, each with its mask behind it if it has one."""
        return _with_masks(self.ports, self.masked)


class ScatterComponent:
    """Ports, checks and page of `fusion/scatter`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "dim")
        batch, seq = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq", free=True)
        vocab, tail = Var(f"{name}.vocab", "vocab"), Var(f"{name}.tail", "seq")
        text = Port("features", (batch, seq, sizes["dim"]), vocab=vocab, tail=tail)
        placed, masks = dict[str, Port](), dict[str, Port]()
        for port in settings.get("placeholder", default={}):
            images, tokens = Var(f"{name}.{port}s", "images"), Var(f"{name}.{port}_tokens", "tokens")
            placed[port] = Port("features", (images, tokens, sizes["dim"]), skippable=True)
            if f"{port}_mask" not in settings.get("placeholder"):
                masks[f"{port}_mask"] = Port("mask", (images, tokens), optional=True, skippable=True)
            if settings.has("tokens", port):
                written[tokens] = known(name, settings, "tokens", port, setting=f"tokens.{port}")
        return Signature(
            inputs={"text": text, **placed, "ids": Port("tokens", (batch, seq)), **masks},
            outputs={"features": text, "places": Port("mask", (batch, seq))},
            sizes=sizes,
            written=written,
            stream="text",
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Scatter:
        placeholder = dict(settings.get("placeholder"))
        counts = settings.child("tokens").tree
        for port, _ in counts.items():
            if port not in placeholder:
                message = f"`tokens` of `{inferred.node}` counts those of `{port}`, which has no placeholder"
                edit = suggestion(port, placeholder, "placeholder")
                problems.error("unknown-port", message, counts.key_span(port), help=edit)
        _check_ids(placeholder, settings, inferred, problems)
        lengths = {port: inferred.inputs[port].shape[1] for port in placeholder}
        masked = tuple(port for port in placeholder if f"{port}_mask" in {*inferred.inputs} - {*placeholder})
        tokens = tuple(
            (port, length) for port, length in lengths.items() if isinstance(length, int) and port not in masked
        )
        return Scatter(inferred.sizes["dim"], tuple(placeholder.items()), tokens, masked)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Scatter)
        name = class_name(node.name)
        ports = tuple(port for port, _ in spec.placeholder)
        view = ScatterView(node.name, name, f"{name}Config", ports, spec.masked, "places" in wiring.read)
        fields = tuple(Field(f"{port}_token", "int", str(token)) for port, token in spec.placeholder)
        arguments = [wiring.arguments[port] for port in ("text", "ids", *view.parameters)]
        found = (("features", f"self.{node.module}", arguments), ("places", f"self.{node.name}.places", arguments[1:2]))
        calls = tuple(
            Statement(wiring.results[port], function, tuple(given), wiring.shapes[port])
            for port, function, given in found
            if port in wiring.results
        )
        return NodePage("fusion/scatter.py.j2", view, name, fields, f"{name}(config.{node.name})", calls)


def _with_masks(ports: tuple[str, ...], masked: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for port in ports for name in ((port, f"{port}_mask") if port in masked else (port,)))


def _check_ids(placeholder: Mapping[str, int], settings: Settings, inferred: Inferred, problems: Problems) -> None:
    """Each placeholder is a token of its own, and the embedding has a row for it."""
    vocab, origin = inferred.inputs["text"].vocab, inferred.origins.get("vocab")
    seen: dict[int, str] = {}
    for port, token in placeholder.items():
        place = settings.span("placeholder", port)
        if isinstance(vocab, int) and token >= vocab:
            edit = f", or write `vocab: {token + 1}` or more in `{origin.owner}`" if origin else ""
            problems.clash(
                "placeholder-outside-vocabulary",
                f"placeholder token {token} of `{inferred.node}.{port}` is outside the vocabulary of {vocab} tokens",
                Label(place, f"ids run from 0 to {vocab - 1}"),
                *inferred.label("vocab", "the vocabulary"),
                help=f"use an id below {vocab}{edit}",
            )
        if token in seen:
            problems.clash(
                "placeholder-shared",
                f"`{seen[token]}` and `{port}` of `{inferred.node}` have the same placeholder token {token}",
                Label(place, f"`{port}`"),
                Label(settings.span("placeholder", seen[token]), f"`{seen[token]}`"),
                help="give each its own token id",
            )
        seen.setdefault(token, port)


COMPONENT = ScatterComponent()
