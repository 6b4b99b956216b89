"""`projector/codebook`: each token becomes a weighted mean of the rows of a table; its features are the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...blocks.parameters import Parameter, plain
from ...code import Field, Statement
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec
from ._ports import projector_signature


@dataclass(frozen=True, slots=True)
class Codebook(Spec):
    """A decided table of `words` rows that tokens are made of, and `marks` more behind them.

    `hard` if a token is the row of its largest weight; `marked` if an output gives the rows behind.
    """

    words: int
    marks: int
    dim: int
    hard: bool
    marked: bool

    def parameters(self) -> tuple[Parameter, ...]:
        return (plain("table", self.words + self.marks, self.dim),)

    def summary(self) -> str:
        marks = f" and {self.marks}" if self.marks else ""
        return f"codebook of {self.words}{marks} rows, {self.dim} wide"

    def resolved(self) -> dict[str, Any]:
        return {"in": self.words, "out": self.dim}

    def prune(self, outputs: frozenset[str]) -> tuple[Codebook, tuple[str, ...]]:
        return Codebook(self.words, self.marks, self.dim, self.hard, self.marked and "marks" in outputs), ()


@dataclass(frozen=True, slots=True)
class CodebookView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    summary: str
    hard: bool
    marks: bool
    marked: bool


class CodebookComponent:
    """Ports and page of `projector/codebook`."""

    modules = frozenset(("table",))

    def signature(self, name: str, settings: Settings) -> Signature:
        found = projector_signature(name, settings)
        images, tokens, out = found.outputs["features"].shape
        outputs = {"features": Port("features", (images, tokens, out))}
        if settings.has("marks"):
            outputs["marks"] = Port("features", (1, int(settings.get("marks")), out))
        inputs = {"features": Port("features", found.inputs["features"].shape)}
        aside = frozenset(("marks",))
        return Signature(inputs, outputs, found.sizes, found.written, alike=("features",), aside=aside)

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Codebook:
        marks = int(settings.get("marks", default=0))
        hard = settings.get("choose", default="softmax") == "argmax"
        return Codebook(inferred.sizes["in"], marks, inferred.sizes["out"], hard, bool(marks))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Codebook)
        name = class_name(node.name)
        view = CodebookView(
            name=node.name,
            class_name=name,
            config=f"{name}Config",
            summary=spec.summary(),
            hard=spec.hard,
            marks=spec.marks > 0,
            marked=spec.marked,
        )
        fields = [Field("words", "int", str(spec.words), "rows that tokens are made of")]
        if spec.marks:
            fields.append(Field("marks", "int", str(spec.marks), "rows behind them"))
        fields.append(Field("dim", "int", str(spec.dim)))
        ports = ("features", "marks") if spec.marked else ("features",)
        call = Statement(
            ", ".join(wiring.results.get(port, "_") for port in ports),
            f"self.{node.module}",
            (wiring.arguments["features"],),
            wiring.shapes["features"],
        )
        construct = f"{name}(config.{node.name})"
        return NodePage("projector/codebook.py.j2", view, name, tuple(fields), construct, (call,))


COMPONENT = CodebookComponent()
