"""Foreign model descriptions to graphs; one room per format."""

from __future__ import annotations

from os.path import exists, isdir  # unlike those of Path, they never raise
from pathlib import Path

from ..diagnostics import Diagnostic, GraphError
from . import huggingface
from .findings import shown


def import_config(path: Path) -> str:
    """The YAML text of the graph that the model description at `path` says.

    `path` is a directory with a config.json, that JSON file itself, a YAML definition of LoongForge, or a TOML file of
    KempnerForge; what is in the file decides. Whatever cannot be said in the language is a `GraphError` that names the
    field: nothing that changes the mathematics is ignored.
    """
    if huggingface.detect(path) or not exists(path):
        return huggingface.import_huggingface(path)
    if not isdir(path) and (text := _import_file(path)):
        return text
    message = f"`{shown(str(path))}` is no model description that can be imported"
    help = "give a folder with config.json, that file, a YAML definition of LoongForge, or a TOML file of KempnerForge"
    raise GraphError([Diagnostic("invalid-config", message, help=help)])


def _import_file(path: Path) -> str:
    """A file that is not named as JSON; an empty text if it is of no known format."""
    from ..source import parse, read  # with the YAML parser, which a config.json does not need
    from .toml_tree import is_toml

    source = read(path)
    if source.text.lstrip().startswith("{"):
        return huggingface.import_huggingface(path)
    if path.suffix == ".toml" or is_toml(source.text):
        from .kempnerforge import import_kempnerforge

        return import_kempnerforge(source, path.stem)
    from .loongforge import detect, import_loongforge

    tree = parse(source)
    return import_loongforge(path, tree) if detect(tree) else ""
