"""Does a checkpoint directory fit a graph? Answered from the headers of its files: no tensor is read, no torch."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from .diagnostics import Diagnostic, GraphError, did_you_mean
from .ir import Graph, in_part, in_whole
from .keys import Part, aliases, dead_keys, dead_patterns, entries, ignored_patterns, parts, shapes
from .passes import apply_all

# The header of a safetensors file is JSON after its length in 8 bytes; the format allows 100 MB.
MAX_HEADER = 100_000_000
_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Misshapen:
    """A key that is there with a shape that does not fit."""

    key: str
    stored: tuple[int, ...]
    needed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What fits and what does not, in the key names of files. `unused` keys are there and no output depends on them."""

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[Misshapen, ...]
    unused: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether `from_pretrained` would load it."""
        return not (self.missing or self.unexpected or self.misshapen)


def check(graph: Graph, directory: str | Path, part: str | None = None) -> Report:
    """Compare the safetensors files in `directory` with what `graph` needs, whole or for one part.

    Raises `GraphError` if the directory or a file in it cannot be read (rule `unreadable-checkpoint`) or there is no
    such part (`unknown-node`).
    """
    rewritten = apply_all(graph)
    needed = shapes(entries(rewritten))
    stored = dict(read_headers(Path(directory)))
    spellings = aliases(rewritten)
    found = {in_files(name, spellings): shape for name, shape in stored.items()}
    own: tuple[str, ...] = ("",)
    if part is not None:
        chosen = _part(rewritten, part)
        needed, own = _of_nodes(rewritten, chosen.nodes), tuple(new for _, new in chosen.starts)
        keys = placed([in_part(name, chosen.starts) for name in needed], stored)
        # A whole model may have a part in several places.
        found = {name: stored[name] for name in needed if name in stored}
        found |= {in_whole(name, chosen.starts): stored[key] for name, key in keys.items()}
    return _compare(rewritten, needed, found, own)


def expected(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Every key of the reference checkpoint that this graph knows, with its shape: those it loads and the dead ones."""
    rewritten = apply_all(graph)
    return shapes(entries(rewritten)) | dead_keys(rewritten)


def _compare(
    graph: Graph, needed: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], own: tuple[str, ...]
) -> Report:
    patterns = (*dead_patterns(graph), *ignored_patterns(graph))
    extra = [name for name in found if name not in needed and name.startswith(own)]
    unused = [name for name in extra if any(fnmatchcase(name, pattern) for pattern in patterns)]
    both = [name for name in needed if name in found]
    return Report(
        matched=tuple(name for name in both if found[name] == needed[name]),
        missing=tuple(name for name in needed if name not in found),
        unexpected=tuple(sorted(set(extra) - set(unused))),
        misshapen=tuple(Misshapen(name, found[name], needed[name]) for name in both if found[name] != needed[name]),
        unused=tuple(unused),
    )


def placed(names: Sequence[str], stored: Collection[str]) -> dict[str, str]:
    """Name in a part -> key in the files of any model that has such a part: as generated packages look for it."""
    base = _best_prefix(names, stored)
    found = {key.removeprefix(base): key for key in stored if base and key.startswith(base)}
    for top in dict.fromkeys(name.partition(".")[0] + "." for name in names if "." in name):
        inner = [name.removeprefix(top) for name in names if name.startswith(top)]
        prefix = _best_prefix(inner, stored, top, base + top)
        found |= {top + key.removeprefix(prefix): key for key in stored if key.startswith(prefix)}
    return found | {name: base + name for name in names if base + name in stored}


def _best_prefix(names: Sequence[str], stored: Collection[str], top: str = "", usual: str = "") -> str:
    """Below which prefix most of `names` are stored; one name says nothing without `top`."""
    prefixes = {usual}
    for name in names[:: len(names) // 8 + 1]:
        found = (key.removesuffix(name) for key in stored if f".{key}".endswith(f".{name}"))
        prefixes.update(prefix for prefix in found if "." in name or prefix.endswith(top))

    def fit(prefix: str) -> tuple[int, bool, bool]:
        return sum(prefix + name in stored for name in names), prefix == usual, prefix.endswith(top)

    return max(sorted(prefixes), key=fit)


def in_files(name: str, spellings: Mapping[str, str]) -> str:
    """A key in any known spelling, as it is written in files."""
    for old, new in spellings.items():
        if name.startswith(old):
            name = new + name.removeprefix(old)
    return name


def _part(graph: Graph, name: str) -> Part:
    known = {part.name: part for part in parts(graph)}
    if name not in known:
        names = ", ".join(f"`{part}`" for part in known)
        hint = did_you_mean(name, known) or f"the parts are {names}"
        raise GraphError([Diagnostic("unknown-node", f"there is no part `{name}` with weights", help=hint)])
    return known[name]


def _of_nodes(graph: Graph, nodes: Iterable[str]) -> dict[str, tuple[int, ...]]:
    wanted = set(nodes)
    return shapes(entry for entry in entries(graph) if entry.path.partition(".")[0] in wanted)


def read_headers(directory: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(key, shape) of every tensor in the safetensors files of a directory."""
    if not directory.is_dir():
        raise _unreadable(f"{directory} is not a directory", "give the directory that holds the safetensors files")
    for path in _weight_files(directory):
        yield from _header(path)


def _weight_files(directory: Path) -> list[Path]:
    """As generated packages choose: the whole file, else the shards that the index names, else whatever is there."""
    if (directory / "model.safetensors").exists():
        return [directory / "model.safetensors"]
    index = directory / "model.safetensors.index.json"
    if index.exists():
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            return [directory / name for name in sorted(names)]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise _unreadable(f"{index} is not the index of a checkpoint", "download or save it again") from None
    files = sorted(directory.glob("*.safetensors"))
    if not files:
        raise _unreadable(f"there is no *.safetensors in {directory}", "only safetensors files are read")
    return files


def _header(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if not 0 < length <= MAX_HEADER:
                raise ValueError
            header = json.loads(file.read(length))
        tensors = {key: entry for key, entry in header.items() if key != "__metadata__"}
        yield from [(key, tuple(int(size) for size in entry["shape"])) for key, entry in tensors.items()]
    except OSError as problem:
        raise _unreadable(f"{path} cannot be read: {problem.strerror}", "check that the file is there") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _unreadable(f"{path} is not a safetensors file", "download or save it again") from None


def _unreadable(message: str, help: str) -> GraphError:
    return GraphError([Diagnostic("unreadable-checkpoint", message, help=help)])
