"""What a node contributes to a package: its page, and how it is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .code import Field, Statement
from .ir import Node


@dataclass(frozen=True, slots=True)
class Wiring:
    """How one node is called in `model.py`: expressions for its inputs, variables and shape comments for its outputs.

    Only outputs that something reads are in `results`; `read` are those that some call of the module is read for.
    `tail` is a variable as long as the outputs that are wanted; `embedding` the node that embeds the tokens. `keep`
    picks the positions whose logits are wanted, if not always all. `calls` are all calls of the module, first that of
    the node which owns it; of those in `kept`, something reads keys and values.
    """

    arguments: Mapping[str, str]
    results: Mapping[str, str]
    shapes: Mapping[str, str]
    tail: str = ""
    embedding: str = ""
    keep: str = ""
    read: frozenset[str] = frozenset()
    calls: tuple[Node, ...] = ()
    kept: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NodePage:
    """What one node contributes: its own file (if `template`), its config, its lines in `model.py`.

    `construct` is the right-hand side in `Model.__init__`; `calls` are the lines of its call. `context` is the finished
    view that its template reads as `node`. `functions` are those of `losses.py` that the lines call, with the options
    that they give, `helpers` those that its own file calls; `methods` of the module are called besides `forward`.
    `note` is a comment where it is built. `begin` are lines of `begin_step`. A page that is `stepped` has something
    that grows with the steps.
    """

    template: str
    context: object
    class_name: str
    fields: tuple[Field, ...]
    construct: str
    calls: tuple[Statement, ...]
    imports: tuple[str, ...] = field(default=())
    functions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    helpers: frozenset[str] = frozenset()
    methods: tuple[str, ...] = ()
    begin: tuple[Statement, ...] = ()
    stepped: bool = False
    note: str = ""
