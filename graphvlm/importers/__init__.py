"""Foreign model descriptions to graphs; one room per format."""

from __future__ import annotations

from os.path import exists  # unlike those of Path, it never raises
from pathlib import Path

from ..diagnostics import Diagnostic, GraphError
from . import huggingface
from .huggingface.fields import shown


def import_config(path: Path) -> str:
    """The YAML text of the graph that the model description at `path` says.

    `path` is a directory with a config.json, or the JSON file itself. Whatever cannot be said in the language is a
    `GraphError` that names the field: nothing that changes the mathematics is ignored.
    """
    if huggingface.detect(path) or not exists(path):
        return huggingface.import_huggingface(path)
    message = f"`{shown(str(path))}` is no model description that can be imported"
    raise GraphError(
        [Diagnostic("invalid-config", message, help="give a directory with a config.json, or the JSON file itself")]
    )
