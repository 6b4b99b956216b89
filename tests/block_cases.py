"""Mistakes in the sublayers of a stack: how they are ordered, normed, routed and split."""

from __future__ import annotations

from .cases import (
    COUNT,
    HEADS,
    LATENT,
    MLP,
    PARALLEL,
    RMS,
    ROPE,
    SEEN,
    Case,
    cross,
    each,
    indexed,
    latent,
    linear,
    moe,
    pooled,
)

ATTENTION = "attention: {heads: 3, bias: true"
NO_CLASS = {"class_token: true": "class_token: false", ", drop_cls: true": ""}
TURNED = {"position: learned": "position: {type: rope2d}"}


def patches(options: str) -> dict[str, str]:
    """Options of the attention of a tower whose tokens are four rows and columns of patches."""
    return {**NO_CLASS, ATTENTION: f"{ATTENTION}, {options}"}


BLOCK_CASES = [
    # rows and columns of patches
    Case(
        "bad-mask",
        patches("mask: {grid_window: 3}"),
        *("{grid_window: 3}", (), "do not fill the 4 x 4 patches", "`edge: padded`"),
        patches("mask: {grid_window: 3, edge: padded}"),
    ),
    Case(
        "relative-conflict",
        patches("relative: true, softcap: 9.0"),
        *("true", ("9.0",), "goes together with no `softcap`", "remove `relative` or `softcap`"),
        patches("relative: true"),
    ),
    Case(
        "relative-conflict",
        {ATTENTION: f"{ATTENTION}, relative: true"},
        *("true", (), "its tokens have none", "`type: vit` without a class token"),
        patches("relative: true"),
    ),
    Case(
        *(
            "odd-head-dim",
            {ATTENTION: f"{ATTENTION}, head_dim: 6", **TURNED},
            "6",
            ("{type: rope2d}",),
            "half of its pairs of numbers",
        ),
        *("`head_dim: 8`", {ATTENTION: f"{ATTENTION}, head_dim: 8", **TURNED}),
    ),
    Case(
        "position-of-layer",
        {**TURNED, "layers: 3": "layers: {count: 3, where: [{at: [1], attention: {head_dim: 12}}]}"},
        *("[{at: [1], attention: {head_dim: 12}}]", (), "are 8 and 12 wide", "one `head_dim` for all layers", TURNED),
    ),
    Case(
        "bad-mask",
        patches("mask: {grid_window: 2}") | TURNED,
        *("{grid_window: 2}", ("{type: rope2d}",), "take patches out of their rows", "remove `mask`", TURNED),
    ),
    Case(
        *("unread-setting", {"position: learned": "position: [learned, learned]"}, "[learned, learned]", ()),
        *("has two of one kind", "write a table and `rope2d`", TURNED),
    ),
    # sublayers
    Case(
        *("bad-each", each("[attn, mlp, attn]"), "[attn, mlp, attn]", (), "names `attn` twice"),
        *("a name of its own under `sublayers`", each("[mlp, attn]")),
    ),
    Case(
        *("bad-each", each("[attn, mpl]"), "[attn, mpl]", (), "no sublayer `mpl`"),
        *("`mlp`", each("[[attn, mlp]]")),
    ),
    Case(
        *("unused-sublayer", each("[[mlp]]"), "{heads: 6, kv_heads: 2, head_dim: 20, bias: false}"),
        *(("{count: 2, each: [[mlp]]}",), "no layer of `llm` runs `attn`", "name `attn` in `each`"),
        each("[[attn, mlp]]"),
    ),
    Case(
        "bad-cross", cross("window: 4"), "4", ("image",), "counts back along one sequence", "remove `window`", cross()
    ),
    Case(
        *("bad-cross", cross(port="rope"), "rope", (), "a port called `rope`"),
        *("call the port `rope_states`", cross()),
    ),
    Case(
        *("bad-cross", cross(second="mask: {present: shown}"), "image", (), "with different masks"),
        *("write the same `mask`", cross(second="scale: 0.5")),
    ),
    Case(
        *("unknown-port", cross("rows: imag"), "imag", (), "no attention of `llm` reads such a port"),
        *("`image`", cross("mask: {present: shown}, rows: image")),
    ),
    Case(
        *("rows-without-mask", cross("rows: image"), "image", (), "every one sees all of it"),
        *("a `mask`, or remove `rows`", cross("mask: {present: shown}, rows: image")),
    ),
    Case(
        "bad-norm-place",
        {**each("[[attn, mlp]]"), RMS: "norm: {type: rms, place: post}"},
        *("post", ("[[attn, mlp]]",), "sublayers in brackets have one sum together", "`place: pre`"),
        {**each("[attn, mlp]"), RMS: "norm: {type: rms, place: post}"},
    ),
    Case(
        "bad-norm-place",
        {**each("[[attn, mlp]]"), RMS: "norm: {type: rms, place: through}"},
        *("through", ("[[attn, mlp]]",), "is `through`, and sublayers in brackets", "`place: pre`"),
        {**each("[attn, mlp]"), RMS: "norm: {type: rms, place: through}"},
    ),
    Case(
        "bad-norm-place",
        {RMS: "norm: {type: rms, place: shared}"},
        *("shared", (), "no sublayer stands before it", "`shared` for the second alone"),
        {**each("[[attn, mlp]]"), MLP: f"{MLP}, norm: {{place: shared}}"},
    ),
    Case(
        "bad-norm-place",
        latent("norm: {place: post}"),
        *("post", (), "stand in one place only", "remove `place`"),
        latent("norm: {eps: 1.0e-3}"),
    ),
    Case(
        "latent-conflict",
        {HEADS: f"attention: {{heads: 6, kv_heads: 2, latent: {{{LATENT}}}}}"},
        *("2", (f"{{{LATENT}}}",), "`kv_heads` has nothing to set", "remove `kv_heads`"),
        latent(),
    ),
    Case("odd-head-dim", latent(rope_dim=3), "3", (ROPE,), "a head of `llm` is 3 wide", "`rope_dim: 4`", latent()),
    Case(
        "bad-indexer",
        indexed("shared"),
        *("shared", (), "layer 0 of `llm` shares the choice of an indexer before it", "give an earlier layer"),
        indexed("{heads: 4, head_dim: 20, top: 9}", "{at: [1], attention: {indexer: shared}}"),
    ),
    Case(
        "bad-indexer",
        indexed("{heads: 4, head_dim: 16, top: 9}"),
        *("16", (ROPE,), "turn 20 numbers, and a head of its indexer is 16 wide", "at least 20"),
        indexed("{heads: 4, head_dim: 20, top: 9, style: interleaved}"),
    ),
    Case(
        "bad-indexer",
        {"attention: {heads: 3, bias: true}": "attention: {heads: 3, indexer: {heads: 4, head_dim: 20, top: 9}}"},
        *("{heads: 4, head_dim: 20, top: 9}", (), "here they all see each other", "remove `indexer`"),
    ),
    Case(
        "unread-setting",
        indexed("{heads: 4, head_dim: 16, top: 9, style: half}", position="none"),
        *("half", (), "about rotary positions, and the layer has none", "remove `style`"),
        indexed("{heads: 4, head_dim: 16, top: 9}", position="none"),
    ),
    # linear attention
    Case(
        "linear-conflict",
        linear("key_heads: 2, key_dim: 8", "{at: [1], position: {theta: 5.0}, attention: {kv_heads: 1, bias: true}}"),
        *("1", ("true", "{theta: 5.0}", "{key_heads: 2, key_dim: 8}"), "are for layers that all have", "remove `att"),
        linear("key_heads: 2, key_dim: 8", "{at: [1], attention: {linear: null}}"),
    ),
    Case(
        "linear-conflict",
        linear("key_heads: 2, key_dim: 8", "{at: [1], attention: {linear: null}}", "{at: [0], attention: {window: 3}}"),
        *("3", ("{key_heads: 2, key_dim: 8}",), "`attention.window` of `llm`", "remove `attention.window`"),
        linear("key_heads: 2, key_dim: 8", "{at: [1], attention: {linear: null, window: 3}}"),
    ),
    Case(
        "linear-conflict",
        {"attention: {heads: 3, bias: true}": "attention: {linear: {key_heads: 2, key_dim: 8}}"},
        *("{key_heads: 2, key_dim: 8}", (), "goes through a sequence in order", "remove `linear`"),
    ),
    Case(
        "unread-setting",
        linear("rule: fading, key_heads: 2, key_dim: 8, conv: 3"),
        *("3", ("fading",), "`conv` of the linear attention of `llm` is of the delta rule", "remove `conv`"),
        linear("rule: fading, key_heads: 2, value_heads: 2, key_dim: 8"),
    ),
    Case(
        "unread-setting",
        linear("rule: fading, key_heads: 2, value_heads: 4, key_dim: 8"),
        *("4", ("fading",), "`value_heads` of the linear attention", "remove `value_heads`"),
    ),
    Case(
        "missing-key",
        linear("key_heads: 2, key_dim: 8", "{at: [1], attention: {linear: null}}", heads=""),
        *("{linear: null}", (), "needs `heads`: not all of its layers are linear", "add `heads`"),
        linear("key_heads: 2, key_dim: 8", "{at: [1], attention: {heads: 6, head_dim: 8, linear: null}}", heads=""),
    ),
    Case(
        "heads-not-divisible",
        linear("key_heads: 4, value_heads: 6, key_dim: 8", "{at: [1], attention: {linear: null}}"),
        *("4", ("6",), "the 6 value heads of `llm` cannot share 4 query and key heads", "1, 2, 3 or 6"),
        linear("key_heads: 3, value_heads: 6, key_dim: 8", "{at: [1], attention: {linear: null}}"),
    ),
    Case(
        "bad-norm-place",
        linear("key_heads: 2, key_dim: 8, norm: {place: post}", "{at: [1], attention: {linear: null}}"),
        *("post", (), "stands in one place only", "remove `place`"),
        linear("key_heads: 2, key_dim: 8, norm: {eps: 1.0e-3}", "{at: [1], attention: {linear: null}}"),
    ),
    Case(
        "unread-setting",
        {RMS: f"{RMS}\n    residual: {{init: 0.5}}"},
        *("0.5", (), "says where a gate starts", "`gate: tanh`, `alpha`"),
        {RMS: f"{RMS}\n    residual: {{init: 0.5, gate: alpha}}"},
    ),
    Case(
        "unread-setting",
        {MLP: f"{MLP}, residual: {{init: 0.5}}", RMS: f"{RMS}\n    residual: {{scale: 2}}"},
        *("0.5", (), "`mlp.residual.init` of `llm` says where a gate starts", "remove `init`"),
        {MLP: f"{MLP}, residual: {{init: 0.5}}", RMS: f"{RMS}\n    residual: tanh"},
    ),
    Case(
        "unread-setting",
        {MLP: f"{MLP.replace('gated: true', 'gated: false')}, clamp: 7"},
        *("7", (), "of the product of a gate", "remove `clamp`, or write `gated: true`"),
        {MLP: f"{MLP}, clamp: 7"},
    ),
    # experts
    Case("bad-routing", moe("top: 9"), "9", ("4",), "asks for 9 experts of 4", "at most 4", moe("top: 4")),
    Case(
        "bad-routing", moe("top: 1", "groups: 3"), "3", ("4",), "do not divide evenly", "a divisor of 4", moe("top: 1")
    ),
    Case(
        "bad-routing",
        moe("top: 1", "groups: 2, top_groups: 3"),
        *("3", ("4",), "asks for 3 groups of 2", "at most 2"),
        moe("top: 1", "groups: 2, top_groups: 1"),
    ),
    Case(
        "bad-routing",
        moe("top: 3", "groups: 2, top_groups: 1"),
        *("3", ("4",), "1 of the 2 groups hold 2 each", "at most 2, or more `top_groups`"),
        moe("top: 2", "groups: 2, top_groups: 1"),
    ),
    Case(
        "bad-routing",
        moe("top: 1", "groups: 4, top_groups: 2, group_score: top2"),
        *("top2", ("4",), "a group has one expert", "write `max`"),
        moe("top: 1", "groups: 2, top_groups: 1, group_score: top2"),
    ),
    Case(
        "unread-setting",
        moe("top: 1", "group_score: top2"),
        *("top2", (), "a token chooses among all groups", "write `groups` and `top_groups`"),
        moe("top: 1"),
    ),
    Case(
        "unread-setting",
        moe("top: 1", "groups: 2, top_groups: 2"),
        *("2", ("2",), "`mlp.moe.router.groups` of `llm` changes nothing", "a number below 2"),
        moe("top: 1", "groups: 2, top_groups: 1"),
    ),
    *(
        Case(
            "tokens-not-shared",
            {**edits, "generation": PARALLEL % (mesh, f"vision: {{tp: 1}}, {node}: {{sequence: true}}")},
            *("true", (), what, "remove `sequence`"),
        )
        for edits, mesh, node, what in (
            ({}, "dp: 2", "llm", "hold no parts of it"),
            ({}, "tp: 2", "projector", "only decoders"),
            (
                indexed("{heads: 4, head_dim: 20, top: 9}", "{at: [1], attention: {indexer: shared}}"),
                *("tp: 2", "llm", "which keys an indexer has chosen"),
            ),
        )
    ),
    Case(
        "not-staged",
        {
            **indexed("{heads: 4, head_dim: 20, top: 9}", "{at: [1], attention: {indexer: shared}}"),
            "generation": PARALLEL % ("pp: 2", ""),
        },
        *("2", (), "its layers hand on which keys an indexer has chosen", "remove `pp`"),
    ),
    *(
        Case(rule, {**moe(f"top: 1{more}"), "generation": PARALLEL % (mesh, nodes)}, "2", (), what, edit)
        for rule, more, mesh, nodes, what, edit in (
            ("experts-not-spread", "", "ep: 2", "vision: {tp: 1}", "`dp`, over which", "write `{dp: 1, ep: 2}`"),
            (
                "experts-not-spread",
                "",
                "dp: 1, tp: 3, ep: 2",
                "vision: {images: shard}, llm: {tp: 1}, projector: {tp: 1}",
                "stands before it",
                "{dp: 1, ep: 2, tp: 3}",
            ),
        )
    ),
    *(
        Case(
            "not-split", {**edits, "generation": PARALLEL % ("tp: 2", "vision: {tp: 1}")}, "2", (), what, "llm: {tp: 1}"
        )
        for edits, what in (
            (
                {HEADS: f"{HEADS[:-1].replace('kv_heads: 2', 'kv_heads: 1')}, qk_norm: {{over: all}}}}"},
                "a norm over all",
            ),
            (
                {COUNT: COUNT.replace("2\n", "{count: 2, where: [{at: [1], attention: {kv_heads: 1}}]}\n")},
                "layers that differ in how `attn.wk` is split",
            ),
        )
    ),
    # tokens that see each other
    Case(
        "bad-mask",
        {HEADS: f"{HEADS[:-1]}, mask: {{any: [causal, causal]}}}}"},
        *("{any: [causal, causal]}", (), "joins two terms of a kind", "{any: [causal, {spans: PORT}]}"),
        SEEN,
    ),
    Case(
        "bad-mask",
        {HEADS: f"{HEADS[:-1]}, mask: {{any: [causal, {{spans: mask}}]}}}}"},
        *("{any: [causal, {spans: mask}]}", (), "into which something else flows", "a name of its own"),
        SEEN,
    ),
    Case(
        "bad-mask",
        {
            **SEEN,
            COUNT: COUNT.replace(
                "2\n", "{count: 2, where: [{at: [1], attention: {mask: {any: [causal, {spans: spans}]}}}]}\n"
            ),
        },
        *("{any: [causal, {spans: spans}]}", (), "is the same in all layers", "a `window` and a `chunk` may differ"),
        SEEN,
    ),
    Case(
        "bad-mask",
        {**SEEN, COUNT: COUNT.replace("2\n", "{count: 2, where: [{at: [1], attention: {mask: null}}]}\n")},
        *("null", (), "is the same in all layers", "a `chunk` may differ"),
        {**SEEN, COUNT: COUNT.replace("2\n", "{count: 2, where: [{at: [1], attention: {mask: {chunk: 4}}}]}\n")},
    ),
    Case(
        "bad-mask",
        {"attention: {heads: 3, bias: true}": "attention: {heads: 3, mask: {any: [causal, {spans: spans}]}}"},
        *("{any: [causal, {spans: spans}]}", (), "those of an encoder have none", "every token sees every other"),
        {"attention: {heads: 3, bias: true}": "attention: {heads: 3}"},
    ),
    Case(
        "missing-port",
        {**SEEN, "    inputs: {features: fused, spans: fused.places}\n": "    inputs: fused\n"},
        *("fused", (), "spans", "spans"),
        SEEN,
    ),
    # names of weights
    Case(
        "unknown-module",
        {"checkpoint: {use: checkpoint/clip_vision}": "checkpoint: {leading: {positoin: 1}}"},
        *("positoin", ("vision",), "`checkpoint.leading` of `vision` names `positoin`", "did you mean `position`?"),
        {"checkpoint: {use: checkpoint/clip_vision}": "checkpoint: {leading: {position: 1}}"},
    ),
    # tokens of an image put together
    Case(
        "grid-mismatch",
        pooled("tokens: 25"),
        *("25", (), "cannot pool a grid of 4 x 4 tokens to 25", "at most 4 x 4"),
        pooled("tokens: 9"),
    ),
    Case("grid-mismatch", pooled("tokens: 8"), "8", (), "4 x 4 tokens to 8", "use a square", pooled("window: 2")),
    Case(
        "grid-mismatch",
        {**pooled("tokens: 4"), "drop_cls: true": "drop_cls: false"},
        *("vision", (), "takes 17 tokens of an image, which are no square", "grid: [rows, columns]"),
        {**pooled("tokens: 1, grid: [1, 17]"), "drop_cls: true": "drop_cls: false"},
    ),
    Case(
        "grid-mismatch",
        pooled("window: 4, grid: [2, 8]"),
        *("4", ("[2, 8]",), "cannot cut a grid of 2 x 8 tokens into squares of 4 x 4", "divides 2 and 8"),
        pooled("window: 2, grid: [2, 8]"),
    ),
    Case(
        "shape-mismatch",
        pooled("window: 3"),
        *("vision", ("56",), "takes features of 9 * tokens tokens, `vision` gives 16", "change how many"),
        pooled("window: 4"),
    ),
    Case(
        *("no-such-layer", {"layer: -2,": "layers: [-2, 4],"}, "[-2, 4]", ("3",), "no hidden state 4"),
        *("from -4 to 3", {"layer: -2,": "layers: [-2, 3],"}),
    ),
]
