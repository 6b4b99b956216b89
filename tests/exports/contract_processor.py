"""What vLLM asks of the processor of a directory: one function a clause. Each yields what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

Clause = Callable[[Any, Sequence[Any]], Iterator[str]]
# What it wants to know of each image that was put in place of a token.
REPLACED = {"type", "span", "new_span", "text", "replacement"}


def called(processor: Any, images: Sequence[Any]) -> Any:
    """One text for each image."""
    texts = [f"a {processor.image_token} b"] * len(images)
    return processor(
        images=[[image] for image in images],
        text=texts,
        return_tensors="pt",
        padding=True,
        return_text_replacement_offsets=True,
    )


def counted(processor: Any, images: Sequence[Any]) -> Any:
    """What images of these sizes come to, of which nothing but the sizes is known."""
    return processor._get_num_multimodal_tokens(image_sizes=[(image.height, image.width) for image in images])


def parts_are_named(processor: Any, images: Sequence[Any]) -> Iterator[str]:
    if not callable(getattr(processor, "image_processor", None)):
        yield "no image_processor"
    if not isinstance(getattr(processor, "image_token", None), str):
        yield "image_token is no text"
    if not isinstance(getattr(processor, "image_token_id", None), int):
        yield "image_token_id is no number"


def sizes_are_bounded(processor: Any, images: Sequence[Any]) -> Iterator[str]:
    """How large an image can be is read of `image_processor.size`."""
    size = {name for name, value in dict(processor.image_processor.size).items() if value is not None}
    if not ({"height", "width"} <= size or size & {"max_pixels", "longest_edge", "shortest_edge"}):
        yield f"size says {sorted(size)}"


def images_are_counted_ahead(processor: Any, images: Sequence[Any]) -> Iterator[str]:
    """Tokens and pieces of each image, of which there are as many as come out."""
    made, found = called(processor, images), counted(processor, images)
    if not len(found.num_image_tokens) == len(found.num_image_patches) == len(images):
        yield f"{len(images)} images come to {found.num_image_tokens} tokens and {found.num_image_patches} pieces"
    standing = (made["input_ids"] == processor.image_token_id).sum(dim=1).tolist()
    if standing != list(found.num_image_tokens):
        yield f"{found.num_image_tokens} tokens are counted, {standing} stand there"


def pieces_are_rows(processor: Any, images: Sequence[Any]) -> Iterator[str]:
    """The first axis of pixels is that of pieces, where images are not stacked with padding of their own."""
    made, found = called(processor, images), counted(processor, images)
    pixels = made["pixel_values"]
    if "image_grid_thw" in made:
        rows = int(made["image_grid_thw"].prod(dim=1).sum())
    else:
        rows = sum(found.num_image_patches) if pixels.dim() == 4 else len(images)
    if "image_sizes" not in made and len(pixels) != rows:
        yield f"{len(pixels)} rows of pixels, and {rows} pieces"


def replacements_are_told(processor: Any, images: Sequence[Any]) -> Iterator[str]:
    """What stands for each image in a text, whose most frequent token is the placeholder."""
    made = called(processor, images)
    offsets = made.get("text_replacement_offsets")
    if offsets is None or [len(row) for row in offsets] != [1] * len(images):
        yield f"text_replacement_offsets are {offsets}"
        return
    for row in offsets:
        told = row[0]
        if told.keys() != REPLACED or told["type"] != "image" or told["text"] != processor.image_token:
            yield f"{ {key: told[key] for key in told if key != 'replacement'} }"
        ids = processor.tokenizer(told["replacement"], add_special_tokens=False).input_ids
        if Counter(ids).most_common(1)[0][0] != processor.image_token_id:
            yield f"the most frequent token is {Counter(ids).most_common(1)}"


def keys_are_known(processor: Any, images: Sequence[Any]) -> Iterator[str]:
    """All that comes out is an input of the model that some part says it makes."""
    made = called(processor, images)
    unknown = {*made} - {*processor.model_input_names, "text_replacement_offsets"}
    yield from (f"{key} is in no model_input_names" for key in sorted(unknown))
    yield from (f"{key} is no tensor" for key in made if key in unknown and not isinstance(made[key], torch.Tensor))


CLAUSES: tuple[Clause, ...] = (
    parts_are_named,
    sizes_are_bounded,
    images_are_counted_ahead,
    pieces_are_rows,
    replacements_are_told,
    keys_are_known,
)


def broken(processor: Any, images: Sequence[Any]) -> dict[str, list[str]]:
    """Clause -> what is wrong."""
    found = {clause.__name__: list(clause(processor, images)) for clause in CLAUSES}
    return {name: wrong for name, wrong in found.items() if wrong}
