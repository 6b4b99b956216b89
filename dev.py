#!/usr/bin/env python3
"""One entry for everything done in this repository. Needs Python 3.11 or newer and nothing else.

    python3 dev.py demo     set up, then: build a graph, run it on a photo, draw it
    python3 dev.py test     set up, then: lint, type-check, run the tests
    python3 dev.py help     the other targets

The first call makes `.venv` in this folder; later calls reuse it while its requirements are unchanged. The torch that
is installed is the one pip finds for the version in constraints.txt; to pick a build (CPU, CUDA), set pip's own
variables (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS) before the first call.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
STAMP = VENV / "requirements.sha256"
OUT = ROOT / "out"
OLDEST = (3, 11)


def run(*command: object, cwd: Path = ROOT) -> None:
    """Run a program of the environment, say which, and stop at the first that fails."""
    words = [str(word) for word in command]
    print("$ " + " ".join(map(shlex.quote, words)), flush=True)
    program = shutil.which(words[0], path=str(BIN)) or words[0]
    code = subprocess.call([program, *words[1:]], cwd=str(cwd))
    if code:
        sys.exit(code if code > 0 else 128 - code)


def requirements() -> str:
    """A fingerprint of all that the environment was made from."""
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = {key: settings["project"].get(key) for key in ("dependencies", "optional-dependencies", "scripts")}
    folders = settings["tool"]["setuptools"]["package-dir"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return hashlib.sha256(repr([project, folders, pins, sys.version, str(ROOT)]).encode()).hexdigest()


def setup() -> None:
    """make .venv with the pinned versions of constraints.txt, and graphvlm in it, editable"""
    if STAMP.exists() and STAMP.read_text() == requirements():
        return
    print("setting up .venv (once; torch is the large part)", flush=True)
    start = time.monotonic()
    if subprocess.call([sys.executable, "-m", "venv", "--clear", str(VENV)]):
        sys.exit("dev.py: cannot make .venv; on Debian and Ubuntu the package python3-venv is needed")
    pip = ("python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-c", "constraints.txt")
    (torch,) = re.findall(r"^torch==\S+", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    # torch first and by itself, so that no looser requirement can choose, or later change, its version
    run(*pip, torch, "setuptools")
    run(*pip, "--no-build-isolation", "-e", ".[test]")
    STAMP.write_text(requirements())
    print(f"ready after {time.monotonic() - start:.0f} s", flush=True)


def demo() -> None:
    """build a graph, generate text from a photo with random weights, draw the graph; results in out/"""
    setup()
    graph = "tiny"
    run("graphvlm", "check", graph)
    run("graphvlm", "build", graph, "-o", OUT.relative_to(ROOT))
    run("python", "-c", f"import {graph}; print({graph}.Model())", cwd=OUT)
    run("graphvlm", "run", graph, "--image", "docs/images/cat.jpg", "--prompt", "What is in the photo?")
    run("graphvlm", "viz", graph, "-o", f"out/{graph}.svg")
    print(f"\nRead out/{graph}/model.py, look at out/{graph}.svg, then try: .venv/bin/graphvlm --help")


def lint() -> None:
    """ruff check, ruff format --check, mypy --strict"""
    setup()
    run("ruff", "check", ".")
    run("ruff", "format", "--check", ".")
    run("mypy", "--strict")


def judge() -> None:
    """the compiler of TensorRT-RTX, where the program that asks it lies beside this folder; it is not needed else"""
    if (ROOT.parent / "shared" / "tools" / "trt_rtx_gate.py").exists():
        pip = (str(BIN / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps")
        subprocess.call([*pip, "onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0"])  # the tests say what they skip without it


def test() -> None:
    """lint, then all tests"""
    lint()
    judge()
    run("pytest", "-n", "2", *sys.argv[2:])


def docs() -> None:
    """write the parts of docs/ that are generated"""
    setup()
    run("graphvlm", "schema", "--reference", "-o", "docs/reference.md")


def bench() -> None:
    """run the benchmarks"""
    setup()
    run("python", "-m", "benchmarks")


def usage() -> None:
    """this text"""
    print(__doc__)
    for name, target in TARGETS.items():
        print(f"    {name:8} {target.__doc__}")


TARGETS = {"setup": setup, "demo": demo, "lint": lint, "test": test, "docs": docs, "bench": bench, "help": usage}


def modern_python() -> None:
    """Start again under a Python that is new enough, if `python3` is not and another is on the path."""
    for minor in range(OLDEST[1], OLDEST[1] + 5):
        found = shutil.which(f"python3.{minor}")
        if found and subprocess.call([found, "-c", "import venv"], stderr=subprocess.DEVNULL) == 0:
            sys.exit(subprocess.call([found, str(Path(__file__).resolve()), *sys.argv[1:]]))
    sys.exit("dev.py: Python {}.{} or newer is needed, this is {}".format(*OLDEST, sys.version.split()[0]))


if __name__ == "__main__":
    if sys.version_info < OLDEST:
        modern_python()
    target = TARGETS.get(sys.argv[1] if len(sys.argv) > 1 else "help")
    if target is None:
        usage()
        sys.exit(2)
    target()
