"""The components of a definition joined: one alone, or tower, projector and foundation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...diagnostics import Label, did_you_mean
from ...tree import Tree
from ..findings import Findings, shown
from .by_kind import NOTES, TYPES
from .checkpoints import add_names
from .component import Component, Kind, Path
from .compose import Composed, preset_of
from .foundation import ABOUT, read_foundation, read_vocab
from .projectors import deep_merger, read_projector
from .tables import FOUNDATIONS, LATER, PROJECTORS, TOWER_TOKENS, TOWERS, Values
from .towers import Tower, read_tower
from .unsaid import ALONE, IMAGE_TOKENS, MEGATRON, PARTS, PUBLISHED, SCRIPTS, VOCABULARIES, unsaid_of


@dataclass(frozen=True, slots=True)
class Parts:
    """A graph without its version and name, and the comments on it."""

    graph: dict[str, Any]
    notes: dict[Path, str]


NOTHING = Parts({}, {})
_EMBEDDING = {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids"}
_BIAS: Mapping[Path, tuple[str, ...]] = {("bias",): ("add_bias_linear",)}
_SLOTS: Mapping[str, Mapping[str, Values]] = {
    "image_encoder": TOWERS,
    "image_projector": PROJECTORS,
    "foundation": FOUNDATIONS,
}


def read_component(composed: Composed, problems: Findings) -> Parts:
    """The graph of a file that defines one component."""
    tree = composed.tree
    stem = class_of(tree, problems)
    if stem in FOUNDATIONS:
        return _foundation_alone(_foundation(composed, tree, "", problems))
    if stem in TOWERS:
        return _tower_alone(read_tower(_part(tree, "", problems)))
    if stem in PROJECTORS:
        return _projector_alone(_part(tree, "", problems), preset_of(composed.path))
    _refuse_class(tree, stem, problems)
    return NOTHING


def _foundation_alone(config: Component) -> Parts:
    llm = read_foundation(config, "text")
    graph = {
        "description": "A language model of LoongForge",
        "inputs": {"input_ids": "tokens", **_kinds(llm)},
        "nodes": {"text": _EMBEDDING, "llm": llm},
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"use": "checkpoint/causal_lm"},
    }
    return Parts(graph, _llm_notes(config, llm))


def _kinds(llm: Mapping[str, Any]) -> dict[str, str]:
    """The input that says which tokens have the experts of images, where there are such."""
    return {TYPES: "mask"} if "segments" in llm else {}


def _llm_notes(config: Component, llm: Mapping[str, Any]) -> dict[Path, str]:
    own = {("nodes", "llm", *path): note for path, note in NOTES.items()} if "segments" in llm else {}
    return config.notes(ABOUT, "llm", llm) | own


def _tower_alone(tower: Tower) -> Parts:
    taps = {tap: f"vision.{tap}" for tap in tower.taps}
    graph = {
        "description": "An image encoder of LoongForge",
        "inputs": tower.inputs,
        "nodes": tower.nodes,
        "outputs": {"image_features": tower.end, **taps},
    }
    return Parts(graph, _tower_notes(tower))


def _tower_notes(tower: Tower) -> dict[Path, str]:
    return {("nodes", "vision"): tower.note} if tower.note else {}


def _projector_alone(config: Component, preset: str) -> Parts:
    """Between widths that only a composition knows: those of the first one that uses it."""
    unsaid = next(unsaid_of((preset,), ALONE), None)
    if unsaid is None:
        message = "a projector alone has no widths: they are those of a tower and of a language model"
        config.problems.error("invalid-config", message, config.tree.span, help="import a composition that uses it")
        return NOTHING
    nodes = read_projector(config, "features")
    last = next(reversed(nodes))
    nodes[last].setdefault("out", unsaid.values["out"])
    graph = {
        "description": "An image projector of LoongForge",
        "inputs": {"features": {"type": "features", "dim": unsaid.values["in"], "tokens": unsaid.values["tokens"]}},
        "nodes": nodes,
        "outputs": {"image_features": last},
    }
    note = f"not in the source file; from {unsaid.origin}"
    return Parts(graph, {("inputs", "features"): f"dim, tokens: {note}", ("nodes", last, "out"): f"out: {note}"})


def read_composition(composed: Composed, problems: Findings) -> Parts:
    """The graph of a tower, a projector and a foundation."""
    model = composed.tree.get("model")
    assert model is not None
    _check_composition(model, problems)
    trees = {slot: tree for slot in _SLOTS if (tree := model.get(slot)) is not None and tree.is_mapping}
    for slot, known in _SLOTS.items():
        if slot not in trees:
            message = f"`model.{slot}` is missing"
            problems.error("invalid-config", message, model.span, help=f"name a {slot} in `defaults`")
        elif (stem := class_of(trees[slot], problems)) not in known:
            _refuse_class(trees[slot], stem, problems)
    token = image_token(composed, problems)
    _check_token(composed, trees, token, problems)
    if problems.any or token is None:
        return NOTHING
    tower = read_tower(_part(trees["image_encoder"], "model.image_encoder.", problems))
    projector = _part(trees["image_projector"], "model.image_projector.", problems)
    config = _foundation(composed, trees["foundation"], "model.foundation.", problems)
    llm = read_foundation(config, "fused", grid=bool(tower.grid))
    projected = read_projector(projector, tower.features)
    last = next(reversed(projected))
    nodes = {**tower.nodes, **projected, **_deep(projector, tower)}
    nodes |= _language(tower, llm, last, token[0])
    owners = {node: "image_encoder" if node in tower.nodes else _owner(node) for node in nodes}
    frozen = [
        node
        for node, owner in owners.items()
        if owner in trees and nodes[node]["type"] not in _WEIGHTLESS and _frozen(trees[owner])
    ]
    graph = {
        "description": f"{_words(trees)} of LoongForge",
        "inputs": {**tower.inputs, "input_ids": "tokens", **_kinds(llm)},
        "nodes": nodes,
        "outputs": {"logits": "llm.logits"},
        **({"freeze": frozen} if frozen else {}),
        **add_names(nodes, class_of(trees["image_encoder"], problems), config.stem),
    }
    notes = _tower_notes(tower) | projector.notes(_BIAS, last, nodes[last]) | _llm_notes(config, llm)
    if token[1]:
        for node in ("fused", "deep", "positions"):
            if node in nodes:
                notes["nodes", node, "placeholder"] = f"image: not in the source file; from {token[1]}"
    return Parts(graph, notes)


_WEIGHTLESS = ("patches", "frame_merger")


def _deep(projector: Component, tower: Tower) -> dict[str, Any]:
    """A projector for every hidden state between the layers of the tower, and their places in the text."""
    return {f"deep_merger_{index}": deep_merger(projector, f"vision.{tap}") for index, tap in enumerate(tower.taps, 1)}


def _language(tower: Tower, llm: dict[str, Any], last: str, token: int) -> dict[str, Any]:
    """The text with image features in the places of a token, positions by the grid, and the decoder."""
    placeholder = {"image": token}
    scatter = {"text": "text", "image": last, "ids": "input_ids"}
    nodes: dict[str, Any] = {
        "text": _EMBEDDING,
        "fused": {"kind": "fusion", "type": "scatter", "inputs": scatter, "placeholder": placeholder},
    }
    wires = {"features": "fused"}
    if tower.taps:
        deep = {f"image_{index}": f"deep_merger_{index}" for index, _ in enumerate(tower.taps, 1)}
        inputs = {"ids": "input_ids", **deep}
        spread = {"kind": "fusion", "type": "spread", "inputs": inputs, "placeholder": placeholder}
        nodes["deep"] = {**spread, "depths": len(tower.taps)}
        wires |= {f"inject_{index}": f"deep.depth_{index + 1}" for index, _ in enumerate(tower.taps)}
        llm["inject"] = list(range(len(tower.taps)))
    if llm["position"]["type"] == "mrope":
        inputs = {"ids": "input_ids", "image": tower.grid}
        node = {"kind": "encoder", "type": "grid_positions", "inputs": inputs, "placeholder": placeholder}
        merged = {"merged_frames": tower.frames} if tower.frames > 1 else {}
        nodes["positions"] = {**node, "group": tower.group, **merged}
        wires["positions"] = "positions"
    if "segments" in llm:
        wires["vision_tokens"] = TYPES
    if len(wires) > 1:
        llm["inputs"] = wires
    return {**nodes, "llm": llm}


def _foundation(composed: Composed, tree: Tree, path: str, problems: Findings) -> Component:
    """The foundation with what launch scripts say of the file, then of the preset, then what tokenizers say."""
    names = tuple(dict.fromkeys((preset_of(composed.path), composed.presets.get("model.foundation", ""))))
    unsaid = [*unsaid_of(names, SCRIPTS), *unsaid_of(names, PUBLISHED), *unsaid_of(names, VOCABULARIES), MEGATRON]
    stem = class_of(tree, problems)
    return Component(tree, path, Kind(stem, FOUNDATIONS[stem]), problems, unsaid)


def _part(tree: Tree, path: str, problems: Findings) -> Component:
    """A tower or a projector, which has defaults of its own."""
    stem = class_of(tree, problems)
    return Component(tree, path, Kind(stem, {**TOWERS, **PROJECTORS}[stem]), problems, (PARTS,))


def class_of(tree: Tree, problems: Findings) -> str:
    """The name of the class that a component names."""
    target = tree.get("_target_")
    name = target.value if target is not None else None
    if not isinstance(name, str):
        problems.error("invalid-config", "a component names its class: `_target_`", tree.span)
        return ""
    return name.rpartition(".")[2]


def _refuse_class(tree: Tree, stem: str, problems: Findings) -> None:
    target = tree.get("_target_")
    if target is None:
        return
    if stem in LATER:
        message = f"`{stem}` needs {LATER[stem]}: that is not in the language yet"
        problems.error("unsupported-config", message, target.span)
        return
    known = [*FOUNDATIONS, *TOWERS, *PROJECTORS, *LATER]
    wrong = f"`{stem}` cannot stand here" if stem in known else f"LoongForge has no class `{shown(stem)}`"
    message = f"{wrong}: it cannot build this definition either"
    problems.error("unsupported-config", message, target.span, help=did_you_mean(stem[:60], known))


def _check_composition(model: Tree, problems: Findings) -> None:
    harmless = {"model_type", "loss_func", "position_idx_func", "mix_used_vision_encoder", "mix_used_vision_projector"}
    for key, _ in model.items():
        if key not in {*_SLOTS, *harmless, "peft_config", "vision_token_id"}:
            message = f"`model.{shown(key)}` is not a field of a composition that graphvlm knows"
            problems.error("unknown-config-field", message, model.key_span(key), help=did_you_mean(key[:60], _SLOTS))


def image_token(composed: Composed, problems: Findings) -> tuple[int, str] | None:
    """The token that is replaced by image features, and where it is from; nothing more if that is the file."""
    tower = composed.tree.get("model", "image_encoder")
    if tower is None:
        return None
    written = tower.get("image_token_id")
    if written is not None and type(written.value) is int:
        return written.value, ""
    stem = class_of(tower, Findings())
    if stem in TOWER_TOKENS:
        return TOWER_TOKENS[stem], f"the default of {stem}"
    for unsaid in unsaid_of((composed.presets.get("model.foundation", ""),), IMAGE_TOKENS):
        return int(unsaid.values["image_token_id"]), unsaid.origin
    message = (
        "`model.image_encoder.image_token_id` is missing: it is looked up in a tokenizer that graphvlm does not know"
    )
    problems.error("invalid-config", message, tower.span, help="write the token that stands for an image")
    return None


def _check_token(
    composed: Composed, trees: Mapping[str, Tree], token: tuple[int, str] | None, problems: Findings
) -> None:
    """The token that stands for an image must be one of the vocabulary."""
    tree = trees.get("foundation")
    if token is None or tree is None or class_of(tree, Findings()) not in FOUNDATIONS:
        return
    config = _foundation(composed, tree, "model.foundation.", Findings())
    vocab = read_vocab(config)
    if token[0] < vocab:
        return
    where = trees["image_encoder"].get("_target_") or tree
    problems.error(
        "placeholder-outside-vocabulary",
        f"the image token is {token[0]} ({token[1] or 'written here'}), but the foundation has {vocab} tokens, "
        f"0 to {vocab - 1}",
        where.span,
        labels=(Label(tree.span, f"its vocabulary: {config.origins.get('vocab_size', 'written here')}"),),
        help="give the tower an `image_token_id` that the tokenizer of the foundation has",
    )


def _owner(node: str) -> str:
    """The slot that a node of the graph comes from."""
    if node in ("text", "llm"):
        return "foundation"
    return (
        "image_encoder"
        if node == "vision"
        else "image_projector"
        if node.startswith(("projector", "merger", "deep_m"))
        else ""
    )


def _frozen(tree: Tree) -> bool:
    freeze = tree.get("freeze")
    return freeze is not None and freeze.value is True


def _words(trees: Mapping[str, Tree]) -> str:
    names = (class_of(trees[slot], Findings()).removesuffix("Config") for slot in _SLOTS)
    return ", ".join(names)
