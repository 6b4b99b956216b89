"""Modules that are imported, not generated: behind ports that the graph declares, in nodes of any kind."""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..code import Field, Statement, imported, laid_out, literal, quoted
from ..declared import shape_of, what_of
from ..dims import Dim, Var, Written, show_shape
from ..ir import Node
from ..names import CLASSES, class_name
from ..node_page import NodePage, Wiring
from ..problems import Problems
from ..settings import Settings
from ..spec import Inferred, Port, Signature, Spec
from ..tree import Tree


@dataclass(frozen=True, slots=True)
class Foreign(Spec):
    """A decided module that is imported, and the keywords that its constructor is given.

    The `maker` in `module` makes it: its class, or what makes it by the type of model `target`. `skip` are tokens that
    are left out at the beginning of the first output.
    """

    module: str
    maker: str
    target: str
    arguments: tuple[tuple[str, Any], ...]
    skip: int

    @property
    def origin(self) -> tuple[str, str]:
        return self.module, self.maker

    def summary(self) -> str:
        return f"{self.target} of {self.module}"


@dataclass(frozen=True, slots=True)
class ForeignView:
    """What the template places: imports, how the module is made, and the lines that call it."""

    name: str
    class_name: str
    config: str
    summary: str
    package: str
    sources: tuple[tuple[str, tuple[str, ...]], ...]
    made: tuple[str, ...]
    parameters: tuple[str, ...]
    returns: str
    lines: tuple[str, ...]
    checked: bool

    def imports(self, *, meshed: bool) -> tuple[str, ...]:
        """The lines of its imports; where a mesh is, with what lays tensors over it."""
        over = {"torch.distributed.tensor": ("DTensor", "distribute_tensor")} if meshed else {}
        return tuple(imported(module, names) for module, names in sorted({**dict(self.sources), **over}.items()))


def foreign_signature(name: str, settings: Settings) -> Signature:
    """The declared ports. What is as long coming out as going in is one stream of tokens."""
    written: dict[Var, Written] = {}
    inputs, outputs = (
        {
            port: _port(name, f"{side}.{port}", tree, written)
            for port, tree in settings.child("ports", side).tree.items()
        }
        for side in ("inputs", "outputs")
    )
    first, given = next(iter(inputs)), next(iter(outputs.values()))
    kept = len(given.shape) > 1 and inputs[first].shape[:2] == given.shape[:2]
    return Signature(inputs, outputs, written=written, stream=first if kept else "")


def _port(node: str, port: str, tree: Tree, written: dict[Var, Written]) -> Port:
    axes: list[Dim] = []
    for index, size in enumerate(shape_of(tree)):
        value = size.plain()
        axis = Var(f"{node}.{value}" if isinstance(value, str) else f"{node}.{port}.{index}", str(value))
        if isinstance(value, int):
            written[axis] = Written(value, size.span, node)
        axes.append(axis)
    return Port(what_of(port.partition(".")[2], tree), tuple(axes))


def lower_foreign(
    settings: Settings,
    inferred: Inferred,
    problems: Problems,
    *,
    origin: tuple[str, str],
    target: str,
    given: str,
    apart: tuple[str, ...] = (),
) -> Foreign:
    """The decided node; `given` is the setting with the keywords of the constructor, but for those `apart`."""
    tree = settings.child(given).tree
    for name, _ in tree.items():
        if keyword.iskeyword(name):
            message = f"`{given}` of `{inferred.node}` names `{name}`, a keyword of Python, which no constructor takes"
            problems.error("bad-name", message, tree.key_span(name), help="remove it")
    arguments = tuple((name, _frozen(value.plain())) for name, value in tree.items() if name not in apart)
    return Foreign(*origin, target, arguments, int(settings.get("skip", default=0)))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def config_fields(spec: Foreign) -> tuple[Field, ...]:
    """The keywords of the constructor, as fields of the config."""
    return tuple(Field(name, _annotation(value), literal(value)) for name, value in spec.arguments)


def _annotation(value: Any) -> str:
    if not isinstance(value, tuple):
        return type(value).__name__
    kinds = dict.fromkeys(type(item).__name__ for item in value)
    return f"tuple[{' | '.join(kinds) or 'int'}, ...]"


def keywords(spec: Foreign) -> Iterator[str]:
    """The keywords as the constructor is given them: a list is a tuple in the config alone."""
    for name, value in spec.arguments:
        yield f"{name}=list(config.{name})" if isinstance(value, tuple) else f"{name}=config.{name}"


def imported_class(spec: Foreign, node: str) -> tuple[str, str]:
    """How the class is imported, and what it is called in the file of the node: under another name if that is taken."""
    taken = {*CLASSES, class_name(node), f"{class_name(node)}Config", "nn", "torch"}
    name = f"{spec.target}Module" if spec.target in taken else spec.target
    return (f"{spec.target} as {name}" if name != spec.target else name), name


def foreign_page(
    node: Node, wiring: Wiring, imports: dict[str, tuple[str, ...]], made: tuple[Statement, ...], *, named: bool
) -> NodePage:
    """The page of a node; `made` are the lines that make its module.

    If `named`, its ports are called as the arguments of the module are, and the attributes of what it returns.
    """
    spec = node.spec
    assert isinstance(spec, Foreign)
    name, config = class_name(node.name), f"{class_name(node.name)}Config" if spec.arguments else ""
    given = node.signature.outputs
    view = ForeignView(
        name=node.name,
        class_name=name,
        config=config,
        summary=spec.summary(),
        package=spec.package,
        sources=tuple({**imports, "torch": ("Tensor", "nn")}.items()),
        made=tuple(laid_out(statement, 4) for statement in made),
        parameters=("self", *(f"{port}: Tensor" for port in node.signature.inputs)),
        returns="Tensor" if len(given) == 1 else f"tuple[{', '.join('Tensor' for _ in given)}]",
        lines=tuple(laid_out(statement, 8) for statement in _call(node, spec.skip, named=named)),
        checked=any(_known(port) for port in given.values()),
    )
    call = Statement(
        ", ".join(wiring.results.get(port, "_") for port in given),
        f"self.{node.module}",
        tuple(wiring.arguments[port] for port in node.inputs),
        wiring.shapes[next(iter(given))],
    )
    construct = f"{name}(config.{node.name})" if config else f"{name}()"
    return NodePage(f"{node.kind}/{node.type}.py.j2", view, name, config_fields(spec), construct, (call,))


def _call(node: Node, skip: int, *, named: bool) -> Iterator[Statement]:
    """The lines of `forward`: the module is called, and what it returns is held against the graph."""
    taken, given = tuple(node.signature.inputs), node.signature.outputs
    first = next(iter(given))
    if named:
        yield Statement("output", "self.module", tuple(f"{port}={port}" for port in taken))
        for name in given:
            yield Statement(name if name in taken else f"{name}: Tensor", "", (f"output.{name}",))
    elif len(given) == 1:
        yield Statement(first if first in taken else f"{first}: Tensor", "self.module", taken)
    else:
        yield Statement(", ".join(given), "self.module", taken)
    if skip:
        yield Statement(first, "", (f"{first}[:, {skip}:]",))
    for name, port in given.items():
        if _known(port):
            sizes = tuple(size if isinstance(size, int) else None for size in port.shape)
            comment = show_shape(port.shape)
            yield Statement(name, "fitting", (quoted(name), name, literal(sizes)), comment)
    yield Statement("", "", (f"return {', '.join(given)}",))


def _known(port: Port) -> bool:
    return any(isinstance(size, int) for size in port.shape)
