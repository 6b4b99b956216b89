"""Finished view models of stacks over the patches of many images: who sees whom, and positions in two dimensions."""

from __future__ import annotations

from dataclasses import dataclass

from ..code import Field
from .expressions import pattern_field
from .settings import Stack
from .settings_grid import GridMask
from .use import Use


@dataclass(frozen=True, slots=True)
class GridView:
    """How the layers of a stack over a grid of patches are called.

    `numbers` are expressions: patches with the same number see each other. Layers differ in it if there are several;
    `windows` are the config fields that they read. Unless `grouped`, layers take a mask over all patches.
    """

    numbers: tuple[str, ...]
    windows: tuple[str, ...]
    grouped: bool
    scaled: bool
    shared: bool
    image: bool

    @property
    def mixed(self) -> bool:
        """Whether layers differ in who sees whom."""
        return len(self.numbers) > 1

    @property
    def made(self) -> tuple[str, ...]:
        """What layers are given, made of these numbers."""
        return tuple(f"{'group' if self.grouped else 'together'}({number})" for number in self.numbers)

    @property
    def given(self) -> str:
        """What the layers are given is called."""
        return "groups" if self.grouped else "mask"


def grid_use(stack: Stack, *, turned: bool) -> Use:
    """That of an encoder over a grid; layers that make their scores themselves take a mask, the others groups."""
    own = any(op.softcap or op.sinks or op.latent for op in stack.attentions)
    return Use(("batch", "patches"), "Rotation" if turned else "", "Tensor" if own else "Groups")


def grid_view(stack: Stack) -> tuple[GridView, tuple[Field, ...]]:
    """The view of a stack, and the config fields that it reads."""
    ops = stack.attentions
    of_layer = [ops[index].grid or GridMask("frame") for index in stack.order]
    masks, numbers, fields = list(dict.fromkeys(of_layer)), list[str](), list[Field]()
    for mask in masks:
        if mask.within == "window":
            name = f"window_{len(fields) + 1}" if fields else "window"
            fields.append(Field(name, "int", str(mask.size), "rows and columns of patches"))
            numbers.append(f"windows(place, self.{name})")
        else:
            numbers.append(f"place.{mask.within}")
    windows = tuple(field.name for field in fields)
    if len(masks) > 1:
        fields.append(pattern_field("group_of", [str(masks.index(mask)) for mask in of_layer], "int"))
    view = GridView(
        numbers=tuple(numbers),
        windows=windows,
        grouped=grid_use(stack, turned=False).mask == "Groups",
        scaled=any(op.scale is not None for op in ops),
        shared=any(op.heads != op.kv_heads for op in ops),
        image=any(mask.within == "image" for mask in masks),
    )
    return view, tuple(fields)
