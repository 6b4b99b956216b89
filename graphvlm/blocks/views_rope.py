"""Finished view models of rotary positions: their classes, how they are built, and the config fields they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..code import Field, display, literal
from ..names import class_name
from .expressions import Fields
from .settings import Attention, LayerKind, Stack
from .settings_position import Rope, RopeLayout

# Scalings that the language calls by where they come from.
_DONE = {"llama3": "blended"}


@dataclass(frozen=True, slots=True)
class RotationView:
    """One `Rotation` class: which pairs are turned, and whether that is all of a head."""

    name: str
    style: str
    whole: bool


@dataclass(frozen=True, slots=True)
class RopeClassView:
    """One `Rope` class. `dim`, `rates` and `factor` are expressions; a class for several positions gets its `rates`,
    and for a table `dim`, when it is built: here both are empty. `factor` is empty where cos and sin stay as they are.
    `sections` is the config field for positions of three numbers, whose pairs have this `layout`."""

    config: str
    name: str
    rotation: str
    style: str
    table: bool
    varies: bool
    factor: str
    dim: str
    rates: str
    sections: str = ""
    layout: RopeLayout = "contiguous"


@dataclass(frozen=True, slots=True)
class RopeView:
    """One set of rotary positions: its attribute and what is assigned to it, and its function for frequencies."""

    config: str
    attribute: str
    construct: str
    function: str
    dim: str
    type: str  # of scaling, by what is done to the rates
    varies: bool

    def number(self, name: str) -> str:
        """The config field with a number of it."""
        return f"config.{self.attribute}_{name}"


@dataclass(frozen=True, slots=True)
class RopesView:
    """All rotary positions of a node. `none` if some layers have none, `mixed` if layers differ in theirs."""

    rotations: tuple[RotationView, ...]
    classes: tuple[RopeClassView, ...]
    ropes: tuple[RopeView, ...]
    none: bool
    mixed: bool

    @property
    def sections(self) -> bool:
        """Whether positions have three numbers."""
        return any(each.sections for each in self.classes)

    @property
    def shared(self) -> bool:
        """Whether a class is there for several positions."""
        return any(not each.rates for each in self.classes)


def rotation_views(stack: Stack, named: Callable[[str], str]) -> dict[tuple[str, bool], RotationView]:
    """The `Rotation` classes of a stack, by style and whether they turn all of a head.

    `named` makes a class name that no other class of the file has.
    """
    found: dict[tuple[str, bool], RotationView] = {}
    for key in dict.fromkeys((rope.style, rope.whole) for rope in stack.rotary):
        found[key] = RotationView(named(_ROTATIONS[key] if found else "Rotation"), *key)
    return found


# Names of rotations beside the first, short enough for all of them to stand in one type.
_ROTATIONS = {
    ("half", True): "WholeRotation",
    ("half", False): "PartialRotation",
    ("interleaved", True): "PairRotation",
    ("interleaved", False): "PartialPairRotation",
}


def rotation_type(stack: Stack, rotations: Mapping[tuple[str, bool], RotationView]) -> str:
    """The type of what turns queries and keys, for a layer whichever it is; empty if nothing does."""
    names = [each.name for each in rotations.values()]
    return " | ".join(names + ["None"] * (None in stack.rope_of)) if names else ""


def rope_dim(op: Attention, rope: Rope, kind: LayerKind, fields: Fields) -> str:
    """The expression for how much of a head is turned."""
    return fields.add("head_dim" if rope.whole and op.latent is None else "rope_dim", rope.dim, kind.name)


def ropes_view(
    stack: Stack,
    *,
    rotations: Mapping[tuple[str, bool], RotationView],
    turned: Mapping[int, str],
    fields: Fields,
    config: str,
    named: Callable[[str], str],
) -> RopesView | None:
    """The view of the rotary positions of a stack, if it has any; `turned` is how much of a head each turns."""
    if not stack.rotary:
        return None
    prefixes = [_prefix(stack, index) for index in range(len(stack.rotary))]
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, rope in enumerate(stack.rotary):
        # A class may serve several; not where it reads a factor of one of them, or the positions themselves.
        own = index if _factor(rope, "") or rope.varies or rope.sections else None
        groups.setdefault((rope.style, rope.whole, rope.table, own), []).append(index)
        _add_numbers(rope, f"{prefixes[index]}rope", fields)
    constructs, classes = dict[int, str](), []
    for group in groups.values():
        first, prefix, alone = stack.rotary[group[0]], prefixes[group[0]], len(group) == 1
        made = RopeClassView(
            config=config,
            name=named(f"{class_name(prefix)}Rope"),
            rotation=rotations[first.style, first.whole].name,
            style=first.style,
            table=first.table,
            varies=first.varies,
            factor=_factor(first, f"config.{prefix}rope"),
            dim=turned[group[0]] if alone else "",
            rates=f"{prefix}frequencies" if alone else "",
            sections=f"config.{prefix}rope_sections" if first.sections else "",
            layout=first.layout,
        )
        classes.append(made)
        for index in group:
            width = (turned[index],) if first.table else ()
            given = () if alone else (*width, f"{prefixes[index]}frequencies")
            constructs[index] = f"{made.name}({', '.join(('config', *given))})"
    views = tuple(
        RopeView(
            config,
            f"{prefix}rope",
            constructs[index],
            f"{prefix}frequencies",
            turned[index],
            _DONE.get(rope.type, rope.type),
            rope.varies,
        )
        for index, (prefix, rope) in enumerate(zip(prefixes, stack.rotary, strict=True))
    )
    found = stack.rope_of
    return RopesView(tuple(rotations.values()), tuple(classes), views, None in found, len(set(found)) > 1)


def _prefix(stack: Stack, index: int) -> str:
    """What stands before the names of the rotary positions: the kind of layer that has them; nothing for the first."""
    found = ((kind, stack.attention(place)) for place, kind in enumerate(stack.kinds))
    kind = next(kind.name for kind, attention in found if attention and attention.rope == index)
    return f"{kind}_" if index and kind else ""


def _factor(rope: Rope, field: str) -> str:
    """The config field of a factor on cos and sin, if there is one."""
    return f"{field}_attention_factor" if rope.attention_factor != 1 else ""


def _add_numbers(rope: Rope, prefix: str, fields: Fields) -> None:
    """Config fields of rotary positions."""
    for name, value in (("theta", rope.theta), *rope.scaling):
        own = f"{prefix}_{name}"
        if isinstance(value, tuple):
            head = f"{own}: tuple[float, ...] = "
            text = display(head, tuple(map(literal, value)), "()", 4)
            fields.found[own] = Field(own, "tuple[float, ...]", text.lstrip().removeprefix(head))
        elif name != "attention_factor" or value != 1:
            whole = name.endswith("_tokens") and value.is_integer()
            text = str(int(value)) if whole else literal(value)
            fields.found[own] = Field(own, "int" if whole else "float", text)
    if rope.sections:
        comment = "pairs by frame, row, column"
        fields.found[f"{prefix}_sections"] = Field(
            f"{prefix}_sections", "tuple[int, int, int]", literal(rope.sections), comment
        )
