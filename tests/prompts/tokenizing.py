"""A tokenizer of bytes and of the special tokens of a prompt, and pictures of odd sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from graphvlm.prompts import Pictures

NONE: Mapping[str, int] = MappingProxyType({})


def tokenizer(given: Pictures, *more: str, numbers: Mapping[str, int] = NONE) -> Any:
    """Bytes are tokens, and so is each special token in the texts of a prompt; the placeholder has its number."""
    image = given.prompt
    texts = [getattr(image, name) for name in image.__slots__ if isinstance(getattr(image, name), str)]
    places = [(row, column) for row in range(1, 7) for column in range(1, 7)]
    tiles = [image.before_tile.format(row=row, column=column, number=0) for row, column in places]
    written = "".join([image.token, image.feature, *texts, *tiles, *more])
    found = re.findall(r"<[^<>{}]+>|\[[A-Z_]+\]|</[a-z]+>", written)
    return bytes_and(
        list(dict.fromkeys([*found, image.token, image.feature])), {image.feature: given.token_id, **numbers}
    )


def bytes_and(special: list[str], numbers: Mapping[str, int | None]) -> Any:
    """Bytes are tokens, and so are the special ones, some of which have a number of their own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {each: number for number, each in enumerate([*alphabet, "<pad>", "<bos>", *special])}
    for feature, token_id in numbers.items():
        if token_id is not None:
            own = vocabulary[feature]
            vocabulary |= {each: own for each, number in vocabulary.items() if number == token_id}
            vocabulary[feature] = token_id
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<bos>", additional_special_tokens=special
    )
