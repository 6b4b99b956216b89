"""The command line itself: help, mistakes, streams, and what is never imported."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from .running import Cli, Done, process

COMMANDS = [
    *("new", "import", "list", "show", "schema"),
    *("check", "tokens", "viz", "explain"),
    *("build", "diff", "export"),
    *("weights", "run"),
    "completion",
]


def test_help_lists_every_command(cli: Cli) -> None:
    done = cli("--help")
    assert done.code == 0
    assert all(re.search(rf"^  {command} ", done.out, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, cli: Cli) -> None:
    done = cli(command, "--help")
    assert done.code == 0
    assert f"graphvlm {command} " in done.out.split("examples:")[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_the_help_are_real(command: str, cli: Cli) -> None:
    """Every option in an example is one that the command has."""
    usage, examples = cli(command, "--help").out.split("examples:")
    lines = [line.partition("  #")[0].strip() for line in examples.splitlines()]
    for words in (shlex.split(line.split(">")[0]) for line in lines if line.startswith("graphvlm ")):
        assert words[1] == command
        assert [word for word in words[2:] if word.startswith("-") and f"{word} " not in f"{usage} "] == []


def test_no_command_is_a_mistake(cli: Cli) -> None:
    done = cli()
    assert (done.code, done.out) == (2, "")
    assert "usage" in done.err


def test_version(cli: Cli) -> None:
    assert re.fullmatch(r"graphvlm \d+\.\d+\.\d+\n", cli("--version").out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chekc", "tiny"], "did you mean `check`?"),
        (["check"], "GRAPH"),
        (["check", "tiny", "--frobnicate"], "--frobnicate"),
        (["check", "tinyy"], "did you mean `tiny`?"),
        (["check", "tiny", "nothing"], "`nothing` is neither a YAML file nor a setting"),
        (["check", "tiny", "--format", "xml"], "xml"),
        (["show", "encoder/clip_vit_b32"], "did you mean `encoder/clip_vit_b_32`?"),
        (["explain", "unknown-kex"], "did you mean `unknown-key`?"),
        (["new", "My-Model"], "My-Model"),
        (["new", "lambda"], "keyword"),
        (["new", "mine", "--decoder", "vicuna7b"], "did you mean `decoder/vicuna_7b`?"),
        (["viz", "tiny", "-o", "."], "is a folder"),
        (["weights", "check", "tiny", "nowhere"], "nowhere"),
        (["run", "tiny", "--prompt", "hi", "--image", "nowhere.jpg"], "nowhere.jpg"),
        (["run", "tiny", "--prompt", "hi", "--weights", "nowhere"], "nowhere"),
        (["run", "tiny", "--prompt", "hi", "--top-k", "0"], "must be at least 1"),
        (["run", "tiny", "--prompt", "hi", "--temperature", "-1"], "must be at least 0"),
    ],
)
def test_mistakes_of_the_command_line(words: list[str], said: str, cli: Cli) -> None:
    done = cli(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["check", "llava_1_5_7b"],
        ["build", "llava_1_5_7b", "-o", "out"],
        ["diff", "tiny", "-o", "out"],
        ["viz", "llava_1_5_7b"],
        ["list", "llava"],
        ["show", "decoder/vicuna_7b"],
        ["weights", "check", "tiny", "empty"],
        ["import", "empty"],
        ["explain"],
        ["schema"],
        ["new", "mine"],
    ],
    ids=lambda words: words[0],
)
def test_torch_is_never_imported(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    imported = process(*words, cwd=tmp_path).stderr.splitlines()[-1].split()
    assert imported[0] == "imported"
    assert {"torch", "transformers", "numpy", "safetensors"} & set(imported) == set()


def test_help_imports_next_to_nothing() -> None:
    imported = set(process("--help").stderr.split())
    assert {"yaml", "jsonschema", "networkx", "jinja2", "graphvlm.drawing"} & imported == set()


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    (script,) = entry_points(group="console_scripts", name="graphvlm")
    start = f"import sys; from importlib import import_module; sys.exit(import_module({script.module!r}).main())"
    command = f"{shlex.quote(sys.executable)} -P -c {shlex.quote(start)} schema | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")


def test_a_terminal_without_unicode(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("nodes: {vision: {hé: 3}}\n", encoding="utf-8")
    done = process("check", "tiny", "bad.yaml", cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 1
    assert "h\\xe9" in done.stdout


def test_an_interrupt_is_quiet(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("graphvlm.load", interrupted)
    assert cli("check", "tiny") == Done(130, "", "")
