"""Random legal graphs as plain values: encoders, projector chains, fusions in any order, decoders of every option."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

Plain = dict[str, Any]

ACTIVATIONS = ("gelu", "gelu_tanh", "quick_gelu", "silu", "relu")
VOCAB = 40
MAX_TOKENS = 192

_flags = st.booleans()


@dataclass
class Source:
    """Features that a graph has made of one input: where they are, how wide, and how many tokens an image (0: any)."""

    ref: str
    dim: int
    tokens: int


@dataclass
class Drawing:
    """A graph that grows."""

    draw: DrawFn
    inputs: Plain = field(default_factory=dict)
    nodes: Plain = field(default_factory=dict)
    loose: list[str] = field(default_factory=list)  # what nothing reads yet
    even: bool = False  # whether every count is to divide over two devices

    def chance(self, one_in: int = 2) -> bool:
        """True now and then; False when an example is made simpler."""
        return self.draw(st.integers(0, one_in - 1)) == one_in - 1

    def pick(self, *options: Any) -> Any:
        """One of the options; the first is the simplest."""
        return self.draw(st.sampled_from(options))

    def maybe(self, **settings: Callable[[], Any]) -> Plain:
        """Each setting half of the time."""
        return {name: make() for name, make in settings.items() if self.chance()}

    def add(self, node: str, reads: Any, **settings: Any) -> str:
        """A new node; what it reads is not loose any more."""
        self.nodes[node] = {**settings, "inputs": reads}
        read = {ref.partition(".")[0] for ref in (reads.values() if isinstance(reads, dict) else (reads,))}
        self.loose = [ref for ref in self.loose if ref not in read]
        self.loose.append(node)
        return node


@st.composite
def graphs(draw: DrawFn) -> Plain:
    """A legal graph. Sizes are written where nothing else determines them, and now and then where they would be inferred."""
    made = Drawing(draw)
    made.even = made.chance(4)
    sources = [_source(made, index) for index in range(draw(st.integers(0, 3)))]
    whole: Plain = {"version": 1, "name": "drawn"}
    if not sources or made.chance(4) is False:
        _language(made, sources)
    whole |= {"inputs": made.inputs, "nodes": made.nodes, "outputs": _outputs(made)}
    whole |= made.maybe(
        freeze=lambda: _freeze(made),
        passes=lambda: made.maybe(**dict.fromkeys(_PASSES, lambda: draw(_flags))),
        generation=lambda: {"eos_token_id": made.pick([3], [3, 4], []), "pad_token_id": 0},
    )
    if made.even:
        whole["parallelism"] = {"mesh": made.pick({"tp": 2}, {"dp": 2, "tp": 2})}
    return whole


_PASSES = ("dead_layers", "merge_projections", "rope_table", "label_logits")


# ---- what is seen


def _source(made: Drawing, index: int) -> Source:
    if made.chance(4):
        name, dim, tokens = f"feats_{index}", made.pick(12, 20), made.pick(0, 3)
        made.inputs[name] = {"type": "features", "dim": dim, **({"tokens": tokens} if tokens else {})}
        return Source(name, dim, tokens)
    return _tower(made, index)


def _tower(made: Drawing, index: int) -> Source:
    patch = made.pick(4, 5)
    height, width = patch * made.pick(2, 1, 3), patch * made.pick(2, 3)
    size: Any = height if height == width else [height, width]
    name = f"pixels_{index}"
    made.inputs[name] = "image"
    class_token, heads = made.chance(), made.pick(2, 4)
    output = _tap(made, class_token)
    dim = heads * made.pick(4, 6)
    made.add(
        f"tower_{index}",
        name,
        kind="encoder",
        type="vit",
        image={"size": size, **made.maybe(channels=lambda: 3)},
        patch={"size": patch, **made.maybe(bias=made.chance)},
        position=made.pick("learned", "none"),
        dim=dim,
        norm=_norm(made),
        attention=_attention(made, heads, rope=False, windows=False),
        mlp=_mlp(made),
        **_layers(made, heads, rope=False, windows=False),
        **({"class_token": True} if class_token else {}),
        **made.maybe(input_norm=made.chance, final_norm=made.chance),
        **({"output": output} if output else {}),
    )
    patches = height // patch * (width // patch)
    tokens = patches + (class_token and not output.get("drop_cls", False))
    return _projected(made, Source(f"tower_{index}", dim, tokens), index)


def _tap(made: Drawing, class_token: bool) -> Plain:
    found: Plain = {}
    if made.chance():
        found["layer"] = made.pick(-2, -1, 0, 1)
    if class_token and made.chance():
        found["drop_cls"] = True
    if made.chance(4):
        found["norm"] = made.draw(_flags)
    return found


def _projected(made: Drawing, source: Source, index: int) -> Source:
    """Some projectors one behind the other; the last may be left to find out how wide it is."""
    for step in range(made.draw(st.integers(0, 2))):
        out = made.pick(12, 18)
        name = made.add(
            f"proj_{index}_{step}",
            source.ref,
            **_projector(made),
            out=out,
            **made.maybe(**{"in": lambda s=source: s.dim}),
        )
        source = Source(name, out, source.tokens)
    return source


def _projector(made: Drawing) -> Plain:
    if made.chance():
        return {"kind": "projector", "type": "linear", **made.maybe(bias=made.chance)}
    settings = made.maybe(
        layers=lambda: made.pick(2, 1, 3),
        hidden=lambda: made.pick(14, 10),
        activation=lambda: made.pick(*ACTIVATIONS),
        bias=made.chance,
    )
    return {"kind": "projector", "type": "mlp", **settings}


# ---- what is read and said


def _language(made: Drawing, sources: list[Source]) -> None:
    made.inputs["input_ids"] = "tokens"
    if made.chance(4):
        made.inputs["seen_mask"] = "mask"
    dim = made.pick(16, 24)
    embedding: Plain = {"kind": "encoder", "type": "token_embedding"}
    stream = made.add("text", "input_ids", **embedding, **made.maybe(dim=lambda: dim, vocab=lambda: VOCAB))
    waiting = [source for source in sources if made.chance(5) is False]
    token = VOCAB - 1
    fusions = 0
    while waiting:
        if fusions and made.nodes[stream]["type"] == "prefix" or made.chance():
            stream = _prefix(made, stream, waiting.pop(0), dim, fusions)
        else:
            count = made.draw(st.integers(1, len(waiting)))
            stream = _scatter(made, stream, waiting[:count], dim, fusions, token)
            waiting, token = waiting[count:], token - count
        fusions += 1
    _decoders(made, stream, dim)


def _fitting(made: Drawing, source: Source, dim: int) -> str:
    """The source itself if it is as wide as the stream, else a projector that has to find that out."""
    if source.dim == dim:
        return source.ref
    return made.add(f"fit_{source.ref}", source.ref, **_projector(made))


def _scatter(made: Drawing, text: str, sources: list[Source], dim: int, number: int, token: int) -> str:
    ports = {f"seen_{index}": _fitting(made, source, dim) for index, source in enumerate(sources)}
    placeholder = {port: token - index for index, port in enumerate(ports)}
    reads = {"text": text, **ports, "ids": "input_ids"}
    return made.add(f"fused_{number}", reads, kind="fusion", type="scatter", placeholder=placeholder)


def _prefix(made: Drawing, text: str, source: Source, dim: int, number: int) -> str:
    reads = {"text": text, "image": _fitting(made, source, dim)}
    logits = made.maybe(logits=lambda: made.pick("text", "all"))
    return made.add(f"fused_{number}", reads, kind="fusion", type="prefix", **logits)


def _decoders(made: Drawing, stream: str, dim: int) -> None:
    made.add("llm", stream, **_decoder(made, dim))
    if made.chance(5):
        second = _decoder(made, dim)
        tied: Any = second.get("head")
        if isinstance(tied, dict):
            tied.pop("tied", None)
        made.add("second", "llm.hidden", **second, **({} if "vocab" in second else {"vocab": VOCAB}))


def _decoder(made: Drawing, dim: int) -> Plain:
    heads = made.pick(2, 4)
    rope = made.chance(4) is False
    head: Any = made.pick(None, {}, {"bias": True}, {"tied": True}, "none")
    return {
        "kind": "decoder",
        "type": "transformer",
        "vocab": VOCAB,
        "dim": dim,
        "max_tokens": MAX_TOKENS,
        "norm": _norm(made),
        "attention": _attention(made, heads, rope=rope, windows=True),
        "mlp": _mlp(made),
        "position": _rope(made) if rope else "none",
        **_layers(made, heads, rope=rope, windows=True),
        **made.maybe(final_norm=made.chance),
        **({} if head is None else {"head": head}),
    }


# ---- blocks


def _norm(made: Drawing) -> Any:
    if made.chance():
        return made.pick("rms", "layer")
    kind = made.pick("rms", "layer")
    bias = made.maybe(bias=lambda: made.draw(_flags)) if kind == "layer" else {}
    return {"type": kind, **made.maybe(eps=lambda: made.pick(1e-6, 1e-5, 0.001)), **bias}


def _attention(made: Drawing, heads: int, *, rope: bool, windows: bool) -> Plain:
    shared = made.pick(heads, 2) if made.even else made.pick(heads, heads // 2, 1)
    settings = made.maybe(
        kv_heads=lambda: shared,
        bias=lambda: _bias(made),
        qk_norm=lambda: made.pick("none", "rms", {"type": "rms", "eps": 1e-4}),
    )
    if rope or made.chance(4):
        settings["head_dim"] = made.pick(6, 8) if rope else made.pick(6, 5)
    if windows and made.chance(4):
        settings["window"] = made.pick(3, 1, 50)
    return {"heads": heads, **settings}


def _bias(made: Drawing) -> Any:
    if made.chance():
        return made.draw(_flags)
    return made.maybe(**dict.fromkeys("qkvo", lambda: made.draw(_flags)))


def _mlp(made: Drawing) -> Plain:
    settings = made.maybe(
        activation=lambda: made.pick(*ACTIVATIONS), gated=lambda: made.draw(_flags), bias=lambda: made.draw(_flags)
    )
    return {"hidden": made.pick(20, 14), **settings}


def _rope(made: Drawing) -> Plain:
    scaling = made.pick(
        None,
        {"type": "linear", "factor": 2.5},
        {"type": "dynamic", "factor": 2, "original_max_tokens": 8},
        {"type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_tokens": 16},
        {"type": "yarn", "factor": 4, "original_max_tokens": 16},
        {"type": "yarn", "factor": 2, "original_max_tokens": 16, "truncate": False, "attention_factor": 0.9},
    )
    return {
        "type": "rope",
        **made.maybe(theta=lambda: made.pick(10000.0, 5000, 1e6)),
        **({"scaling": scaling} if scaling else {}),
    }


def _layers(made: Drawing, heads: int, *, rope: bool, windows: bool) -> Plain:
    count = made.draw(st.integers(1, 3))
    if not made.chance(3):
        return {"layers": count}
    where = [_exception(made, count, heads, rope=rope, windows=windows) for _ in range(made.draw(st.integers(1, 2)))]
    return {"layers": {"count": count, "where": where}}


def _exception(made: Drawing, count: int, heads: int, *, rope: bool, windows: bool) -> Plain:
    last = count - 1
    which = made.pick(
        {"at": [last]}, {"every": 2}, {"every": 2, "from": last}, {"range": [0, count]}, {"at": [0, last]}
    )
    attention: Plain = made.maybe(bias=lambda: _bias(made))
    if made.chance():
        attention["kv_heads"] = made.pick(heads, 2) if made.even else made.pick(heads, 1)
    if windows and made.chance():
        attention["window"] = made.pick(None, 2)
    changes: dict[str, Callable[[], Any]] = {"mlp": lambda: _mlp(made), "norm": lambda: _norm(made)}
    return {**which, **made.maybe(**changes), **({"attention": attention} if attention else {})}


# ---- the rest


def _outputs(made: Drawing) -> Plain:
    """Everything loose, and now and then what something reads too."""
    found: Plain = {}
    for name, node in made.nodes.items():
        read_too = made.chance(5)
        if node["kind"] == "decoder":
            ports = (
                ["hidden"] if node.get("head") == "none" else made.pick(["logits"], ["hidden"], ["logits", "hidden"])
            )
            if name in made.loose or read_too:
                found |= {f"{name}_{port}": f"{name}.{port}" for port in ports}
        elif name in made.loose or read_too:
            found[f"out_{name}"] = name
    loose_inputs = [name for name in made.inputs if name.startswith("feats") and not _is_read(made, name)]
    for name in loose_inputs:
        found[f"out_{made.add(f'last_{name}', name, **_projector(made), out=10)}"] = f"last_{name}"
    return found


def _is_read(made: Drawing, name: str) -> bool:
    reads = [node["inputs"] for node in made.nodes.values()]
    return any(name == read or (isinstance(read, dict) and name in read.values()) for read in reads)


def _freeze(made: Drawing) -> Any:
    named = [name for name, node in made.nodes.items() if node["kind"] != "fusion"]
    stacks = [name for name in named if "layers" in made.nodes[name] and made.nodes[name]["kind"] == "decoder"]
    patterns = [
        made.pick(*named),
        *(f"{name}.{made.pick('layers.0', 'layers.*.attn_norm', '*.weight')}" for name in stacks),
    ]
    chosen = [pattern for pattern in patterns if made.chance()] or patterns[:1]
    if made.chance(3):
        return {"patterns": chosen[1:], "schedules": {chosen[0]: {"until_step": 100}}}
    return chosen
