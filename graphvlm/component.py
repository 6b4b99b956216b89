"""What a component is: how it tells the ports of a node, decides it, and makes its page.

A component `kind/type` is three files under one stem: its schema, its module in `graphvlm.components` (which defines
`COMPONENT`) and its template. Nothing else lists components: the stem is the registration.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import ClassVar, Protocol

from .ir import Node
from .node_page import NodePage, Wiring
from .problems import Problems
from .settings import Settings
from .spec import Inferred, Signature, Spec


class Component(Protocol):
    """One `kind/type` of the language.

    `modules` are the paths of all its modules and bare parameters, whatever the settings; `*` stands for a number.
    """

    modules: ClassVar[frozenset[str]]

    def signature(self, name: str, settings: Settings) -> Signature:
        """The ports of a node called `name`, with open sizes as variables."""

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Spec | None:
        """The decided node, or None with the reasons in `problems`."""

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        """What its template and the wiring of the model need."""


@cache
def component(kind: str, type_: str) -> Component:
    """The component `kind/type`; the graph is schema-valid, so it exists."""
    module = import_module(f"graphvlm.components.{kind}.{type_}")
    found: Component = module.COMPONENT
    return found
