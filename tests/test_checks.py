"""Rules about meaning: found where they are broken, with the other ends of each conflict, and help that helps."""

from __future__ import annotations

from time import process_time

import pytest

import graphvlm
from graphvlm.rules import RULES

from .block_cases import BLOCK_CASES
from .cases import (
    FUSED,
    HEAD,
    HEADS,
    LAST,
    LLAMA3,
    LONGROPE,
    MASKS,
    NAMES,
    OF_IMAGES,
    OTHER_IDS,
    PARALLEL,
    ROPE,
    TEXT,
    WIDENED,
    YARN,
    Case,
    indexed,
    layers,
    rope,
)
from .diagnosing import edited, problems, under
from .tile_cases import TILE_CASES

_SHARED = FUSED.replace("projector,", "projector, other: projector,").replace("99}", "99, other: 99}")
_AROUND = "    between: {other: [98, 99]}\n"

CASES = [
    *BLOCK_CASES,
    *TILE_CASES,
    # sizes
    Case(
        "vocabulary-mismatch",
        {TEXT: f"{TEXT}    vocab: 90\n"},
        *("90", ("101",), "`llm` has a vocabulary of 101 tokens and `text` one of 90", "remove `vocab` of `text`"),
    ),
    Case(
        "shape-mismatch",
        {"{text: text, image: projector,": "{text: projector, image: text,"},
        *("projector", ("56",), "`fused.text` takes features of seq tokens, `projector` gives 16", "stream of text"),
    ),
    Case(
        "shape-mismatch",
        {"    activation: gelu\n": "    activation: gelu\n    in: 30\n"},
        *("vision", ("24", "30"), "`projector.features` takes features 30 wide, `vision` gives 24"),
        "remove `in` and let it be inferred, or set it to 24",
        {"    activation: gelu\n": "    activation: gelu\n    in: 24\n"},
    ),
    Case(
        "unknown-port",
        {FUSED: f"{FUSED}    tokens: {{images: 16}}\n"},
        *("images", (), "`tokens` of `fused` counts those of `images`", "did you mean `image`?"),
        {FUSED: f"{FUSED}    tokens: {{image: 16}}\n"},
    ),
    Case(
        "heads-not-divisible",
        {HEADS: "attention: {heads: 6}", "dim: 40": "dim: 44"},
        *("6", ("44",), "the 6 heads of `llm` do not divide its width of 44", "`dim` of `llm` to 42 or 48"),
        {HEADS: "attention: {heads: 6}", "dim: 40": "dim: 48"},
    ),
    # rotary positions
    Case(
        "odd-head-dim",
        {HEADS: "attention: {heads: 8}"},
        *("8", ("40", ROPE), "a head of `llm` is 5 wide", "write `head_dim: 6`"),
        {HEADS: "attention: {heads: 8, head_dim: 6}"},
    ),
    Case(
        "odd-head-dim",
        {"type: rope, theta: 10000.0": "type: rope, theta: 10000.0, dim: 22"},
        *("22", ("20",), "turn 22 numbers, and a head is 20 wide", "at most 20"),
        {"type: rope, theta: 10000.0": "type: rope, theta: 10000.0, dim: 10"},
    ),
    Case(
        "odd-head-dim",
        {"type: rope, theta: 10000.0": "type: rope, theta: 10000.0, dim: 5"},
        *("5", (), "turn 5 numbers, and they turn pairs", "write `dim: 4`"),
        layers("{at: [1], attention: {head_dim: 10}}"),
    ),
    Case(
        "position-of-layer",
        layers("{at: [1], position: {type: learned}}"),
        *("{type: learned}", (), "that only all layers have together", "as `position` of `llm`"),
        layers("{at: [1], position: {theta: 500.0}}"),
    ),
    Case(
        "position-of-layer",
        layers("{at: [1], position: learned}"),
        *("learned", (), "that only all layers have together", "as `position` of `llm`"),
        {ROPE: "learned"},
    ),
    Case(
        "position-too-short",
        {ROPE: "{type: learned, max: 200}"},
        *("200", ("256",), "takes 256 tokens, and has learned positions for 200", "`max_tokens: 200`"),
        {ROPE: "{type: learned, max: 300, offset: 2}"},
    ),
    Case("degenerate-rope", rope("type: linear, factor: 2", "1"), "1", (), "`position.theta` of `llm` is 1"),
    Case(
        "degenerate-rope",
        rope(f"{LLAMA3}, low_freq_factor: 4, high_freq_factor: 3"),
        *("3", (), "high_freq_factor` of `llm` is 3", "`low_freq_factor: 1.0, high_freq_factor: 4.0`"),
        rope(f"{LLAMA3}, low_freq_factor: 1.0, high_freq_factor: 4.0"),
    ),
    Case("degenerate-rope", rope(f"{YARN}, beta_slow: 40"), "40", (), "must be at most 32", "leave `beta_fast`"),
    Case("degenerate-rope", rope(f"{YARN}, beta_fast: 0.5"), "0.5", (), "must be at least 1", "leave `beta_fast`"),
    Case("degenerate-rope", rope(YARN.replace("64", "6")), "6", (), "is 6, and must be more than 6.3", "such as 4096"),
    Case("degenerate-rope", rope(f"{YARN}, beta_slow: 1.0e-300"), "64", (), "is 64, and must be more than"),
    Case("degenerate-rope", rope(YARN.replace("64", "4096"), "1.001"), "1.001", (), "stretches no frequency"),
    Case(
        "degenerate-rope",
        rope(f"{YARN}, mscale: 1.0"),
        "1.0",
        (),
        "without `mscale_all_dim`",
        "remove `mscale`",
        rope(YARN),
    ),
    Case(
        "degenerate-rope",
        rope(f"{YARN}, mscale_all_dim: 1.0, mscale: 1.0, attention_factor: 1.0"),
        *("1.0", (), "`position.scaling.mscale` of `llm` is not read beside `attention_factor`"),
    ),
    Case(
        "degenerate-rope",
        {HEADS: "attention: {heads: 6, head_dim: 2}", **rope("type: dynamic, factor: 2, original_max_tokens: 8")},
        *("dynamic", (), "more than one pair"),
    ),
    Case(
        "degenerate-rope",
        {HEADS: "attention: {heads: 6, head_dim: 4}", **rope(LONGROPE.replace("[1, 2]", "[1, 2, 3]"))},
        *("[1, 2, 3]", (), "has 3 factors, and 2 pairs turn", "write 2 numbers"),
        {HEADS: "attention: {heads: 6, head_dim: 4}", **rope(LONGROPE)},
    ),
    Case(
        "degenerate-rope",
        {HEADS: "attention: {heads: 6, head_dim: 4}", **rope(LONGROPE.replace("64", "1"))},
        *("1", (), "divided by its logarithm", "such as 4096"),
    ),
    # layers
    Case("no-such-layer", layers("{at: [0, 2], mlp: {hidden: 8}}"), "[0, 2]", ("2",), "names layer 2", "0 to 1"),
    Case("no-such-layer", layers("{range: [1, 1], mlp: {hidden: 8}}"), "[1, 1]", ("2",), "no layer: `range: [1, 1]`"),
    Case("no-such-layer", layers("{range: [1, 3], mlp: {hidden: 8}}"), "[1, 3]", ("2",), "names layer 2", "at most 2"),
    Case("no-such-layer", layers("{every: 2, from: 2, mlp: {hidden: 8}}"), "2", ("2",), "no layer: `from: 2`"),
    Case("window-without-order", {"{heads: 3, bias: true}": "{heads: 3, window: 4}"}, "4", (), "`window` of `vision`"),
    Case(
        "window-without-order", {"{heads: 3, bias: true}": "{heads: 3, mask: {chunk: 4}}"}, "4", (), "`mask.chunk` of"
    ),
    Case(
        "window-without-order",
        {"{heads: 3, bias: true}": "{heads: 3, temperature: {floor: 4, scale: 0.1}}"},
        *("{floor: 4, scale: 0.1}", (), "`temperature` of `vision`", "remove `temperature`"),
    ),
    # heads
    Case(
        "tied-head",
        {TEXT: f"{TEXT}    extra_rows: 2\n", HEAD: "head: {tied: true}"},
        *("true", ("2",), "rows for more ids than the head writes", "remove `extra_rows`"),
        {TEXT: f"{TEXT}    extra_rows: 2\n"},
    ),
    Case(
        "tied-head",
        {**WIDENED, TEXT: f"{TEXT}    dim: 8\n"},
        *("true", ("text",), "tied to `text`, which is 8 wide, and `llm` is 40", "write `tied: false`"),
        {**WIDENED, TEXT: f"{TEXT}    dim: 40\n"},
    ),
    Case(
        "tied-head",
        OF_IMAGES,
        *("true", ("projector",), "does not come from a token embedding", "write `tied: false`"),
    ),
    Case(
        "unknown-port",
        {HEAD: "head: none"},
        "llm.logits",
        ("none",),
        "`llm` has no output `logits`",
        "write `llm.hidden`",
    ),
    # token ids
    Case(
        "token-outside-vocabulary",
        {"pad_token_id: 0": "pad_token_id: 101"},
        "101",
        ("101",),
        "`generation.pad_token_id`",
    ),
    Case("token-outside-vocabulary", {"[2]": "[2, 500]"}, "500", ("101",), "is 500", "`vocab: 501` or more in `llm`"),
    Case(
        "placeholder-shared", {"pad_token_id: 0": "pad_token_id: 99"}, "99", ("99",), "the placeholder of `fused.image`"
    ),
    Case(
        "placeholder-shared",
        {FUSED: FUSED.replace("projector,", "projector, other: projector,").replace("99}", "99, other: 99}")},
        *("99", ("99",), "`image` and `other` of `fused`", "give each its own token id"),
    ),
    Case(
        "placeholder-shared",
        {FUSED: _SHARED + _AROUND},
        *("[98, 99]", (), "`other` of `fused`, token 99, is between 98 and 99", "each another than the placeholder"),
        {FUSED: _SHARED + _AROUND.replace("98, 99", "97, 98")},
    ),
    Case(
        "placeholder-outside-vocabulary",
        {FUSED: _SHARED + _AROUND.replace("98, 99", "98, 101")},
        *("[98, 101]", (), "token 101, beside `fused.other`, is outside the vocabulary of 101", "ids below 101"),
    ),
    Case(
        "unknown-port",
        {FUSED: FUSED + _AROUND.replace("other", "imgae")},
        *("imgae", (), "`between` of `fused` is that of `imgae`", "did you mean `image`?"),
    ),
    # what is named
    Case(
        "unknown-module",
        {NAMES: "checkpoint: {use: checkpoint/llama, names: {layers.*.attn.wqq: x}}"},
        *("layers.*.attn.wqq", ("llm",), "`checkpoint.names` of `llm`", "did you mean `layers.*.attn.wq`?"),
        {NAMES: "checkpoint: {use: checkpoint/llama, names: {layers.*.attn.wq: x}}"},
    ),
    Case(
        "unknown-module",
        {NAMES: "checkpoint: {names: {layers.0.attn.wq: x}}"},
        *("layers.0.attn.wq", ("llm",), "decoder/transformer has no such module", "did you mean `layers.*.attn.wq`?"),
    ),
    Case(
        "unknown-node",
        {LAST: "checkpoint: {prefixes: {visoin: x}}"},
        *("visoin", ("{prefixes: {visoin: x}}",), "`checkpoint.prefixes` names `visoin`", "did you mean `vision`?"),
    ),
    Case(
        "freeze-matches-nothing",
        {"generation": "freeze: [llm.layer.*]\ngeneration"},
        "llm.layer.*",
        (),
        "",
        "`llm.layers.*`?",
    ),
    Case(
        "freeze-matches-nothing",
        {"generation": "freeze: [fused]\ngeneration"},
        "fused",
        (),
        "`fused` has no parameters",
    ),
    Case(
        "freeze-matches-nothing",
        {"generation": "freeze: {schedules: {visoin: {until_step: 9}}}\ngeneration"},
        *("visoin", (), "`visoin` freezes nothing", "did you mean `vision`?"),
    ),
    # devices
    Case(
        "degree-not-divisible",
        {"generation": PARALLEL % ("tp: 4", "vision: {tp: 1}")},
        *("4", ("6",), "6 `heads` of `llm` cannot be split evenly over tp 4", "a tp of 1 or 2 or 6"),
        {"generation": PARALLEL % ("tp: 2", "vision: {tp: 1}")},
    ),
    Case(
        "unsupported-degree",
        {"generation": PARALLEL % ("tp: 4", "llm: {tp: 3}, vision: {tp: 1}")},
        *("3", ("4",), "a node takes what divides that", "a `tp` of 1 or 2 or 4"),
        {"generation": PARALLEL % ("tp: 4", "llm: {tp: 2}, vision: {tp: 1}")},
    ),
    Case("unsupported-degree", {"generation": PARALLEL % ("dp: 4", "llm: {tp: 2}")}, "2", ("{dp: 4}",), "", "`tp: 2`"),
    *(
        Case(
            "images-not-shared",
            {"generation": PARALLEL % (mesh, f"{nodes}, {name}: {{{tp}images: shard}}")},
            "shard",
            message=why,
            help=edit,
        )
        for mesh, nodes, name, tp, why, edit in (
            ("dp: 2", "llm: {tp: 1}", "vision", "", "the mesh has no `tp` above 1", "remove `images`"),
            ("tp: 2", "vision: {tp: 1}", "projector", "tp: 2, ", "its ranks hold parts of it (tp 2)", "write `tp: 1`"),
            ("tp: 2", "vision: {tp: 1}", "llm", "", "no common first axis of images", "remove `images`"),
        )
    ),
    Case(
        "axes-do-not-fit",
        {"generation": PARALLEL % ("tp: 2, cp: 1", "vision: {tp: 1}")},
        *("1", (), "is the order of axes", "write `{dp: 1, cp: 1, tp: 2}`"),
        {"generation": PARALLEL % ("dp: 1, cp: 1, tp: 2", "vision: {tp: 1}")},
    ),
    Case(
        "degree-not-divisible",
        {"generation": PARALLEL % ("dp: 1, cp: 4", "vision: {tp: 1}")},
        *("4", (), "2 heads of queries or keys of `llm` cannot be shared evenly over cp 4", "a cp of 1 or 2, or"),
        {"generation": PARALLEL % ("dp: 1, cp: 4", "llm: {cp: 1}")},
    ),
    *(
        Case("context-not-shared", {"generation": PARALLEL % ("dp: 1, cp: 2, tp: 2", nodes)}, place, message=why)
        for nodes, place, why in (
            ("vision: {tp: 1, cp: 2}, llm: {cp: 1}", "2", "only decoders can"),
            ("vision: {tp: 1}, llm: {tp: 2, sequence: true}", "2", "those of `tp` do so already"),
        )
    ),
    Case(
        "context-not-shared",
        {**indexed("{heads: 4, head_dim: 20, top: 9}"), "generation": PARALLEL % ("dp: 1, cp: 2", "llm: {tp: 1}")},
        *("2", (), "an indexer chooses among the keys of all tokens", "`llm: {cp: 1}`"),
    ),
    Case("unknown-node", {"generation": PARALLEL % ("tp: 1", "lm: {tp: 1}")}, "lm", (), "", "did you mean `llm`?"),
    # lengths
    Case("limit-beyond-decoder", {"generation": "limits: {tokens: 300}\ngeneration"}, "300", ("256",)),
    Case(
        "sequence-too-short", {"generation": "limits: {tokens: 16}\ngeneration"}, "16", ("56",), "16 of `projector` + 1"
    ),
    # masks
    Case("ambiguous-mask", MASKS, "llm", ("first", "second"), "`first` and `second` are both masks", "mask: first}`"),
    Case(
        "ambiguous-mask",
        OTHER_IDS,
        *("llm", ("mine",), "`mine` may be their mask or that of `other_ids`"),
    ),
]


