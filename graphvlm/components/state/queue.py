"""`state/queue`: vectors, and ids, of earlier batches: more to tell a sample from than its own batch."""

from __future__ import annotations

from dataclasses import dataclass

from ...blocks.parameters import Parameter, plain
from ...code import Field, Statement
from ...dims import Dim, Sum, Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec

_IDS = "ids"


@dataclass(frozen=True, slots=True)
class Queue(Spec):
    """A decided queue of `size` samples; `widths` are those of its vectors, by port, and `ids` if ids are kept too."""

    size: int
    widths: tuple[tuple[str, int], ...]
    ids: bool

    def buffers(self) -> tuple[Parameter, ...]:
        kept = [plain(port, self.size, width) for port, width in self.widths]
        return (*kept, *((plain(_IDS, self.size),) if self.ids else ()), plain("pointer", 1))

    def summary(self) -> str:
        return f"queue of {self.size} samples"


@dataclass(frozen=True, slots=True)
class QueueView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    vectors: tuple[str, ...]
    ids: bool

    @property
    def streams(self) -> tuple[str, ...]:
        """Everything that comes in."""
        return (*self.vectors, *((_IDS,) if self.ids else ()))

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of `forward`."""
        return ("self", *(f"{name}: Tensor" for name in self.streams))

    @property
    def returns(self) -> str:
        return f"tuple[{', '.join('Tensor' for _ in self.streams)}]" if len(self.streams) > 1 else "Tensor"


class QueueComponent:
    """Ports and page of `state/queue`."""

    modules = frozenset(("*", "pointer", _IDS))

    def signature(self, name: str, settings: Settings) -> Signature:
        given = settings.get("inputs")
        ports = tuple(given) if isinstance(given, dict) and given else ("vectors",)
        batch, size = Var(f"{name}.batch", "batch"), int(settings.get("size"))
        longer: Dim = Sum((batch, size))
        inputs, outputs = {}, {}
        for port in ports:
            if port == _IDS:
                inputs[port], outputs[port] = Port("classes", (batch,)), Port("classes", (longer,))
            else:
                width = Var(f"{name}.{port}.dim", "dim")
                inputs[port], outputs[port] = Port("vector", (batch, width)), Port("vector", (longer, width))
        return Signature(inputs=inputs, outputs=outputs)

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Queue | None:
        widths = []
        for port, found in inferred.inputs.items():
            if port == _IDS:
                continue
            width = found.shape[-1]
            if not isinstance(width, int):
                return None  # which is said of the node that gives it
            widths.append((port, width))
        return Queue(int(settings.get("size")), tuple(widths), _IDS in inferred.inputs)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Queue)
        name, vectors = class_name(node.name), tuple(port for port, _ in spec.widths)
        view = QueueView(node.name, name, f"{name}Config", vectors, spec.ids)
        targets = [wiring.results.get(port, "_") for port in view.streams]
        read = tuple(wiring.arguments[port] for port in view.streams)
        shape = wiring.shapes[view.streams[0]] if targets[0] != "_" else ""
        call = Statement(", ".join(targets), f"self.{node.module}", read, shape)
        fields = [Field("size", "int", str(spec.size), "samples that are kept")]
        fields += [Field(f"{port}_dim", "int", str(width)) for port, width in spec.widths]
        construct = f"{name}(config.{node.name})"
        return NodePage(
            "state/queue.py.j2", view, name, tuple(fields), construct, (call,), helpers=frozenset(("gathered",))
        )


COMPONENT = QueueComponent()
