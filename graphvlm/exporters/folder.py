"""Folders that exports are written to: whole or not at all, and never over what somebody else put there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MANIFEST = "manifest.json"
_BLOCK = 1 << 22


class ForeignFiles(Exception):
    """A folder holds files that no export wrote, or that were changed since."""

    def __init__(self, folder: Path, files: tuple[str, ...]) -> None:
        self.folder, self.files = folder, files
        shown = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        super().__init__(f"{folder} holds {shown}, which no export wrote as it is now; name another folder, or --force")


@contextmanager
def replaced(folder: Path, *, force: bool = False) -> Iterator[Path]:
    """A new folder to write into, which takes the place of `folder` at the end; on an error nothing has happened.

    Raises `ForeignFiles` before anything is written.
    """
    if not force and (found := foreign(folder)):
        raise ForeignFiles(folder, found)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield new
        new.chmod(0o777 & ~_umask())
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            os.replace(folder, old)
            os.replace(new, folder)
            shutil.rmtree(old)
        else:
            os.replace(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def foreign(folder: Path) -> tuple[str, ...]:
    """The files in a folder that are not, byte for byte, those that its manifest lists."""
    if not folder.exists():
        return ()
    if not folder.is_dir():
        return (folder.name,)
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        listed = {}
    found = sorted(path for path in folder.rglob("*") if not path.is_dir() and "__pycache__" not in path.parts)
    names = {path: path.relative_to(folder).as_posix() for path in found}
    return tuple(
        name for path, name in names.items() if (name != MANIFEST or not listed) and listed.get(name) != digest(path)
    )


def digest(path: Path) -> str:
    """The sha256 of a file."""
    made = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            made.update(block)
    return made.hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """File name -> sha256, of all files but the manifest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): digest(path) for path in files}


def write_json(path: Path, value: object) -> None:
    """JSON for people: indented, in the order given."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
