"""Random graphs of any parts: towers and projectors, joined or not, fused into texts, read by decoders."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from ..block_strategies import Plain
from .calls import again, call
from .flow import VOCAB, Features, Growing, Stream, same_images, same_tokens
from .fusions import behind
from .objectives import objectives
from .parts import DECODERS, ENCODERS, INTO, JOINTS, PROJECTORS
from .projectors import fitting

_PASSES = ("dead_layers", "merge_projections", "rope_table", "label_logits")


@st.composite
def combinations(draw: DrawFn) -> Plain:
    """A graph that should be legal, or nearly."""
    made = Growing(draw)
    found = [each for _ in range(made.pick(1, 2, 0, 3)) for each in _seen(made)]
    found = _joined(made, found)
    if made.chance(8) is False:
        for _ in range(2 if made.chance(6) else 1):
            _language(made, found)
    if made.chance(6):
        objectives(made, found)
    return _whole(made)


@st.composite
def rewired(draw: DrawFn) -> Plain:
    """A graph in which one thing is connected to another than was meant."""
    plain: Plain = draw(combinations())
    refs = [*plain["inputs"], *plain["nodes"], *(f"{name}.hidden" for name in plain["nodes"]), "fused", "vit_0.layer_1"]
    places = [(node, port) for node in plain["nodes"].values() for port in _ports(node)]
    if not places:
        return plain
    node, port = draw(st.sampled_from(places))
    ref = draw(st.sampled_from(refs))
    if port:
        node["inputs"][port] = ref
    else:
        node["inputs"] = ref
    return plain


def _ports(node: Plain) -> list[str]:
    return list(node["inputs"]) if isinstance(node["inputs"], dict) else [""]


def _seen(made: Growing) -> list[Features]:
    """One encoder, and perhaps projectors behind what it gives; now and then all of it twice."""
    before = len(made.nodes)
    given = ENCODERS[made.pick(*ENCODERS)](made)
    found = []
    for source in given:
        last = source
        for _ in range(made.pick(0, 1, 1, 2)):
            last = PROJECTORS[made.pick(*PROJECTORS)](made, last) or last
        if made.chance(4) is False:
            last = PROJECTORS["projector/video_packing"](made, last) or last
        found.append(last)
    found = found + given[:1] if made.chance(4) else found
    return [*found, *again(made, [*made.nodes][before:], found)] if made.chance(5) else found


def _joined(made: Growing, found: list[Features]) -> list[Features]:
    """Some of what belongs together put together."""
    for group in same_tokens(found):
        if made.chance():
            joint = JOINTS[made.pick(*JOINTS)](made, group)
            left = [each for each in found if each not in group]
            found = [joint, *left] if made.chance(3) is False else [joint, *left, group[0]]
    for group in same_images(found):
        if made.chance(3):
            found = [behind(made, group), *(each for each in found if each not in group)]
    return found


def _language(made: Growing, found: list[Features]) -> None:
    """A text into which some of the features go, and a decoder that may read the others."""
    dim = made.pick(16, 24)
    stream, waiting = _text(made, dim), made.take(found)
    apart = [each for each in waiting if each.rows.startswith("in ")]  # as many as there happen to be
    crossed = [each for each in waiting if each not in apart][: made.pick(0, 0, 1, 2)]
    waiting = [*apart, *(each for each in waiting if each not in apart and each not in crossed)]
    while waiting:
        into = INTO[made.pick(*INTO)](made, stream, waiting, dim)
        stream = into or _first(made, stream, waiting, dim)
    last = DECODERS[made.pick(*DECODERS)](made, stream, dim, crossed)
    if made.chance(8) and stream.ids and stream.ref in made.nodes and not stream.placed and not stream.prefixed:
        names: dict[str, str] = {}
        if "module" not in made.nodes[stream.ref] and made.nodes[stream.ref]["inputs"] in made.inputs:
            call(made, stream.ref, names)
        call(made, last.ref.partition(".")[0], names)
    elif made.chance(8):
        made.node("projector/linear", last.ref, out=made.pick(10, 6))
    elif made.chance(8):
        others = [each for each in found if not each.rows.startswith("in ")]
        DECODERS[made.pick(*DECODERS)](made, Stream(last.ref, prefixed=True), dim, others[:1])
    elif made.chance(4):
        found.append(last)


def _first(made: Growing, stream: Stream, waiting: list[Features], dim: int) -> Stream:
    """What can go nowhere else goes before everything; of a stack, nobody knows how many images there are."""
    for into in INTO.values():
        found = into(made, stream, waiting, dim)
        if found:
            return found
    waiting.pop(0)
    return stream


def _text(made: Growing, dim: int) -> Stream:
    """Embedded ids, now and then behind a projector; or embeddings from elsewhere."""
    if made.chance(8):
        name = made.input("embedded", {"type": "features", **made.maybe(dim=lambda: dim, tokens=lambda: 4)})
        return Stream(name)
    ids = made.input("input_ids", "tokens")
    if made.chance(6) and len(made.inputs) == 1:
        made.inputs[made.name("text_mask")] = "mask"
    sizes = made.maybe(dim=lambda: dim, vocab=lambda: VOCAB, scale=lambda: made.pick("sqrt_dim", 0.5))
    if made.chance(6):
        sizes["extra_rows"] = 2
    text = made.node("encoder/token_embedding", ids, **sizes)
    if made.chance(8):
        made.nodes[text]["dim"] = 12
        text = fitting(made, Features(text, 12, "", "")).ref
    return Stream(text, ids)


def _whole(made: Growing) -> Plain:
    for ref in [ref for ref in made.loose if ref in made.inputs]:
        made.node("projector/linear", ref, out=10)
    outputs: Plain = {}
    read = {ref.partition(".")[0] for node in made.nodes.values() for ref in _refs(node)}
    for name, node in made.nodes.items():
        if node.get("type") == "grid_positions" or (name in read and not made.chance(6)):
            continue
        outputs |= _outputs(made, name, made.nodes[node.get("module", name)])
    whole: Plain = {"version": 1, "name": "drawn", "inputs": made.inputs, "nodes": made.nodes, "outputs": outputs}
    return whole | made.maybe(
        freeze=lambda: _freeze(made),
        passes=lambda: made.maybe(**dict.fromkeys(_PASSES, made.chance)),
        generation=lambda: {"eos_token_id": made.pick([3], [3, 4], []), "pad_token_id": 0},
    )


def _refs(node: Plain) -> list[str]:
    return list(node["inputs"].values()) if isinstance(node["inputs"], dict) else [node["inputs"]]


def _outputs(made: Growing, name: str, node: Plain) -> Plain:
    if node["kind"] != "decoder":
        port = _FIRST.get(node["type"], "")
        return {} if port in (".image", ".patches") else {f"out_{name}": f"{name}{port}"}
    ports = ["hidden"] if node.get("head") == "none" else made.pick(["logits"], ["logits", "hidden"], ["hidden"])
    return {f"{name}_{port}": f"{name}.{port}" for port in ports}


_FIRST = {"patches": ".patches", "image_stack": ".image", "video_frames": ".image", "spread": ".depth_1"}


def _freeze(made: Growing) -> Any:
    """Whole nodes, or parameters of them by name; for good or until a step."""
    able = [name for name, node in made.nodes.items() if node.get("type", "concat") not in _WITHOUT_WEIGHTS]
    if not able:
        return []
    decoders = [name for name in able if made.nodes[name]["kind"] == "decoder"]
    patterns = [f"{name}.{made.pick('layers.0', 'layers.*.attn_norm', '*.weight')}" for name in decoders]
    chosen = [made.pick(*able), *(pattern for pattern in patterns if made.chance())]
    if made.chance(3):
        return {"patterns": chosen[1:], "schedules": {chosen[0]: {"until_step": 100}}}
    return chosen


_WITHOUT_WEIGHTS = (
    *("image_stack", "patches", "grid_positions", "concat", "add", "scatter", "prefix", "spread"),
    *("classification", "contrastive", "sum"),
    *("pool", "pixel_shuffle", "tile_packing", "video_frames", "video_packing", "frame_merger"),
)
