"""How images of one size are cut into patches: their sizes, how many tokens they make, and whether they divide."""

from __future__ import annotations

from ...diagnostics import Label
from ...dims import Written
from ...problems import Problems
from ...settings import Settings


def image_size(settings: Settings) -> tuple[int, int]:
    """Height and width in pixels."""
    size = settings.get("image", "size")
    return (int(size[0]), int(size[1])) if isinstance(size, list) else (int(size), int(size))


def tokens_of(name: str, settings: Settings) -> Written:
    """How many tokens leave the encoder, and what would give one more or less."""
    (high, wide), patch = image_size(settings), int(settings.get("patch", "size"))
    patches, text = (high // patch) * (wide // patch), f"{high // patch} x {wide // patch} patches"
    edits, count = {}, patches
    if settings.get("class_token", default=False):
        if settings.get("output", "drop_cls", default=False):
            edits = {patches + 1: f"remove `drop_cls` of `{name}` to keep the class token"}
        else:
            edits = {patches: f"write `output: {{drop_cls: true}}` in `{name}` to leave the class token out"}
            count, text = patches + 1, f"{text} and a class token"
    return Written(count, settings.span("image", "size"), name, text=text, edits=edits)


def check_patches(name: str, settings: Settings, problems: Problems) -> None:
    """Note images that do not divide into patches."""
    sizes, patch = image_size(settings), int(settings.get("patch", "size"))
    crop = settings.get("patch", "remainder", default="refuse") == "crop"
    size = next((size for size in sizes if size < patch or (size % patch and not crop)), None)
    if size is None:
        return
    fit = size // patch * patch
    edit = f"use an image of {fit} or {fit + patch}" if fit else f"use an image of {patch} or more"
    problems.clash(
        "patch-not-divisible",
        f"images of {sizes[0]} x {sizes[1]} pixels do not divide into the patches of `{name}`, {patch} x {patch}",
        Label(settings.span("image", "size"), f"{size} / {patch} = {size / patch:.2f}"),
        Label(settings.span("patch", "size"), "the patches"),
        help=f"{edit}, or leave the last {size - fit} pixels out with `remainder: crop` in `patch`" if fit else edit,
    )