MENDED = [case for case in CASES if case.fix]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.rule} {index}" for index, case in enumerate(CASES)])
def test_a_mistake_is_one_diagnostic(case: Case) -> None:
    (problem,) = problems(edited(case.edits))
    assert problem.rule == case.rule
    assert problem.rule in RULES
    assert under(problem.span) == case.place
    assert tuple(map(under, problem.labels)) == case.labels
    assert case.message in problem.message
    assert problem.help
    assert case.help in problem.help
    for text in (problem.message, problem.note, problem.help, *(label.text for label in problem.labels)):
        assert "\n" not in text
        assert not text.endswith(".")


@pytest.mark.parametrize("case", MENDED, ids=[f"{case.rule}: {case.help} {index}" for index, case in enumerate(MENDED)])
def test_the_help_helps(case: Case) -> None:
    graphvlm.load(edited(case.fix))


def test_everything_is_found_in_one_run() -> None:
    """Problems of sizes, of single nodes and of the whole graph, in the order of the file."""
    source = edited(
        {
            "layer: -2": "layer: -9",
            "    activation: gelu\n": "    activation: gelu\n    out: 32\n",
            "generation": "freeze: [visoin, llm.mlp]\nlimits: {tokens: 999}\ngeneration",
            "eos_token_id: [2]": "eos_token_id: [200]",
        }
    )
    found = problems(source)
    assert [each.rule for each in found] == [
        "no-such-layer",
        "shape-mismatch",
        "freeze-matches-nothing",
        "freeze-matches-nothing",
        "limit-beyond-decoder",
        "token-outside-vocabulary",
    ]


