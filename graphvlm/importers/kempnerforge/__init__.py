"""KempnerForge configurations (TOML) to graphs: text models, and text models with image tokens before the text."""

from __future__ import annotations

import re
from typing import Any

from ...diagnostics import Source
from ...tree import Tree, mapping
from ...yaml_text import write_yaml
from ..findings import Findings, shown
from ..section import Section
from ..toml_tree import parse_toml
from .decoder import read_decoder
from .fusion import READERS, Parts, text_alone
from .tables import ADAPTER, MODEL, SECTIONS, VISION, VLM
from .vision import read_adapter, read_vision


def import_kempnerforge(source: Source, stem: str) -> str:
    """The YAML text of the graph that a configuration says; `stem` is the name of its file."""
    tree = parse_toml(source)
    problems = Findings()
    graph = _graph(tree, stem, problems)
    problems.stop()
    notes = "".join(f"# {note}\n" for note in _left_out(tree))
    return f"# Imported from {shown(source.name.replace(chr(92), '/').rpartition('/')[2])}\n{notes}{write_yaml(graph)}"


def _graph(tree: Tree, stem: str, problems: Findings) -> dict[str, Any]:
    if not _check_sections(tree, problems):
        return {}
    model = Section(_table(tree, "model"), "model.", MODEL, problems)
    llm = read_decoder(model)
    head = {"version": 1, "name": _name(stem)}
    if tree.get("vlm") is None:
        return head | text_alone(llm)
    vlm = Section(_table(tree, "vlm"), "vlm.", VLM, problems)
    vision = read_vision(Section(_table(tree, "vision_encoder"), "vision_encoder.", VISION, problems))
    adapter = read_adapter(Section(_table(tree, "adapter"), "adapter.", ADAPTER, problems), vision.name)
    vlm.check_names((), "a `[vlm]` section")
    arch = vlm.choice("arch", tuple(READERS))
    return head | READERS[arch](Parts(vlm, model, vision, adapter, llm, _frames(tree, problems)))


def _check_sections(tree: Tree, problems: Findings) -> bool:
    """Whether there is a model, below its own heading, and every other section is one that is known."""
    loose = [key for key, _ in tree.items() if key in MODEL]
    if tree.get("model") is None:
        span = tree.key_span(loose[0]) if loose else tree.span
        what = f"`{loose[0]}` stands outside every section" if loose else "there is no section `[model]`"
        problems.error("invalid-config", what, span, help="write the fields of the model below a line `[model]`")
        return False
    for key, inner in tree.items():
        if key not in SECTIONS:
            message = f"`{shown(key)}` is not a section of a KempnerForge configuration that graphvlm knows"
            problems.error("unknown-config-field", message, tree.key_span(key), help="the sections are " + _listed())
        elif not inner.is_mapping:
            problems.error("invalid-config", f"`{key}` must be a section `[{key}]`", inner.span)
    for key, needs in (("vlm", "vision_encoder"), ("vision_encoder", "vlm"), ("adapter", "vlm")):
        if tree.get(key) is not None and tree.get(needs) is None:
            problems.error("invalid-config", f"there is a section `[{key}]` and no `[{needs}]`", tree.key_span(key))
    return not problems.any


def _frames(tree: Tree, problems: Findings) -> int:
    """How many images stand before each text: one, or the frames of a video."""
    if tree.get("video") is None:
        return 1
    return Section(_table(tree, "video"), "video.", {"max_frames": 8}, problems).integer("max_frames")


def _listed() -> str:
    return ", ".join(f"`[{name}]`" for name in SECTIONS)


def _table(tree: Tree, key: str) -> Tree:
    """The section, or an empty one."""
    return tree.get(key) or mapping({}, tree.span, {})


def _left_out(tree: Tree) -> list[str]:
    """What the graph does not say."""
    notes = []
    if tree.get("vlm", "freeze_schedule"):
        notes.append("Not carried over: `vlm.freeze_schedule`, which freezes again what was trained.")
    if tree.get("video"):
        notes.append(
            "Not carried over: clips with fewer frames than `video.max_frames`, whose places KempnerForge masks."
        )
    return notes


def _name(stem: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:60].rstrip("_")
    return name if name[:1].isalpha() else f"model_{name}".rstrip("_")
