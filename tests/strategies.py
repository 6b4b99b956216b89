"""Random legal graphs as plain values: encoders, projector chains, fusions in any order, decoders of every option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from .block_strategies import ACTIVATIONS, Drawing, Plain, attention, layers, mlp, norm, residual, rope

VOCAB = 40
MAX_TOKENS = 192
PASSES = ("dead_layers", "merge_projections", "rope_table", "label_logits")

_flags = st.booleans()


@dataclass(frozen=True)
class Source:
    """Features that a graph makes of one input: where they are, how wide, and of images of which size if patches."""

    ref: str
    dim: int
    size: Any = None


@st.composite
def graphs(draw: DrawFn) -> Plain:
    """A legal graph. Sizes are written where nothing else determines them, and now and then elsewhere."""
    made = Drawing(draw)
    made.even = made.chance(4)
    sources = [_source(made, index) for index in range(draw(st.integers(0, 3)))]
    if not sources or not made.chance(4):
        _language(made, sources)
    outputs = _outputs(made)
    whole: Plain = {"version": 1, "name": "drawn", "inputs": made.inputs, "nodes": made.nodes, "outputs": outputs}
    whole |= made.maybe(
        freeze=lambda: _freeze(made),
        passes=lambda: made.maybe(**dict.fromkeys(PASSES, lambda: draw(_flags))),
        generation=lambda: {"eos_token_id": made.pick([3], [3, 4], []), "pad_token_id": 0},
    )
    if made.even:
        whole["parallelism"] = {"mesh": made.pick({"tp": 2}, {"dp": 2, "tp": 2})}
    return whole


# ---- what is seen


def _source(made: Drawing, index: int) -> Source:
    if made.chance(4):
        name, dim = f"feats_{index}", made.pick(12, 20)
        made.inputs[name] = {"type": "features", "dim": dim, **made.maybe(tokens=lambda: 3)}
        made.loose.append(name)
        return Source(name, dim)
    return _projected(made, _tower(made, index), index)


def _tower(made: Drawing, index: int) -> Source:
    class_token, heads = made.chance(), made.pick(2, 4)
    output = _tap(made, class_token)
    dim, size, turned = heads * made.pick(4, 6), made.pick(8, [8, 12]), made.chance(4)
    heads_of = attention(made, heads, decoder=False, rope=False)
    made.add(
        f"tower_{index}",
        _pixels(made, index, size),
        kind="encoder",
        type="vit",
        image={"size": size, **made.maybe(channels=lambda: 3)},
        patch={"size": 4, **made.maybe(bias=made.chance)},
        position=_turned(made) if turned else made.pick("learned", "none"),
        dim=dim,
        norm=norm(made),
        attention=heads_of | ({"head_dim": made.pick(4, 8)} if turned else {}),
        mlp=mlp(made),
        **made.maybe(residual=lambda: residual(made)),
        **layers(made, heads, decoder=False, rope=turned),
        **({"class_token": made.pick(True, "last")} if class_token else {}),
        **made.maybe(input_norm=made.chance, final_norm=made.chance),
        **({"output": output} if output else {}),
    )
    whole = class_token and not output.get("drop_cls")
    return Source(f"tower_{index}", dim * len(output.get("layers", [0])), None if whole else size)


def _turned(made: Drawing) -> Any:
    more = made.maybe(
        order=lambda: made.pick("rows", "columns", "turns"),
        frequencies=lambda: made.pick("same", "between"),
        style=lambda: made.pick("half", "interleaved"),
        first=lambda: 1,
    )
    rope = {"type": "rope2d", "theta": 100.0, **more}
    return ["learned", rope] if made.chance() else rope


def _pixels(made: Drawing, index: int, size: Any) -> str:
    """An input of its own, or a second look at pixels that an encoder for the same size reads already."""
    twins = [node["inputs"] for node in made.nodes.values() if node["type"] == "vit" and node["image"]["size"] == size]
    if twins and made.chance(3):
        made.draw(st.just(None))
        return str(twins[0])
    made.inputs[f"pixels_{index}"] = "image"
    return f"pixels_{index}"


def _tap(made: Drawing, class_token: bool) -> Plain:
    found: Plain = {}
    if made.chance():
        found["layer"] = made.pick(-2, -1, 0, 1)
    elif made.chance(3):
        found["layers"] = made.pick([-2, -1], [1, 0, -1])
    if class_token and made.chance():
        found["drop_cls"] = True
    if made.chance(4):
        found["norm"] = made.draw(_flags)
    return found


def _projected(made: Drawing, source: Source, index: int) -> Source:
    """Some projectors one behind the other; tokens of a square image may be put together first."""
    if source.size == 8 and made.chance(3):
        together: Plain = {"type": "pool", **made.pick({"window": 2}, {"tokens": 1}, {"type": "pixel_shuffle"})}
        dim = source.dim * 4 if together["type"] == "pixel_shuffle" else source.dim
        source = Source(made.add(f"near_{index}", source.ref, kind="projector", **together), dim)
    for step in range(made.draw(st.integers(0, 2))):
        out = made.pick(12, 18)
        sizes: Plain = {"out": out, **({"in": source.dim} if made.chance() else {})}
        source = Source(made.add(f"proj_{index}_{step}", source.ref, **_projector(made), **sizes), out)
    return source


def _projector(made: Drawing) -> Plain:
    if made.chance():
        return {"kind": "projector", "type": "linear", **made.maybe(bias=made.chance)}
    gated = made.chance(3)
    settings = made.maybe(
        **({"gated": lambda: True} if gated else {"layers": lambda: made.pick(2, 1, 3)}),
        norm=lambda: made.pick("rms", "layer", {"type": "rms", "unit_offset": True}),
        hidden=lambda: made.pick(14, 10),
        activation=lambda: made.pick(*ACTIVATIONS),
        bias=made.chance,
    )
    return {"kind": "projector", "type": "mlp", **settings}


# ---- what is read and said


def _language(made: Drawing, sources: list[Source]) -> None:
    """One stream of text, or two that know nothing of each other."""
    made.masked = made.chance(4)
    if not made.chance(6):
        return _stream(made, sources, "")
    half = len(sources) // 2
    _stream(made, sources[:half], "")
    _stream(made, sources[half:], "_b")
    return None


def _stream(made: Drawing, sources: list[Source], suffix: str) -> None:
    dim = made.pick(16, 24)
    ids, stream = _text(made, dim, suffix)
    waiting = [source for source in sources if not made.chance(5)]
    token, fusions, prefixed = VOCAB - 1, 0, not ids
    while waiting:
        name = f"fused_{fusions}{suffix}"
        prefixed = prefixed or made.chance()
        if prefixed:
            stream = _prefix(made, name, stream, _fitting(made, waiting.pop(0), dim))
        else:
            count = made.draw(st.integers(1, len(waiting)))
            ports = {f"seen_{index}": _fitting(made, source, dim) for index, source in enumerate(waiting[:count])}
            placeholder = {port: token - index for index, port in enumerate(ports)}
            reads = {"text": stream, **ports, "ids": ids}
            stream = made.add(name, reads, kind="fusion", type="scatter", placeholder=placeholder)
            waiting, token = waiting[count:], token - count
        fusions += 1
    _decoders(made, stream, dim, suffix, tied=bool(ids))


def _text(made: Drawing, dim: int, suffix: str) -> tuple[str, str]:
    """The input of token ids, and the node that embeds it; or nothing and an input of embeddings."""
    if made.chance(8):
        name = f"given{suffix}"
        made.inputs[name] = {"type": "features", **made.maybe(dim=lambda: dim, tokens=lambda: 4)}
        return "", name
    ids = f"input_ids{suffix}"
    made.inputs[ids] = "tokens"
    if made.masked:
        made.inputs[f"seen_mask{suffix}"] = "mask"
    sizes = made.maybe(dim=lambda: dim, vocab=lambda: VOCAB)
    return ids, made.add(f"text{suffix}", ids, kind="encoder", type="token_embedding", **sizes)


def _fitting(made: Drawing, source: Source, dim: int) -> str:
    """The source itself if it is as wide as the stream, else a projector that has to find that out."""
    return source.ref if source.dim == dim else made.add(f"fit_{source.ref}", source.ref, **_projector(made))


def _prefix(made: Drawing, name: str, text: str, image: str) -> str:
    logits = made.maybe(logits=lambda: made.pick("text", "all"))
    return made.add(name, {"text": text, "image": image}, kind="fusion", type="prefix", **logits)


def _decoders(made: Drawing, stream: str, dim: int, suffix: str, *, tied: bool) -> None:
    first = made.add(f"llm{suffix}", stream, **_decoder(made, dim, tied=tied))
    if made.chance(5):
        made.add(f"second{suffix}", f"{first}.hidden", **_decoder(made, dim, tied=False))


def _decoder(made: Drawing, dim: int, *, tied: bool) -> Plain:
    heads, turned = made.pick(2, 4), not made.chance(4)
    head: Any = made.pick(None, {}, {"bias": True}, "none", {"tied": tied})
    return {
        "kind": "decoder",
        "type": "transformer",
        "vocab": VOCAB,
        "dim": dim,
        "max_tokens": MAX_TOKENS,
        "norm": norm(made),
        "attention": attention(made, heads, decoder=True, rope=turned),
        "mlp": mlp(made),
        "position": rope(made) if turned else made.pick("none", "learned", {"type": "learned", "offset": 2}),
        **made.maybe(residual=lambda: residual(made), input_norm=made.chance),
        **layers(made, heads, decoder=True, rope=turned),
        **made.maybe(final_norm=made.chance),
        **({} if head is None else {"head": head}),
    }


# ---- the rest


def _outputs(made: Drawing) -> Plain:
    """Everything that nothing reads, and now and then what something reads too."""
    for ref in [ref for ref in made.loose if ref in made.inputs]:
        made.add(f"last_{ref}", ref, **_projector(made), out=10)
    found: Plain = {}
    for name, node in made.nodes.items():
        if name not in made.loose and not made.chance(5):
            continue
        if node["kind"] != "decoder":
            found[f"out_{name}"] = name
            continue
        ports = ["hidden"] if node.get("head") == "none" else made.pick(["logits"], ["hidden"], ["logits", "hidden"])
        found |= {f"{name}_{port}": f"{name}.{port}" for port in ports}
    return found


_NO_WEIGHTS = ("pool", "pixel_shuffle")


def _freeze(made: Drawing) -> Any:
    """Whole nodes, layers, or parameters by name; for good or until a step."""
    whole = [name for name, node in made.nodes.items() if node["kind"] != "fusion" and node["type"] not in _NO_WEIGHTS]
    decoders = [name for name in whole if made.nodes[name]["kind"] == "decoder"]
    patterns = [f"{name}.{made.pick('layers.0', 'layers.*.attn_norm', '*.weight')}" for name in decoders]
    chosen = [made.pick(*whole), *(pattern for pattern in patterns if made.chance())]
    if made.chance(3):
        return {"patterns": chosen[1:], "schedules": {chosen[0]: {"until_step": 100}}}
    return chosen
