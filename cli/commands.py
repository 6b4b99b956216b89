"""The list of commands, and how the parser of each is made."""

from __future__ import annotations

import argparse
from importlib import import_module
from textwrap import dedent, indent
from typing import Protocol, cast

GROUPS = {
    "write a graph": {
        "new": "write a starter graph",
        "import": "turn a model description of another system into a graph",
        "list": "list the parts and graphs that come along",
        "show": "print a part with everything it holds",
        "schema": "print the JSON Schema of the language, or its reference",
    },
    "look at it": {
        "check": "report every problem of a graph",
        "plan": "say what a training step takes on each device",
        "tokens": "say how many tokens images and sounds come to",
        "viz": "draw a graph as SVG",
        "explain": "explain a diagnostic",
    },
    "compile it": {
        "build": "write the PyTorch package of a graph",
        "diff": "compare a written package with its graph",
        "export": "write the models that people deploy: ONNX, TensorRT",
    },
    "use it": {
        "weights": "compare a checkpoint with a graph",
        "convert": "write the weights of .pth files as safetensors",
        "run": "generate text with a graph",
    },
    "the shell": {
        "completion": "print a completion script",
    },
}
SUMMARIES = {name: summary for group in GROUPS.values() for name, summary in group.items()}


class Room(Protocol):
    """What the module of a command holds. Its docstring is the description that `--help` prints."""

    __doc__: str
    EXAMPLES: str

    def options(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""


def room(name: str) -> Room:
    """The module of a command, with a low line where the name means something in Python already."""
    module = f"{name}_" if name in ("import", "list") else name
    return cast(Room, import_module(f".{module}", __package__))


def parser(name: str) -> argparse.ArgumentParser:
    """The argument parser of a command."""
    home = room(name)
    made = argparse.ArgumentParser(
        prog=f"graphvlm {name}",
        description=home.__doc__,
        epilog="examples:\n" + indent(dedent(home.EXAMPLES).strip(), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    home.options(made)
    return made


def overview() -> str:
    """What `graphvlm --help` prints."""
    lines = [
        "graphvlm compiles a YAML graph of a vision-language model into a readable PyTorch package.",
        "",
        "usage: graphvlm COMMAND [arguments]",
    ]
    for title, group in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:12}{summary}" for name, summary in group.items())]
    lines += [
        "",
        "options:",
        "  -h, --help       this text; `graphvlm COMMAND --help` for a command, with examples",
        "  -V, --version    the version",
        "",
        "examples:",
        "  graphvlm new my_model",
        "  graphvlm check my_model.yaml",
        "  graphvlm build my_model.yaml -o packages",
    ]
    return "\n".join(lines)
