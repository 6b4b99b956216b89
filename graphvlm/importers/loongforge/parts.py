"""The components of a definition joined: one alone, or tower, projector and foundation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...diagnostics import Label, did_you_mean
from ...tree import Tree
from ..findings import Findings, shown
from .component import Component, Kind, Path
from .compose import Composed, preset_of
from .foundation import ABOUT, read_foundation, read_vocab
from .tables import FOUNDATIONS, LATER, TOWER_TOKENS
from .unsaid import IMAGE_TOKENS, MEGATRON, SCRIPTS, VOCABULARIES, unsaid_of


@dataclass(frozen=True, slots=True)
class Parts:
    """A graph without its version and name, and the comments on it."""

    graph: dict[str, Any]
    notes: dict[Path, str]


NOTHING = Parts({}, {})
_EMBEDDING = {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids"}


def read_component(composed: Composed, problems: Findings) -> Parts:
    """The graph of a file that defines one component."""
    stem = _class(composed.tree, problems)
    if stem not in FOUNDATIONS:
        _refuse_later(composed.tree, stem, problems)
        return NOTHING
    config = _foundation(composed, composed.tree, "", problems)
    llm = read_foundation(config, "text")
    graph = {
        "description": "A language model of LoongForge",
        "inputs": {"input_ids": "tokens"},
        "nodes": {"text": _EMBEDDING, "llm": llm},
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"use": "checkpoint/causal_lm"},
    }
    return Parts(graph, config.notes(ABOUT, "llm", llm))


def read_composition(composed: Composed, problems: Findings) -> Parts:
    """The graph of a tower, a projector and a foundation."""
    model = composed.tree.get("model")
    assert model is not None
    _check_composition(model, problems)
    trees = {slot: model.get(slot) for slot in ("image_encoder", "image_projector", "foundation")}
    for slot, tree in trees.items():
        if tree is None or not tree.is_mapping:
            problems.error(
                "invalid-config", f"`model.{slot}` is missing", model.span, help=f"name a {slot} in `defaults`"
            )
            return NOTHING
        stem = _class(tree, problems)
        if stem not in FOUNDATIONS:
            _refuse_later(tree, stem, problems)
    _check_token(composed, problems)
    return NOTHING


def _foundation(composed: Composed, tree: Tree, path: str, problems: Findings) -> Component:
    """The foundation with what launch scripts say of the file, then of the preset, then what tokenizers say."""
    names = tuple(dict.fromkeys((preset_of(composed.path), composed.presets.get("model.foundation", ""))))
    unsaid = [*unsaid_of(names, SCRIPTS), *unsaid_of(names, VOCABULARIES), MEGATRON]
    stem = _class(tree, problems)
    return Component(tree, path, Kind(stem, FOUNDATIONS[stem]), problems, unsaid)


def _class(tree: Tree, problems: Findings) -> str:
    """The name of the class that a component names."""
    target = tree.get("_target_")
    name = target.value if target is not None else None
    if not isinstance(name, str):
        problems.error("invalid-config", "a component names its class: `_target_`", tree.span)
        return ""
    return name.rpartition(".")[2]


def _refuse_later(tree: Tree, stem: str, problems: Findings) -> None:
    target = tree.get("_target_")
    if target is None:
        return
    if stem in LATER:
        message = f"`{stem}` needs {LATER[stem]}: that is not in the language yet"
        problems.error("unsupported-config", message, target.span)
        return
    message = f"LoongForge has no class `{shown(stem)}`: it cannot build this definition either"
    known = [*FOUNDATIONS, *LATER]
    problems.error("unsupported-config", message, target.span, help=did_you_mean(stem[:60], known))


def _check_composition(model: Tree, problems: Findings) -> None:
    slots = {"image_encoder", "image_projector", "foundation", "peft_config"}
    harmless = {"model_type", "loss_func", "position_idx_func", "mix_used_vision_encoder", "mix_used_vision_projector"}
    for key, _ in model.items():
        if key not in {*slots, *harmless, "vision_token_id"}:
            message = f"`model.{shown(key)}` is not a field of a composition that graphvlm knows"
            problems.error("unknown-config-field", message, model.key_span(key), help=did_you_mean(key[:60], slots))


def _check_token(composed: Composed, problems: Findings) -> None:
    """The token that stands for an image must be one of the vocabulary."""
    found = image_token(composed)
    tree = composed.tree.get("model", "foundation")
    assert tree is not None
    if found is None or _class(tree, Findings()) not in FOUNDATIONS:
        return
    token, origin = found
    config = _foundation(composed, tree, "model.foundation.", Findings())
    vocab = read_vocab(config)
    if token < vocab:
        return
    where = composed.tree.get("model", "image_encoder", "_target_") or tree
    problems.error(
        "placeholder-outside-vocabulary",
        f"the image token is {token} ({origin}), but the foundation has {vocab} tokens, 0 to {vocab - 1}",
        where.span,
        labels=(Label(tree.span, f"its vocabulary: {config.origins.get('vocab_size', 'written here')}"),),
        help="give the tower an `image_token_id` that the tokenizer of the foundation has",
    )


def image_token(composed: Composed) -> tuple[int, str] | None:
    """The token that is replaced by image features, and where it is from."""
    written = composed.tree.get("model", "image_encoder", "image_token_id")
    if written is not None and isinstance(written.value, int):
        return written.value, "`image_token_id`"
    tower = composed.tree.get("model", "image_encoder")
    stem = _class(tower, Findings()) if tower is not None else ""
    if stem in TOWER_TOKENS:
        return TOWER_TOKENS[stem], f"the default of {stem}"
    names = (composed.presets.get("model.foundation", ""),)
    for unsaid in unsaid_of(names, IMAGE_TOKENS):
        return int(unsaid.values["image_token_id"]), unsaid.origin
    return None
