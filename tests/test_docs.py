"""The documents hold: their blocks run and print what is shown, what they quote is there, links lead somewhere.

A document is played in one empty folder, with one Python session. A comment on the line before a block says what else
to do with it than to run it:

    <!-- file: NAME -->           a file to write, as the text around it asks
    <!-- in: NAME -->             a quotation from this file
    <!-- exit 1 -->               commands of which the last one fails
    <!-- not run: REASON -->      left alone

A `text` block after one that ran is its output. In outputs and quotations `...` is anything.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NEW_COMPONENT = DOCS / "howto" / "add-a-component.md"  # edits the compiler
NOT_PLAYED = {NEW_COMPONENT, DOCS / "reference.md", DOCS / "mistakes.md", DOCS / "design" / "blocks.md"}
PLAYED = [page for page in PAGES if page not in NOT_PLAYED and "```" in page.read_text(encoding="utf-8")]
# What a copy of the compiler is made of, and where its folders lie once installed.
SOURCES = {name: f"graphvlm/{name}" for name in ("cli", "codegen_templates", "graphs", "schemas")}
SECONDS = 120

BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n+)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)\s]*)?\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, where it is, and what its comment says."""

    place: str
    mark: str
    language: str
    text: str


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("language")) + 1
        yield Block(f"{document.name}:{line}", found["mark"] or "", found["language"], found["text"])


# ---- a reader; this file is also run as a program


def play(document: Path) -> None:
    """Do what a reader of `document` does, in the current folder. The first thing that is not as written ends it."""
    session: dict[str, Any] = {"__name__": "__main__"}
    output: str | None = None
    for block in blocks(document):
        verb, _, rest = block.mark.partition(" ")
        if verb == "not":
            output = None
        elif verb == "file:":
            Path(rest).parent.mkdir(parents=True, exist_ok=True)
            Path(rest).write_text(block.text, encoding="utf-8")
        elif verb == "in:":
            expect(block, Path(rest).read_text(encoding="utf-8"))
        elif block.language == "sh":
            output = shell(block, int(rest or 0))
        elif block.language == "python":
            output = python(block, session)
        elif block.language == "text" and output is not None:
            expect(block, output)
        elif block.language != "text":
            raise AssertionError(f"{block.place}: nothing says what to do with this block")


def shell(block: Block, code: int) -> str:
    command = ["bash", "-e", "-o", "pipefail", "-c", block.text]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == code, f"{block.place}: exit code {done.returncode}\n{done.stdout}"
    return done.stdout


def python(block: Block, session: dict[str, Any]) -> str:
    importlib.invalidate_caches()  # a package may have been built since
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(block.text, block.place, "exec"), session)
    return output.getvalue()


def expect(block: Block, text: str) -> None:
    text = re.sub(r"^building .*\n", "", text, flags=re.MULTILINE)  # said by a machine that takes over a second
    pattern = re.escape(block.text.rstrip()).replace(r"\.\.\.", ".*?")
    assert re.search(pattern, text, re.DOTALL), f"{block.place}: this is not in\n{text}"


# ---- the tests


def played(document: Path, folder: Path, **variables: str) -> None:
    """Play a document in `folder`, in a process of its own, without the network."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    quiet = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, __file__, str(document)],
        cwd=folder,
        env={**os.environ, **quiet, "PATH": path, "PYTHONPATH": str(folder), **variables},
        timeout=SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="the documents are written for a POSIX shell")
@pytest.mark.parametrize("document", PLAYED, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_written_works(document: Path, tmp_path: Path) -> None:
    if "transformers" in document.read_text(encoding="utf-8"):
        pytest.importorskip("transformers")
    played(document, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="the documents are written for a POSIX shell")
def test_a_new_component_is_what_is_written(tmp_path: Path) -> None:
    """Played in a copy of the compiler, laid out as it is in the repository."""
    for name in ("graphvlm", *SOURCES):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, installed in SOURCES.items():
        (tmp_path / installed).symlink_to(tmp_path / name, target_is_directory=True)
    played(NEW_COMPONENT, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_is_in_the_index() -> None:
    index = DOCS / "README.md"
    listed = {(DOCS / target).resolve() for target in LINK.findall(index.read_text(encoding="utf-8"))}
    pages = {page for page in DOCS.rglob("*.md") if page != index and page.parent.name != "images"}
    assert {str(page.relative_to(DOCS)) for page in pages - listed} == set()


def test_the_drawing_is_up_to_date() -> None:
    """If it is not: graphvlm viz llava_1_5_7b -o docs/images/llava.svg"""
    import graphvlm

    drawn = graphvlm.render(graphvlm.load(ROOT / "graphs" / "llava_1_5_7b.yaml"))["graph.svg"]
    assert (DOCS / "images" / "llava.svg").read_text(encoding="utf-8") == drawn


if __name__ == "__main__":
    sys.path.insert(0, "")
    play(Path(sys.argv[1]))
