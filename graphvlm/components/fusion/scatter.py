"""`fusion/scatter`: features of another modality take the places of their placeholder tokens in the text.

Those of `marks` take the place of one token each, wherever in the text it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...code import Field, Statement, literal
from ...diagnostics import Label, Span
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, known, sizes_of
from ...words import suggestion
from .._between import conditions, read_between


@dataclass(frozen=True, slots=True)
class Scatter(Spec):
    """Decided placeholders: port -> token id, and port -> how many of them an image takes, where that is known.

    `masked` are the ports whose features may hold padding, which is not placed. `marks` are port -> a token id for each
    of its rows. `between` are port -> the tokens between which its placeholder stands for it. If `added`,
    features come on top of the words at their places.
    """

    dim: int
    placeholder: tuple[tuple[str, int], ...]
    tokens: tuple[tuple[str, int], ...]
    masked: tuple[str, ...] = ()
    marks: tuple[tuple[str, tuple[int, ...]], ...] = ()
    between: tuple[tuple[str, tuple[int, int]], ...] = ()
    added: bool = False

    def summary(self) -> str:
        tokens = ", ".join(f"{port} at token {token}" for port, token in self.placeholder)
        return f"scatter, {'added, ' if self.added else ''}{tokens}"

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
    marks: tuple[str, ...]
    between: tuple[str, ...]
    conditions: Mapping[str, tuple[str, ...]]
    added: bool
    places: bool

    @property
    def parameters(self) -> tuple[str, ...]:
        """The ports of features, each with its mask behind it if it has one, and those of single tokens."""
        return (*_with_masks(self.ports, self.masked), *self.marks)

    @property
    def standing(self) -> tuple[str, ...]:
        """The ports whose places are the places of all: where another has the same token, that is enough."""
        found = [port for port in self.ports if port not in self.between]
        taken = {f"~{self.conditions[port][0]}": port for port in self.between}
        shared = {taken[each] for port in found for each in self.conditions[port]}
        return (*found, *(port for port in self.between if port not in shared))


class ScatterComponent:
    """Ports, checks and page of `fusion/scatter`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "dim")
        batch, seq = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq", free=True)
        vocab, tail = Var(f"{name}.vocab", "vocab"), Var(f"{name}.tail", "seq")
        text = Port("features", (batch, seq, sizes["dim"]), vocab=vocab, tail=tail)
        placed, masks = dict[str, Port](), dict[str, Port]()
        marks = settings.get("marks", default={})
        for port in settings.get("placeholder", default={}):
            images, tokens = Var(f"{name}.{port}s", "images"), Var(f"{name}.{port}_tokens", "tokens")
            placed[port] = Port("features", (images, tokens, sizes["dim"]), skippable=True)
            if f"{port}_mask" not in {**settings.get("placeholder"), **marks}:
                masks[f"{port}_mask"] = Port("mask", (images, tokens), optional=True, skippable=True)
            if settings.has("tokens", port):
                written[tokens] = known(name, settings, "tokens", port, setting=f"tokens.{port}")
        for port, ids in marks.items():
            placed.setdefault(port, Port("features", (1, len(ids), sizes["dim"]), skippable=True))
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
        marks = {port: tuple(ids) for port, ids in settings.get("marks", default={}).items()}
        twice = next((port for port in marks if port in placeholder), None)
        between = read_between(placeholder, settings, inferred.node, inferred.inputs["text"].vocab, problems)
        if twice is not None:
            problems.clash(
                "placeholder-shared",
                f"`{twice}` of `{inferred.node}` takes the places of a placeholder, and of single tokens",
                Label(settings.span("marks", twice), "one row a token"),
                Label(settings.span("placeholder", twice), "as many rows as there are places"),
                help="give the one or the other a port of its own",
            )
        else:
            _check_ids(placeholder, marks, settings, inferred, problems)
        lengths = {port: inferred.inputs[port].shape[1] for port in placeholder}
        masked = tuple(port for port in placeholder if f"{port}_mask" in {*inferred.inputs} - {*placeholder, *marks})
        tokens = tuple(
            (port, length) for port, length in lengths.items() if isinstance(length, int) and port not in masked
        )
        pairs = tuple(placeholder.items()), tokens, masked, tuple(marks.items()), tuple(between.items())
        return Scatter(inferred.sizes["dim"], *pairs, added=settings.get("placing", default="replace") == "add")

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Scatter)
        name = class_name(node.name)
        ports = tuple(port for port, _ in spec.placeholder)
        marks = tuple(port for port, _ in spec.marks)
        between = dict(spec.between)
        view = ScatterView(
            name=node.name,
            class_name=name,
            config=f"{name}Config",
            ports=ports,
            masked=spec.masked,
            marks=marks,
            between=tuple(between),
            conditions=conditions(dict(spec.placeholder), between),
            added=spec.added,
            places="places" in wiring.read,
        )
        fields = (
            *(Field(f"{port}_token", "int", str(token)) for port, token in spec.placeholder),
            *(Field(f"{port}_between", "tuple[int, int]", literal(ids)) for port, ids in spec.between),
            *(Field(f"{port}_tokens", "tuple[int, ...]", literal(ids), "one a row") for port, ids in spec.marks),
        )
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


def _check_ids(
    placeholder: Mapping[str, int],
    marks: Mapping[str, tuple[int, ...]],
    settings: Settings,
    inferred: Inferred,
    problems: Problems,
) -> None:
    """Each placeholder is a token of its own, as is each marked token, and the embedding has a row for it."""
    vocab, origin = inferred.inputs["text"].vocab, inferred.origins.get("vocab")
    found = [(port, token, settings.span("placeholder", port)) for port, token in placeholder.items()]
    alone = len(found)  # ports with one token are told apart elsewhere
    for port in marks:
        listed = settings.tree.get("marks", port)
        found += [(port, int(each.plain()), each.span) for each in (listed.elements() if listed else ())]
    seen: dict[int, tuple[str, Span]] = {}
    for index, (port, token, place) in enumerate(found):
        if isinstance(vocab, int) and token >= vocab:
            edit = f", or write `vocab: {token + 1}` or more in `{origin.owner}`" if origin else ""
            problems.clash(
                "placeholder-outside-vocabulary",
                f"placeholder token {token} of `{inferred.node}.{port}` is outside the vocabulary of {vocab} tokens",
                Label(place, f"ids run from 0 to {vocab - 1}"),
                *inferred.label("vocab", "the vocabulary"),
                help=f"use an id below {vocab}{edit}",
            )
        if token in seen and index >= alone:
            other, before = seen[token]
            problems.clash(
                "placeholder-shared",
                f"`{other}` and `{port}` of `{inferred.node}` have the same placeholder token {token}",
                Label(place, f"`{port}`"),
                Label(before, f"`{other}`"),
                help="give each its own token id",
            )
        seen.setdefault(token, (port, place))


COMPONENT = ScatterComponent()
