"""`graphvlm plan` on the command line."""

from __future__ import annotations

import json

import pytest

from .running import BROKEN, Cli


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seq", "5000"), "--seq 5000 is more than the 256 tokens that the decoder takes"),
        (("--gpu", "h100"), "no device `h100`; did you mean `h100-80g`?"),
        (("--size", "image=3"), "`tiny` has no open size `image`; did you mean `images`?"),
        (("--size", "images"), "--size takes NAME=N, such as images=4"),
        (("--world", "3", "parallelism.mesh={dp: 2}"), "the mesh of the graph has 2 devices (dp 2), not 3"),
        (("--search",), "--search needs --world N"),
        (("--batch", "0"), "a positive number is wanted"),
    ],
)
def test_what_cannot_be_is_said(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    done = cli("plan", "tiny", *arguments)
    assert done.code == 2
    assert said in done.err


def test_a_graph_with_errors_has_no_plan(cli: Cli) -> None:
    assert cli("plan", "tiny", BROKEN).code == 1


def test_json_has_every_figure(cli: Cli) -> None:
    """The whole is the sum of its parts, and what is trained has gradients and a state."""
    found = json.loads(cli("plan", "tiny", "--world", "2", "--json", "freeze=[vision]").out)
    parts = {name: size for name, size in found["memory"].items() if name not in ("total", "usable")}
    trained = sum(node["trained"] for node in found["nodes"])
    assert found["memory"]["total"] == sum(parts.values())
    assert found["ranks"] == 2
    assert found["sizes"] == {"batch": 1, "seq": 256, "images": 1}
    assert 0 < trained < sum(node["parameters"] for node in found["nodes"])
    assert parts["optimizer"] == 2 * parts["gradients"] >= trained * 4


def test_search_puts_what_is_refused_last(cli: Cli) -> None:
    found = json.loads(cli("plan", "tiny", "--world", "4", "--search", "--json").out)
    assert found[0]["mesh"] == {"dp": 4, "tp": 1}
    assert [each["mesh"] for each in found if each["fits"]][1:] == [
        {"pp": 2, "dp": 2, "tp": 1},
        {"dp": 2, "cp": 2, "tp": 1},
    ]
    assert {each["refused"] for each in found if not each["fits"]} == {"degree-not-divisible"}
    assert [each["refused"] for each in found[:2]] == [None, None]


def test_search_proposes_every_axis(cli: Cli) -> None:
    found = json.loads(cli("plan", "deepseek_v3", "--world", "32", "--search", "--json").out)
    assert {axis for each in found for axis in each["mesh"]} == {"replicate", "dp", "ep", "cp", "tp", "pp"}


def test_too_much_is_said_with_what_helps(cli: Cli) -> None:
    out = cli("plan", "llava_1_5_7b", "--gpu", "rtx4090-24g").out
    assert "does not fit" in out
    assert "help: more devices" in out
