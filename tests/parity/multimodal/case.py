"""What a multimodal family gives to the shared tests, and prompts with images for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from ..reference import IMAGE_TOKEN, LENGTH, Padding, pad

Inputs = dict[str, Tensor]
VIDEO_TOKEN = 1  # no word of a prompt: these begin with 3
IMAGES = (1, 2, 0)  # of each row: the last is text alone


@dataclass(frozen=True)
class Multimodal:
    """A family: its config, and the inputs of one call, for the config, the side to pad and a source of chance.

    The inputs are named as the graph names them, beside `attention_mask`; `reference` turns them into those of the
    reference, where it wants others; `alone` makes those of one kind, where there are several. `model` is a class of
    `transformers`, unless AutoModelForImageTextToText has it.
    """

    config: Callable[[], Any]
    inputs: Callable[[Any, Padding, Generator], Inputs]
    model: str = ""
    reference: Callable[[Inputs], Inputs] = dict
    alone: Mapping[str, Callable[[Any, Padding, Generator], Inputs]] = field(default_factory=dict)

    def make(self) -> Any:
        """The reference model with weights that it draws itself."""
        import transformers

        make = getattr(transformers, self.model) if self.model else transformers.AutoModelForImageTextToText.from_config
        return make(self.config())


def prompts(
    generator: Generator, padding: Padding, runs: Sequence[Sequence[Sequence[int]]], length: int = LENGTH
) -> Inputs:
    """`input_ids` and `attention_mask` of rows of text, each with runs of tokens (those of an image) between its words.

    Rows have `length` tokens of text, then three less for each further one; the runs of a row stand apart.
    """
    rows = []
    for index, row_runs in enumerate(runs):
        text = torch.randint(3, IMAGE_TOKEN, (length - 3 * index,), generator=generator)
        places = [4 + 3 * number for number in range(len(row_runs))]
        words = torch.tensor_split(text, places)
        pieces = [words[0]]
        for run, more in zip(row_runs, words[1:], strict=True):
            pieces += [torch.tensor(run), more]
        rows.append(torch.cat(pieces))
    ids, mask = pad(rows, padding)
    return {"input_ids": ids, "attention_mask": mask}


def square_images(tokens: Callable[[Any], int]) -> Callable[[Any, Padding, Generator], Inputs]:
    """Inputs of a family whose images are squares of `vision_config.image_size`, each of `tokens(config)` tokens."""

    def build(config: Any, padding: Padding, generator: Generator) -> Inputs:
        run = [IMAGE_TOKEN] * tokens(config)
        inputs = prompts(generator, padding, [[run] * images for images in IMAGES])
        size = config.vision_config.image_size
        size = size if isinstance(size, int) else size[0]
        return inputs | {"pixel_values": torch.randn(sum(IMAGES), 3, size, size, generator=generator)}

    return build
