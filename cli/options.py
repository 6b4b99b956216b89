"""Arguments that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from graphvlm import names
from graphvlm.diagnostics import did_you_mean

from .console import UsageError, step

if TYPE_CHECKING:
    from graphvlm.ir import Graph

FORMATS = ("text", "concise", "json", "github", "sarif")
CHANGES_HELP = "merged on top, in order: other YAML files, and settings such as nodes.llm.layers=2 (null deletes a key)"


def add_graph(parser: argparse.ArgumentParser) -> None:
    """The graph: a file, or the name of one that comes along."""
    parser.add_argument("graph", metavar="GRAPH", help="a YAML file, or the name of a shipped graph")


def add_changes(parser: argparse.ArgumentParser) -> None:
    """What is merged over the graph, and the format of diagnostics. Comes after the other positional arguments."""
    parser.add_argument("changes", metavar="CHANGE", nargs="*", help=CHANGES_HELP)
    parser.add_argument("--format", choices=FORMATS, default="text", help="of diagnostics (default: text)")


def add_passes(parser: argparse.ArgumentParser) -> None:
    """Switches of the rewrites; short for settings below `passes`."""
    group = parser.add_argument_group("rewrites")
    group.add_argument("--keep-dead", action="store_true", help="keep layers that no output depends on")
    group.add_argument("--no-pass", metavar="NAME", action="append", default=[], help="switch a rewrite off")


def graph_path(name: str) -> Path:
    """The file that a GRAPH argument means."""
    from graphvlm import catalog

    path = Path(name)
    if path.is_file():
        return path
    shipped = catalog.graphs()
    if name in shipped:
        return shipped[name]
    hint = did_you_mean(name, shipped) or "`graphvlm list graphs` names the shipped ones"
    raise UsageError(f"there is no file and no shipped graph `{name}`; {hint}")


def changes(args: argparse.Namespace) -> tuple[list[Path], list[str]]:
    """The overlays and overrides of a command line."""
    overlays, overrides = _split(args.changes)
    if getattr(args, "keep_dead", False):
        overrides.append("passes.dead_layers=false")
    overrides += [f"passes.{name}=false" for name in getattr(args, "no_pass", ())]
    return overlays, overrides


def _split(words: Iterable[str]) -> tuple[list[Path], list[str]]:
    overlays, overrides = [], []
    for word in words:
        if Path(word).is_file():
            overlays.append(Path(word))
        elif "=" in word:
            overrides.append(word)
        else:
            raise UsageError(f"`{word}` is neither a YAML file nor a setting such as nodes.llm.layers=2")
    return overlays, overrides


def load(args: argparse.Namespace, extra: Iterable[str] = ()) -> Graph:
    """The resolved graph of a command line, with `extra` settings on top."""
    import graphvlm

    overlays, overrides = changes(args)
    with step(f"reading {args.graph}"):
        return graphvlm.load(graph_path(args.graph), *overlays, overrides=[*overrides, *extra])


def write(text: str, target: Path | None, *, keep: bool = False) -> None:
    """Print a text, or write it to a file and print its name; with `keep`, never over a file that says otherwise."""
    if target is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return
    if target.is_dir():
        raise UsageError(f"{target} is a folder; name a file")
    if keep and target.exists() and target.read_bytes() not in (b"", text.encode()):
        raise UsageError(f"{target} exists and differs from what would be written; --force overwrites it")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8", newline="\n")
    print(target)


def renamed(text: str, name: str) -> str:
    """The text of a graph under another name."""
    return re.sub(r"^name:.*$", f"name: {name}", text, count=1, flags=re.MULTILINE)


def check_name(name: str) -> str:
    """The name, if a graph can have it."""
    reason = names.reserved(name, "graph")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        reason = "a name is made of small letters, digits and underscores"
    if reason:
        raise UsageError(f"a graph cannot be called `{name}`: {reason}")
    return name
