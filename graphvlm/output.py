"""Writing a package to disk: whole or not at all, and never over somebody's edits."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .diagnostics import Diagnostic, GraphError

MANIFEST = ".graphvlm.json"


def write(folder: Path, files: Mapping[str, str], *, force: bool = False) -> list[str]:
    """Make `folder` hold `files`; returns the names that changed.

    Raises `GraphError` before anything is written: rule `edited-output` when a file was edited by hand since the last
    build, or lies there without having been written by a build (`force` overwrites), and rule `unwritable-output` when
    the files cannot be written.
    """
    known = manifest(folder)
    if not force:
        _refuse_edited(folder, files, known)
    texts = {name: text for name, text in files.items() if _read(folder / name) != text}
    gone = [name for name in known if name not in files and (folder / name).is_file()]
    sums = {name: _sum(text) for name, text in sorted(files.items())}
    record = {MANIFEST: json.dumps(sums, indent=2) + "\n"} if sums != known else {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if texts or gone or record:
            _replace_all(folder, texts, gone, record)
    except (OSError, ValueError) as error:
        raise _unwritable(folder, error) from error
    return sorted([*texts, *gone])


def diff(folder: Path, files: Mapping[str, str]) -> str:
    """A unified diff from what is on disk to `files`; empty if they are equal."""
    names = sorted({*files, *(name for name in manifest(folder) if (folder / name).is_file())})
    return "".join(_unified(folder, name, _read(folder / name), files.get(name)) for name in names)


def manifest(folder: Path) -> dict[str, str]:
    """File -> sha256 of what the last build wrote; empty where there is none."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    # A manifest is a list of file names in this folder; anything else in it is not ours to touch.
    return {name: str(value) for name, value in found.items() if Path(name).name == name and name != MANIFEST}


def _refuse_edited(folder: Path, files: Mapping[str, str], known: Mapping[str, str]) -> None:
    edited = list(_edited(folder, files, known))
    if not edited:
        return
    changes = "".join(_unified(folder, name, _read(folder / name), files.get(name)) for name in edited)
    names = ", ".join(edited)
    raise GraphError(
        [
            Diagnostic(
                "edited-output",
                f"{names} in {folder} {'was' if len(edited) == 1 else 'were'} edited by hand; nothing was written",
                note=changes,
                help="keep the edits and change the graph to match, or build with --force to lose them",
            )
        ]
    )


def _edited(folder: Path, files: Mapping[str, str], known: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*files, *known}):
        text = _read(folder / name)
        if text is not None and text != files.get(name) and _sum(text) != known.get(name):
            yield name


def _unified(folder: Path, name: str, old: str | None, new: str | None) -> str:
    lines = difflib.unified_diff(
        (old or "").splitlines(keepends=True),
        (new or "").splitlines(keepends=True),
        str(folder / name) if old is not None else "/dev/null",
        f"{name} (built)" if new is not None else "/dev/null",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except (OSError, ValueError):
        return None


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _replace_all(folder: Path, texts: Mapping[str, str], gone: Iterable[str], record: Mapping[str, str]) -> None:
    """Put new files in place and take old ones away, all or none: what is new is written aside first."""
    stage = Path(tempfile.mkdtemp(dir=folder, prefix=".graphvlm-"))
    try:
        for name, text in (*texts.items(), *record.items()):
            (stage / name).write_bytes(text.encode())
        _swap(folder, stage, [*texts, *gone, *record])
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _swap(folder: Path, stage: Path, names: list[str]) -> None:
    """Rename one file after the other, a matter of microseconds; an exception on the way puts the old ones back."""
    old = stage / ".old"
    old.mkdir()
    for name in names:
        if os.path.lexists(folder / name):
            _keep(folder / name, old / name)
    done: list[str] = []
    try:
        for name in names:
            done.append(name)
            if (stage / name).exists():
                os.replace(stage / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
    except BaseException:
        for name in done:
            if os.path.lexists(old / name):
                os.replace(old / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        raise


def _keep(path: Path, copy: Path) -> None:
    """A second name for a file; a copy where the file system knows no such thing."""
    try:
        os.link(path, copy, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(path, copy, follow_symlinks=False)


def _unwritable(folder: Path, error: OSError | ValueError) -> GraphError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    message = f"the package cannot be written to {str(folder)!r}: {reason}"
    return GraphError(
        [Diagnostic("unwritable-output", message, help="choose another folder, or make this one writable")]
    )
