"""The special tokens that generation needs: from generation_config.json, else from the config."""

from __future__ import annotations

from typing import Any

from ...tree import Tree
from .fields import LARGEST, Fields, shown
from .findings import Findings

_NAMES = ("bos_token_id", "eos_token_id", "pad_token_id")


def read_generation(generation: Tree | None, config: Fields, text: Fields) -> dict[str, Any]:
    """A generation config is the only source where there is one; otherwise the outer config goes before the text's."""
    found: dict[str, Any] = {}
    for name in _NAMES:
        tokens = _lookup(name, generation, config, text)
        if tokens:
            found[name] = tokens if name == "eos_token_id" else tokens[0]
    if text.knows("decoder_start_token_id"):
        found |= _start(generation, text, found.get("pad_token_id"))
    return found


def _start(generation: Tree | None, config: Fields, pad: int | None) -> dict[str, int]:
    """The token that a decoder begins with: said in one of the files, or what fills up shorter sequences."""
    for tree in (generation, config.tree):
        if tree is not None and tree.get("decoder_start_token_id") is not None:
            named = _tokens("decoder_start_token_id", tree.get("decoder_start_token_id"), config.problems)
            if named:
                return {"start_token_id": named[0]}
    return {} if pad is None else {"start_token_id": pad}


def _lookup(name: str, generation: Tree | None, config: Fields, text: Fields) -> list[int]:
    if generation is not None:
        return _tokens(name, generation.get(name), config.problems)
    for fields in (config, text):
        if fields.has(name):
            return _tokens(name, fields.tree.get(name), config.problems)
    default = None if text.tree.get(name) is not None else text.table.understood.get(name)
    return [] if default is None else [default]


def _tokens(name: str, tree: Tree | None, problems: Findings) -> list[int]:
    """One token, or a list of tokens where several end a text."""
    if tree is None or tree.value is None:
        return []
    value = tree.plain()
    tokens = value if isinstance(value, list) else [value]
    if all(isinstance(token, int) and not isinstance(token, bool) and abs(token) <= LARGEST for token in tokens):
        # files carry -1 for "none"
        return [token for token in tokens if token >= 0]
    problems.error("invalid-config", f"`{name}` must be a token or a list of tokens, not {shown(value)}", tree.span)
    return []
