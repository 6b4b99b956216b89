"""Finished view models of positions: the classes that turn queries and keys, and the config fields they read."""

from __future__ import annotations

from dataclasses import dataclass

from ..code import Field, literal
from ..names import class_name
from .settings import Rope, Stack


@dataclass(frozen=True, slots=True)
class RotationView:
    """One `Rotation` class: which pairs are turned, and whether that is all of a head."""

    name: str
    style: str
    whole: bool


@dataclass(frozen=True, slots=True)
class RopeView:
    """One `Rope` class: which formula, whether it is tabled, and its names."""

    config: str
    class_name: str
    attribute: str
    function: str
    rotation: str
    dim: str
    style: str
    type: str
    table: bool
    attention_factor: bool

    def number(self, name: str) -> str:
        """The config field with a number of it."""
        return f"config.{self.attribute}_{name}"


@dataclass(frozen=True, slots=True)
class RopesView:
    """All rotary positions of a node. `none` if some layers have none."""

    rotations: tuple[RotationView, ...]
    ropes: tuple[RopeView, ...]
    none: bool
    fields: tuple[Field, ...]


def ropes_view(stack: Stack, config: str) -> RopesView | None:
    """The view of the rotary positions of a stack, if it has any."""
    if not stack.rotary:
        return None
    rotations: dict[tuple[str, bool], RotationView] = {}
    ropes, fields = [], list[Field]()
    for index, rope in enumerate(stack.rotary):
        kind = next(kind.name for place, kind in enumerate(stack.kinds) if stack.attention(place).rope == index)
        prefix = f"{kind}_" if index and kind else ""
        key = (rope.style, rope.whole)
        if key not in rotations:
            rotations[key] = RotationView(f"{class_name(prefix)}Rotation", *key)
        attention = stack.attention(next(i for i in range(len(stack.kinds)) if stack.attention(i).rope == index))
        plain = rope.whole and attention.latent is None and (attention.head_dim == stack.attention().head_dim)
        dim = "head_dim" if plain else f"{prefix}rope_dim"
        ropes.append(
            RopeView(
                config=config,
                class_name=f"{class_name(prefix)}Rope" if prefix else "Rope",
                attribute=f"{prefix}rope",
                function=f"{prefix}frequencies",
                rotation=rotations[key].name,
                dim=f"config.{dim}",
                style=rope.style,
                type=rope.type,
                table=rope.table,
                attention_factor=rope.type == "yarn" and rope.number("attention_factor") != 1,
            )
        )
        if not plain:
            fields.append(Field(dim, "int", str(rope.dim)))
        fields += _numbers(rope, f"{prefix}rope")
    return RopesView(tuple(rotations.values()), tuple(ropes), None in stack.rope_of, tuple(fields))


def rotation_type(stack: Stack) -> str:
    """The type of what turns queries and keys, for a layer whichever it is; empty if nothing does."""
    found = ropes_view(stack, "")
    if found is None:
        return ""
    return " | ".join([each.name for each in found.rotations] + ["None"] * found.none)


def _numbers(rope: Rope, prefix: str) -> list[Field]:
    """Config fields of rotary positions."""
    skipped = {"attention_factor"} if rope.type == "yarn" and rope.number("attention_factor") == 1 else set()
    numbers = (("theta", rope.theta), *((name, value) for name, value in rope.scaling if name not in skipped))
    return [
        Field(f"{prefix}_{name}", "int", str(int(value)))
        if name.endswith("_tokens") and value.is_integer()
        else Field(f"{prefix}_{name}", "float", literal(value))
        for name, value in numbers
    ]
