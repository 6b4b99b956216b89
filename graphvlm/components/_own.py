"""A module of the user's own, of any kind of node: the class that `target` names."""

from __future__ import annotations

import keyword

from ..code import Statement
from ..ir import Node
from ..node_page import NodePage, Wiring
from ..problems import Problems
from ..settings import Settings
from ..spec import Inferred, Signature
from ._foreign import Foreign, foreign_page, foreign_signature, imported_class, keywords, lower_foreign


class OwnModule:
    """Ports and page of `module`, in every kind."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        return foreign_signature(name, settings)

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Foreign:
        module, _, target = settings.get("target").partition(":")
        if found := next((part for part in (*module.split("."), target) if keyword.iskeyword(part)), ""):
            message = f"`target` of `{inferred.node}` has `{found}` in it, a keyword of Python: no module is called so"
            problems.error("bad-name", message, settings.span("target"), help="write `package.module:Class`")
        return lower_foreign(settings, inferred, problems, origin=(module, target), target=target, given="arguments")

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Foreign)
        name, called = imported_class(spec, node.name)
        made = (Statement("", f"return {called}", tuple(keywords(spec))),)
        return foreign_page(node, wiring, {spec.module: (name,)}, made, named=False)
