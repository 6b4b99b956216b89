"""Hugging Face configs (config.json) to graphs: multimodal models, and the text models alone."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from os.path import isfile  # unlike that of Path, it never raises
from pathlib import Path
from typing import Any

from ...diagnostics import Diagnostic, GraphError, Source, did_you_mean
from ...tree import Tree
from ...words import listed
from ...yaml_text import write_yaml
from ..json_tree import MAX_BYTES, parse_json
from .fields import Fields, shown
from .findings import Findings
from .generation import read_generation
from .missing import MISSING
from .models import ARCHITECTURES, FAMILIES, TEXT, classes
from .prompts import PREPROCESSOR, PROCESSOR, TEMPLATES, TOKENIZER, Beside, read_prompt
from .text import read_decoder, read_embedding
from .text_tables import TEXT_TABLES

CONFIG = "config.json"
GENERATION = "generation_config.json"
MODEL_TYPES = tuple(ARCHITECTURES)


def detect(path: Path) -> bool:
    """Whether `path` is a config file or a directory with one."""
    return path.suffix == ".json" or isfile(path / CONFIG)


def import_huggingface(path: Path) -> str:
    """The YAML text of the graph that a config describes."""
    file = path if path.suffix == ".json" or isfile(path) else path / CONFIG
    tree = _read(file)
    beside = file.parent / GENERATION
    generation = _read(beside) if isfile(beside) else None
    problems = Findings()
    graph = _graph(tree, generation, problems)
    problems.stop()
    if graph is None:  # a part that could not be read has noted why
        raise AssertionError("an import without a graph and without a problem")
    images = any(kind in ("image", "stack", "tiles", "patches") for kind in graph["inputs"].values())
    prompt, unread = read_prompt(_beside(file.parent)) if images else ({}, "")
    head = f"# Imported from {shown(file.name)}\n" + (f"# No `prompt.image`: {shown(unread)}\n" if unread else "")
    return head + write_yaml(graph | ({"prompt": prompt} if prompt else {}))


def _beside(folder: Path) -> Beside:
    """What lies in a folder for prompts."""
    files = (PREPROCESSOR, PROCESSOR, TOKENIZER, *TEMPLATES[1:])
    found = {name: _read(folder / name).plain() if _short(folder / name) else {} for name in files}
    written = folder / TEMPLATES[0]
    templates = [
        written.read_text(encoding="utf-8", errors="replace") if _short(written) else "",
        *(found[name].get("chat_template") for name in (TEMPLATES[1], PROCESSOR, TOKENIZER)),
    ]
    template = next((each for each in templates if isinstance(each, str) and each), "")
    return Beside(found[PREPROCESSOR], found[PROCESSOR], found[TOKENIZER], template)


def _short(file: Path) -> bool:
    """Whether there is a file, and not one of a tokenizer with all its words."""
    return isfile(file) and file.stat().st_size <= MAX_BYTES


def _read(file: Path) -> Tree:
    """The object in a JSON file."""
    try:
        if not isfile(file):
            raise FileNotFoundError("there is no such file")
        if file.stat().st_size > MAX_BYTES:
            raise OSError(f"it is larger than {MAX_BYTES} bytes")
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        message = f"`{shown(str(file))}` cannot be read: {shown(reason)}"
        help = f"give a directory with a {CONFIG}, or the file itself"
        raise GraphError([Diagnostic("invalid-config", message, help=help)]) from None
    tree = parse_json(Source(str(file), text))
    if not tree.is_mapping:
        message = "a config is a JSON object, `{...}`"
        raise GraphError([Diagnostic("invalid-config", message, tree.span)])
    return tree


def _graph(tree: Tree, generation: Tree | None, problems: Findings) -> dict[str, Any] | None:
    model_type = tree.get("model_type")
    name = None if model_type is None else model_type.plain()
    _check_architecture(tree, name, problems)
    inputs: Mapping[str, Any] = {"input_ids": "tokens"}
    if isinstance(name, str) and name in FAMILIES:
        family = FAMILIES[name].family(name)
        config = Fields(tree, family.table, problems)
        made = family.read(config)
        if made is None:
            return None
        body, text, inputs = made.body, made.text, made.inputs
    elif isinstance(name, str) and name in TEXT:
        config = text = Fields(tree, TEXT_TABLES[name], problems)
        body = _text_alone(config)
    else:
        _refuse_type(tree, name, problems)
        return None
    decodes = any(node.get("kind") == "decoder" for node in body["nodes"].values())
    special = read_generation(generation, config, text) if decodes else {}
    checkpoint = {"checkpoint": body.pop("checkpoint")}
    head = {"version": 1, "name": _name(tree, body["nodes"]), **_about(tree, name)}
    return head | {"inputs": dict(inputs)} | body | ({"generation": special} if special else {}) | checkpoint


def _text_alone(config: Fields) -> dict[str, Any]:
    llm = read_decoder(config, "text", tied=config.boolean("tie_word_embeddings"))
    return {
        "nodes": {"text": read_embedding(config), "llm": llm},
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"use": "checkpoint/causal_lm"},
    }


def _refuse_type(tree: Tree, name: object, problems: Findings) -> None:
    if name is None:
        problems.error(
            "invalid-config", "the config has no `model_type`", tree.span, help="add it: " + ", ".join(MODEL_TYPES)
        )
        return
    known = "it can be one of " + ", ".join(MODEL_TYPES)
    suggestion = did_you_mean(name[:60], MODEL_TYPES) if isinstance(name, str) else ""
    lacking = MISSING.get(name) if isinstance(name, str) else None
    needs = f": graphvlm lacks {lacking}" if lacking else ""
    message = f"a config of `model_type` `{shown(name)}` cannot be imported yet{needs}"
    span = (tree.get("model_type") or tree).span
    problems.error("unsupported-config", message, span, help=suggestion or known)


def _check_architecture(tree: Tree, name: object, problems: Findings) -> None:
    written = tree.get("architectures")
    expected = classes(name) if isinstance(name, str) and name in ARCHITECTURES else ()
    if written is None or not expected or not written.elements():
        return
    if all(element.value not in expected for element in written.elements()):
        only = listed(expected, "or")
        message = f"`architectures` is {shown(written.plain())}: of `{shown(name)}`, only {only} can be imported"
        problems.error("unsupported-config", message, written.span, help=f"import the config of a {only}")


def _about(tree: Tree, name: str) -> dict[str, str]:
    """What the graph is, and where from, if that is the name of a repository and not a place on a machine."""
    origin = _origin(tree)
    about = {"description": f"{_class(tree, name)} of transformers"}
    return about | {"source": origin} if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", origin, re.ASCII) else about


def _class(tree: Tree, name: str) -> str:
    """The class that the file names, else the usual one of its type."""
    written = tree.get("architectures")
    named = [element.value for element in written.elements()] if written is not None else []
    return next((found for found in classes(name) if found in named), ARCHITECTURES[name])


def _origin(tree: Tree) -> str:
    origin = tree.get("_name_or_path")
    return origin.value if origin is not None and isinstance(origin.value, str) else ""


def _name(tree: Tree, nodes: dict[str, Any]) -> str:
    """The last part of where the config comes from, else the model types; as an identifier."""
    names = [tree.plain().get("model_type")]
    for part in ("vision_config", "audio_config", "text_config"):
        model_type = tree.get(part, "model_type")
        if part.removesuffix("_config") in nodes and model_type is not None and isinstance(model_type.value, str):
            names.append(model_type.value.split("_")[0])
    for candidate in (re.split(r"[/\\]", _origin(tree).rstrip("/\\"))[-1], "_".join(names)):
        name = re.sub(r"[^a-z0-9]+", "_", candidate.lower()).strip("_")[:60].rstrip("_")
        name = re.sub(r"^[0-9_]+", "", name)
        if name:
            return f"{name}_model" if keyword.iskeyword(name) else name
    return "model"
