"""The command line, through its entry point: exit codes, what goes to which stream, and what is never imported."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

COMMANDS = [
    *("new", "import", "list", "show", "schema"),
    *("check", "viz", "explain"),
    *("build", "diff"),
    *("weights", "run"),
    "completion",
]
BROKEN = "nodes.vision.headz=3"  # a setting that makes any graph wrong


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs a command line in an empty folder."""
    (script,) = entry_points(group="console_scripts", name="graphvlm")
    main = script.load()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def run(*words: str) -> Done:
        code = main(words)
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run


# The command line itself


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
        (["explain", "shape-mismach"], "did you mean `shape-mismatch`?"),
        (["new", "My-Model"], "My-Model"),
        (["new", "lambda"], "keyword"),
        (["new", "mine", "--decoder", "vicuna7b"], "did you mean `decoder/vicuna_7b`?"),
        (["viz", "tiny", "-o", "."], "is a folder"),
        (["build", "tiny", "-o", "/dev/null/x"], "/dev/null"),
        (["weights", "check", "tiny", "nowhere"], "nowhere"),
        (["run", "tiny", "--prompt", "hi", "--image", "nowhere.jpg"], "nowhere.jpg"),
        (["run", "tiny", "--prompt", "hi", "--weights", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_of_the_command_line(words: list[str], said: str, cli: Cli) -> None:
    done = cli(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err


# Diagnostics


def test_check_of_a_good_graph(cli: Cli) -> None:
    done = cli("check", "tiny")
    assert (done.code, done.err) == (0, "")
    assert "no problems" in done.out
    assert "vision.layers.2, vision.norm" in done.out
    assert "vision_tower.post_layernorm.*" in done.out
    assert "left out" not in cli("check", "tiny", "--keep-dead").out


def test_check_of_a_bad_graph(cli: Cli) -> None:
    done = cli("check", "tiny", BROKEN)
    assert (done.code, done.err) == (1, "")
    assert "error[unknown-key]" in done.out


@pytest.mark.parametrize("command", ["build", "diff", "viz"])
def test_other_commands_report_on_stderr(command: str, cli: Cli) -> None:
    done = cli(command, "tiny", BROKEN)
    assert (done.code, done.out) == (1, "")
    assert "error[unknown-key]" in done.err


def test_formats(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("nodes: {vision: {headz: 3}}\n")
    assert json.loads(cli("check", "tiny", "--format", "json").out)["diagnostics"] == []
    (found,) = json.loads(cli("check", "tiny", "bad.yaml", "--format", "json").out)["diagnostics"]
    assert (found["rule"], found["place"]["file"], found["place"]["line"]) == ("unknown-key", "bad.yaml", 1)
    assert len(cli("check", "tiny", "bad.yaml", "--format", "concise").out.splitlines()) == 1
    assert ",file=bad.yaml,line=1," in cli("build", "tiny", "bad.yaml", "--format", "github").out
    assert json.loads(cli("viz", "tiny", "bad.yaml", "--format", "sarif").out)["version"] == "2.1.0"


def test_colour_only_where_it_is_wanted(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\033[" not in cli("check", "tiny", BROKEN).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\033[" in cli("check", "tiny", BROKEN).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033[" not in cli("check", "tiny", BROKEN).out


# Compiling


def test_build_and_diff(cli: Cli, tmp_path: Path) -> None:
    built = cli("build", "tiny", "-o", "packages")
    assert (built.code, built.out) == (0, f"{Path('packages/tiny')}\n")
    assert cli("diff", "tiny", "-o", "packages") == Done(0, "", "")
    assert cli("diff", "tiny", "packages/tiny") == Done(0, "", "")
    changed = cli("diff", "tiny", "nodes.llm.layers=1", "-o", "packages")
    assert changed.code == 1
    assert "-    layers: int = 2\n+    layers: int = 1\n" in changed.out


def test_build_keeps_what_was_edited(cli: Cli, tmp_path: Path) -> None:
    cli("build", "tiny", "-o", "packages")
    edited = tmp_path / "packages/tiny/model.py"
    edited.write_text(edited.read_text() + "# mine\n")
    refused = cli("build", "tiny", "-o", "packages")
    assert refused.code == 1
    assert "error[edited-output]" in refused.err
    assert "\n-# mine\n" in refused.err
    assert edited.read_text().endswith("# mine\n")
    assert cli("build", "tiny", "-o", "packages", "--force").code == 0
    assert not edited.read_text().endswith("# mine\n")


def test_switches_of_the_rewrites(cli: Cli) -> None:
    cli("build", "tiny", "-o", "packages")
    assert "post_layernorm" in cli("diff", "tiny", "-o", "packages", "--keep-dead").out
    assert cli("diff", "tiny", "-o", "packages", "--no-pass", "merge_projections").code == 1
    assert cli("diff", "tiny", "-o", "packages", "--no-pass", "dead_layer").code == 1  # a diagnostic: no such pass


def test_changes_may_stand_anywhere(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("nodes: {llm: {layers: 3}}\n")
    cli("build", "tiny", "more.yaml", "-o", "a", "nodes.llm.dim=60")
    cli("build", "-o", "b", "tiny", "more.yaml", "nodes.llm.dim=60")
    config = (tmp_path / "a/tiny/config.py").read_text()
    assert config == (tmp_path / "b/tiny/config.py").read_text()
    assert "layers: int = 3" in config


def test_viz(cli: Cli, tmp_path: Path) -> None:
    assert cli("viz", "tiny", "-o", "deep/tiny.svg").out == f"{Path('deep/tiny.svg')}\n"
    drawing = (tmp_path / "deep/tiny.svg").read_text()
    assert drawing.startswith("<svg")
    assert cli("viz", "tiny").out == drawing


# Writing graphs


@pytest.mark.parametrize(
    "choices",
    [
        [],
        ["--fusion", "prefix"],
        ["--encoder", "clip_vit_b_32", "--projector", "linear", "--decoder", "llama_3_2_1b"],
        ["--from", "prefix_clip_llama"],
    ],
    ids=" ".join,
)
def test_new_graphs_are_good(choices: list[str], cli: Cli, tmp_path: Path) -> None:
    assert cli("new", "graphs/mine", *choices).out == f"{Path('graphs/mine.yaml')}\n"
    assert yaml.safe_load((tmp_path / "graphs/mine.yaml").read_text())["name"] == "mine"
    checked = cli("check", "graphs/mine.yaml")
    assert checked.code == 0, checked.out


def test_new_overwrites_nothing(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("# precious\n")
    assert cli("new", "mine").code == 2
    assert (tmp_path / "mine.yaml").read_text() == "# precious\n"


QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": 101,
    "hidden_size": 40,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 20,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "hidden_act": "silu",
}


def test_import(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(QWEN3))
    assert cli("import", ".", "-o", "mine.yaml", "--name", "mine").code == 0
    assert cli("check", "mine.yaml").code == 0
    assert cli("import", ".", "-o", "mine.yaml", "--name", "mine").code == 0
    assert cli("import", ".", "-o", "mine.yaml", "--name", "other").code == 2
    assert cli("import", ".", "-o", "mine.yaml", "--name", "other", "--force").code == 0
    assert yaml.safe_load((tmp_path / "mine.yaml").read_text())["name"] == "other"
    (tmp_path / "config.json").write_text(json.dumps(QWEN3 | {"frobnicate": 2}))
    refused = cli("import", "config.json")
    assert (refused.code, refused.out) == (1, "")
    assert "frobnicate" in refused.err


# Looking around


def test_list(cli: Cli) -> None:
    everything = json.loads(cli("list", "--format", "json").out)
    graphs = {entry["name"]: entry for entry in everything["graphs"]}
    assert graphs["llava_1_5_7b"]["parameters"] == 7_063_427_072
    parts = {entry["name"]: entry["parameters"] for entry in everything["parts"]}
    assert parts["decoder/llama_3_8b"] == 8_030_261_248
    assert [name for name, count in parts.items() if not count and name.startswith(("encoder/", "decoder/"))] == []
    assert [entry["name"] for entry in graphs.values() if not entry["parameters"]] == []


def test_list_searches(cli: Cli) -> None:
    found = json.loads(cli("list", "parts", "encoder", "CLIP", "336", "--format", "json").out)
    assert [entry["name"] for entry in found] == ["encoder/clip_vit_l_14_336"]
    assert "tiny" in cli("list", "graphs").out
    assert "encoder/" not in cli("list", "graphs").out
    assert cli("list", "nothing_like_it").out == "nothing found\n"


def test_show(cli: Cli) -> None:
    text = cli("show", "encoder/clip_vit_l_14_336").out
    assert text.startswith("# encoder/clip_vit_l_14_336: 303,507,456 parameters\n")
    assert yaml.safe_load(text)["checkpoint"]["names"]["norm"] == "post_layernorm"
    shown = json.loads(cli("show", "decoder/vicuna_7b", "--format", "json").out)
    assert (shown["parameters"], shown["settings"]["layers"]) == (6_738_939_904, 32)
    assert yaml.safe_load(cli("show", "tiny").out)["nodes"]["text"]["vocab"] == 101


def test_explain(cli: Cli) -> None:
    listed = cli("explain").out
    assert re.search(r"^unknown-key +\S", listed, re.MULTILINE)
    page = cli("explain", "unknown-key").out
    assert page.startswith("unknown-key: ")
    assert "Wrong:" in page
    assert "Right:" in page
    rules = json.loads(cli("explain", "--format", "json").out)
    assert json.loads(cli("explain", "unknown-key", "--format", "json").out) in rules


def test_schema(cli: Cli, tmp_path: Path) -> None:
    schema = json.loads(cli("schema").out)
    assert "nodes" in schema["properties"]
    assert "$ref" in json.dumps(schema)
    assert not re.search(r'"\$ref": "[^#]', json.dumps(schema))
    assert cli("schema", "--reference").out.startswith("# ")
    cli("schema", "-o", "graph.schema.json")
    assert json.loads((tmp_path / "graph.schema.json").read_text()) == schema


# The shell


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["ch"], ["check"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
        (["check", "ti"], ["tiny"]),
        (["check", "mi"], ["mine.yaml"]),
        (["show", "encoder/clip_vit_l_14_"], ["encoder/clip_vit_l_14_336"]),
        (["new", "x", "--decoder", "vicuna_7"], ["vicuna_7b"]),
        (["explain", "unknown-k"], ["unknown-key"]),
        (["build", "tiny", "--forc"], ["--force"]),
        (["check", "tiny", "--format", "s"], ["sarif"]),
        (["frobnicate", ""], []),
    ],
)
def test_completion(words: list[str], found: list[str], cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("")
    assert cli("__complete", *words).out.splitlines() == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_parse(shell: str, cli: Cli) -> None:
    script = cli("completion", shell).out
    try:
        done = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip(f"{shell} is not installed here")
    assert (done.returncode, done.stderr) == (0, "")


# Processes


def process(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command line in a process of its own, which at its end says on stderr what it imported."""
    script = (
        "import sys\n"
        "from importlib.metadata import entry_points\n"
        "(script,) = entry_points(group='console_scripts', name='graphvlm')\n"
        "code = script.load()(sys.argv[1:])\n"
        "print('imported', *sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    command = [sys.executable, "-P", "-c", script, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize(
    "words",
    [
        ["check", "llava_1_5_7b"],
        ["build", "llava_1_5_7b", "-o", "out"],
        ["diff", "tiny", "-o", "out"],
        ["viz", "llava_1_5_7b"],
        ["list"],
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


def test_an_interrupt_is_quiet(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("graphvlm.load", interrupted)
    assert cli("check", "tiny") == Done(130, "", "")
