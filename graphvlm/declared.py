"""Ports that a graph declares, for a module that is imported: whether something can flow through them."""

from __future__ import annotations

import keyword
from typing import cast

from .axes import AXES
from .problems import Problems
from .spec import What
from .tree import Tree
from .words import WHAT

# What the file of such a node calls other things by.
_TAKEN = frozenset(("self", "torch", "nn", "config", "make", "tensors", "fitting", "output", "settings"))


def what_of(name: str, port: Tree) -> What:
    """What flows through a declared port: what is written, else what its name says, else features."""
    said = port.get("is")
    return cast("What", str(said.value) if said else name if name in AXES else "features")


def shape_of(port: Tree) -> tuple[Tree, ...]:
    """The sizes of its axes, as they are written."""
    return (port.get("shape") or port).elements()


def check_ports(node: str, tree: Tree, problems: Problems) -> bool:
    """Whether the ports that a node declares, if it does, have names and as many axes as what flows through them."""
    sides = (tree.get("ports", side) for side in ("inputs", "outputs"))
    found = [_check(node, name, side, problems) for side in sides if side for name, _ in side.items()]
    return all(found)


def _check(node: str, name: str, side: Tree, problems: Problems) -> bool:
    port = side.get(name)
    assert port is not None
    if keyword.iskeyword(name) or name in _TAKEN:
        message = f"no port of `{node}` can be called `{name}`: the generated code uses it"
        problems.error("bad-name", message, side.key_span(name), help="call it otherwise")
        return False
    what = what_of(name, port)
    axes, found = AXES[what], len(shape_of(port))
    if found != len(axes):
        message = f"port `{name}` of `{node}` has {found} axes, and {WHAT[what]} have {len(axes)}"
        edit = f"write `[{', '.join(map(str, axes))}]`, or say what it is: `{name}: {{is: ..., shape: [...]}}`"
        problems.error("bad-port", message, (port.get("shape") or port).span, help=edit)
    return found == len(axes)