def test_no_more_is_said_than_somebody_reads() -> None:
    many = "".join(f"  n{index}: {{kind: projector, type: linear, inputs: pixel_values}}\n" for index in range(3000))
    start = process_time()
    found = problems(edited({"  projector:\n": f"{many}  projector:\n"}))
    assert [each.rule for each in found] == ["port-type-mismatch"] * 100
    assert process_time() - start < 10


def test_nothing_is_said_about_what_could_not_be_decided() -> None:
    """A node with a mistake in it might match a pattern that matches nothing else."""
    source = edited({"layer: -2": "layer: -9", "generation": "freeze: [vision.layers.*, '*.attn_norm']\ngeneration"})
    assert [each.rule for each in problems(source)] == ["no-such-layer"]


def test_places_in_the_catalog_come_second() -> None:
    """A width that is written in the graph, and heads in a part: the graph is where it can be mended."""
    source = edited({"    inputs: fused\n": "    inputs: fused\n    dim: 4100\n"}, "llava_1_5_7b")
    (problem,) = problems(source)
    assert under(problem.span) == "4100"
    assert [label.span.source.name for label in problem.labels] == ["<catalog>/decoder/vicuna_7b.yaml"]


def test_a_node_that_leads_nowhere_is_named_with_those_before_it() -> None:
    found = problems(edited({"image: projector,": "image: text,"}))
    assert [(each.rule, under(each.span)) for each in found] == [("dead-node", "projector")]
    assert found[0].message == "no output depends on `projector`, nor on `vision`, which leads nowhere else"
    assert [under(label) for label in found[0].labels] == ["vision"]
