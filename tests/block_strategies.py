"""Random legal settings of blocks as plain values: norms, attentions, feed-forwards, positions, layers that differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

Plain = dict[str, Any]

ACTIVATIONS = ("gelu", "gelu_tanh", "quick_gelu", "silu", "relu", "relu2")

_flags = st.booleans()


@dataclass
class Drawing:
    """A graph that grows."""

    draw: DrawFn
    inputs: Plain = field(default_factory=dict)
    nodes: Plain = field(default_factory=dict)
    loose: list[str] = field(default_factory=list)  # what nothing reads yet
    even: bool = False  # whether every count is to divide over two devices
    masked: bool = False  # whether the masks are among the inputs

    def chance(self, one_in: int = 2) -> bool:
        """True now and then; False when an example is made simpler."""
        return bool(self.draw(st.integers(0, one_in - 1)) == one_in - 1)

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
        self.loose = [*(ref for ref in self.loose if ref not in read), node]
        return node


def norm(made: Drawing) -> Any:
    if made.chance():
        return made.pick("rms", "layer")
    kind = made.pick("rms", "layer")
    bias = made.maybe(bias=lambda: made.draw(_flags)) if kind == "layer" else {}
    if kind == "rms":
        bias = made.maybe(unit_offset=lambda: made.draw(_flags))
    place = made.maybe(place=lambda: made.pick("pre", "post", "sandwich", "branch", "through"))
    return {"type": kind, **made.maybe(eps=lambda: made.pick(1e-6, 1e-5, 0.001)), **bias, **place}


def residual(made: Drawing) -> Any:
    """A gate that is not shut: shut ones keep gradients from what is behind them."""
    if made.chance():
        return {"scale": made.pick(0.5, 2.0), **made.maybe(skip=lambda: made.pick(1.5, 0.5))}
    return {"gate": made.pick("tanh", "alpha", "layer_scale", "none"), "init": 0.3}


def attention(made: Drawing, heads: int, *, decoder: bool, rope: bool) -> Plain:
    settings = made.maybe(
        kv_heads=lambda: _kv_heads(made, heads),
        bias=lambda: _bias(made),
        qk_norm=lambda: made.pick("none", "rms", "layer", {"weight": False, "after_rope": True}, {"over": "all"}),
        scale=lambda: made.pick(0.3, 0.1),
        softcap=lambda: made.pick(20.0, 5.0),
        sinks=lambda: made.draw(_flags),
        gate=lambda: made.pick("none", "sigmoid"),
    )
    if made.even:  # what tensor parallelism cannot split
        settings.pop("sinks", None)
        if settings.get("qk_norm") == {"over": "all"}:
            del settings["qk_norm"]
    if rope:
        settings["head_dim"] = made.pick(6, 8)
    elif made.chance(4):
        settings["head_dim"] = made.pick(6, 5)
    if decoder and made.chance(4):
        settings["window"] = made.pick(3, 1, 50)
    if decoder:
        settings |= made.maybe(
            mask=lambda: {"chunk": made.pick(4, 1, 50)},
            temperature=lambda: {"floor": made.pick(2, 7), "scale": 0.4, **made.maybe(first=lambda: 0)},
        )
    return {"heads": heads, **settings}


def _kv_heads(made: Drawing, heads: int) -> int:
    return int(made.pick(heads, 2) if made.even else made.pick(heads, heads // 2, 1))


def _bias(made: Drawing) -> Any:
    if made.chance():
        return made.draw(_flags)
    return made.maybe(**dict.fromkeys("qkvo", lambda: made.draw(_flags)))


def mlp(made: Drawing) -> Plain:
    settings = made.maybe(
        activation=lambda: made.pick(*ACTIVATIONS), gated=lambda: made.draw(_flags), bias=lambda: made.draw(_flags)
    )
    if not made.even and made.chance(4):
        settings |= {"moe": _moe(made)}
    if settings.get("gated") is False:
        settings |= {"clamp": None, "up_offset": 0.0}  # whatever the other layers have
    elif settings.get("gated"):
        settings |= made.maybe(clamp=lambda: made.pick(2.0, 0.5), up_offset=lambda: 1.0)
    return {"hidden": made.pick(20, 14), **settings}


def _moe(made: Drawing) -> Plain:
    groups = {"groups": 2, "top_groups": 1} if made.chance() else {}
    if groups:
        groups |= made.maybe(group_score=lambda: made.pick("max", "top2"))
    router = made.maybe(
        score=lambda: made.pick("softmax", "sigmoid"),
        bias=lambda: made.draw(_flags),
        projection_bias=lambda: made.draw(_flags),
        apply=lambda: made.pick("output", "input"),
        normalize=lambda: made.draw(_flags),
        scale=lambda: 2.5,
    )
    shared = made.maybe(shared=lambda: {"hidden": 10, **made.maybe(gate=lambda: "sigmoid")})
    return {"experts": 4, "top": made.pick(1, 2), "router": {**groups, **router}, **shared}


def rope(made: Drawing) -> Plain:
    scaling = made.pick(
        None,
        {"type": "linear", "factor": 2.5},
        {"type": "dynamic", "factor": 2, "original_max_tokens": 8},
        {"type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_tokens": 16},
        {"type": "yarn", "factor": 4, "original_max_tokens": 16},
        {"type": "yarn", "factor": 2, "original_max_tokens": 16, "truncate": False, "attention_factor": 0.9},
    )
    theta = made.pick(10000.0, 5000, 1e6)
    more = made.maybe(style=lambda: made.pick("half", "interleaved"), dim=lambda: 4)
    return {"type": "rope", "theta": theta, **more, **({"scaling": scaling} if scaling else {})}


def layers(made: Drawing, heads: int, *, decoder: bool, rope: bool) -> Plain:
    count = made.draw(st.integers(1, 3))
    if not made.chance(3):
        return {"layers": count}
    if decoder and count > 1 and not made.even and made.chance(3):
        return {"layers": {"count": count, "where": [{"at": [count - 1], "attention": {"linear": _linear(made)}}]}}
    exceptions = made.draw(st.integers(1, 2))
    where = [_exception(made, count, heads, decoder=decoder, rope=rope) for _ in range(exceptions)]
    return {"layers": {"count": count, "where": where}}


def _linear(made: Drawing) -> Plain:
    heads = made.pick(2, 1)
    if made.chance(3):
        more = made.maybe(value_dim=lambda: made.pick(6, 5), activation=lambda: made.pick(*ACTIVATIONS))
        return {"rule": "fading", "key_heads": heads, "key_dim": made.pick(4, 3), **more}
    return {
        "key_heads": heads,
        "key_dim": made.pick(4, 3),
        **made.maybe(
            value_heads=lambda: heads * made.pick(1, 2),
            value_dim=lambda: made.pick(6, 5),
            conv=lambda: made.pick(4, 1, 2),
            activation=lambda: made.pick(*ACTIVATIONS),
            beta_max=lambda: made.pick(1.0, 2.0),
            norm=lambda: made.pick({"eps": 1e-4}, "layer", {"unit_offset": True}),
        ),
    }


def _exception(made: Drawing, count: int, heads: int, *, decoder: bool, rope: bool) -> Plain:
    last = count - 1
    which = made.pick(
        {"at": [last]}, {"every": 2}, {"every": 2, "from": last}, {"range": [0, count]}, {"at": [0, last]}
    )
    changed = made.maybe(bias=lambda: _bias(made), kv_heads=lambda: _kv_heads(made, heads))
    if decoder and made.chance():
        changed["window"] = made.pick(None, 2)
        changed |= made.maybe(mask=lambda: made.pick(None, {"chunk": 3}), temperature=lambda: None)
    if not rope and made.chance(4):
        changed["head_dim"] = made.pick(3, 7)
    changes = made.maybe(mlp=lambda: mlp(made), norm=lambda: norm(made), name=lambda: made.pick("wide", "odd"))
    return {**which, **changes, **({"attention": changed} if changed else {})}
