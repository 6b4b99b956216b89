"""`fusion/scatter`: features of another modality take the places of their placeholder tokens in the text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...code import Field, NodePage, Statement, Wiring
from ...component import Port, Signature, Spec, sizes_of
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...problems import Problems
from ...settings import Settings


@dataclass(frozen=True, slots=True)
class Scatter(Spec):
    """Decided placeholders: port -> token id."""

    dim: int
    placeholder: tuple[tuple[str, int], ...]

    def summary(self) -> str:
        tokens = ", ".join(f"{port} at token {token}" for port, token in self.placeholder)
        return f"scatter, {tokens}"

    def resolved(self) -> dict[str, Any]:
        return {"dim": self.dim}


@dataclass(frozen=True, slots=True)
class ScatterView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    ports: tuple[str, ...]


class ScatterComponent:
    """Ports, checks and page of `fusion/scatter`."""

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "dim")
        batch, seq = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq")
        vocab, tail = Var(f"{name}.vocab", "vocab"), Var(f"{name}.tail", "seq")
        text = Port("features", (batch, seq, sizes["dim"]), vocab=vocab, tail=tail)
        placed = {
            port: Port(
                "features",
                (Var(f"{name}.{port}s", "images"), Var(f"{name}.{port}_tokens", "tokens"), sizes["dim"]),
                skippable=True,
            )
            for port in settings.get("placeholder", default={})
        }
        return Signature(
            inputs={"text": text, **placed, "ids": Port("tokens", (batch, seq))},
            outputs={"features": text},
            sizes=sizes,
            written=written,
            stream="text",
        )

    def lower(
        self, settings: Settings, sizes: Mapping[str, int], inputs: Mapping[str, Port], problems: Problems
    ) -> Scatter:
        placeholder = settings.get("placeholder")
        vocab = inputs["text"].vocab
        seen: dict[int, str] = {}
        for port, token in placeholder.items():
            if isinstance(vocab, int) and token >= vocab:
                problems.error(
                    "placeholder-outside-vocabulary",
                    f"placeholder token {token} of `{port}` is outside the vocabulary of {vocab} tokens",
                    settings.span("placeholder", port),
                    note=f"ids run from 0 to {vocab - 1}",
                    help=f"use an id below {vocab}, or give the decoder `vocab: {token + 1}` or more",
                )
            if token in seen:
                problems.error(
                    "placeholder-shared",
                    f"`{seen[token]}` and `{port}` have the same placeholder token {token}",
                    settings.span("placeholder", port),
                    help="give each modality a token id of its own",
                )
            seen.setdefault(token, port)
        return Scatter(sizes["dim"], tuple(placeholder.items()))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Scatter)
        name = class_name(node.name)
        ports = tuple(port for port, _ in spec.placeholder)
        view = ScatterView(node.name, name, f"{name}Config", ports)
        fields = tuple(Field(f"{port}_token", "int", str(token)) for port, token in spec.placeholder)
        arguments = [wiring.arguments[port] for port in ("text", "ids", *ports)]
        call = Statement(wiring.results["features"], f"self.{node.name}", tuple(arguments), wiring.shapes["features"])
        return NodePage("fusion/scatter.py.j2", view, name, fields, f"{name}(config.{node.name})", (call,))


COMPONENT = ScatterComponent()
