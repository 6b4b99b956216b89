"""What a graph says of the sounds of its prompts: the clips of its encoder, their tokens, the inputs that take them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from ..components.encoder.audio import Audio
from ..components.fusion.scatter import Scatter
from ..ir import Graph, SoundPrompt
from ..problems import Problems
from ..settings import Settings
from .pictures import above


@dataclass(frozen=True, slots=True)
class Sounds:
    """The sounds of a graph, and how its prompt has them.

    A clip is `frames` of `bins`; of `stride` frames and `pool` of these, a token. If clips are padded, `mask` is the
    input that says where, and the tokens of padding are left out; otherwise each clip comes to `tokens`.
    """

    prompt: SoundPrompt
    token_id: int
    audio: str
    mask: str
    bins: int
    frames: int
    stride: int
    pool: int
    tokens: int

    @property
    def clip(self) -> int:
        """Samples of a clip."""
        return self.frames * self.prompt.hop


def sounds(graph: Graph) -> Sounds | None:
    """The sounds of a checked graph; None where its prompt speaks of none."""
    return found(graph, graph.prompt.sound) if graph.prompt.sound else None


def found(graph: Graph, prompt: SoundPrompt) -> Sounds | None:
    """The sounds that `prompt.audio` speaks of; None where the graph has none that a prompt could have."""
    for node in graph.nodes.values():
        for port, token in node.spec.placeholder if isinstance(node.spec, Scatter) else ():
            names = above(graph, node.inputs[port])
            encoders = [each for name, each in graph.nodes.items() if name in names and isinstance(each.spec, Audio)]
            if len(encoders) != 1:
                continue
            spec, reads = encoders[0].spec, encoders[0].inputs
            assert isinstance(spec, Audio)
            inside = encoders[0].signature.outputs["features"].shape[1]
            if spec.frames is None or any(reads[each].name not in graph.inputs for each in reads):
                return None
            if inside != node.signature.inputs[port].shape[1]:
                return None
            stride, pool = prod(spec.strides), spec.pool.size if spec.pool else 1
            mask = reads["mask"].name if "mask" in reads else ""
            tokens = inside if isinstance(inside, int) else 0
            fixed = (reads["audio"].name, mask, spec.bins, spec.frames)
            return Sounds(prompt, token, *fixed, stride, pool, tokens)
    return None


def check(graph: Graph, problems: Problems) -> None:
    """Whether the sounds of a prompt are those that the graph takes."""
    prompt = graph.prompt.sound
    if prompt is None:
        return
    settings = Settings(graph.tree).child("prompt", "audio")
    if graph.prompt.image:
        problems.error(
            "bad-prompt",
            "a prompt has images or sounds, and this one speaks of both",
            settings.tree.span,
            help="remove `prompt.audio` or `prompt.image`",
        )
        return
    given = found(graph, prompt)
    if given is None:
        problems.error(
            "bad-prompt",
            "`prompt.audio` is of sounds, and no encoder here takes clips of one length whose tokens take the places "
            "of placeholders",
            settings.tree.span,
            help="remove `prompt.audio`, or write `audio.frames` of the encoder",
        )
        return
    if given.clip % prompt.rate:
        problems.error(
            "bad-prompt",
            f"a clip is {given.frames} frames, {given.clip} samples: at {prompt.rate} a second no whole seconds",
            settings.span("rate") if settings.has("rate") else settings.tree.span,
            help="write the `rate` and `hop` that the encoder was made for",
        )
    if prompt.long != "cut" and given.mask and given.frames % (given.stride * given.pool):
        problems.error(
            "bad-prompt",
            f"a clip of {given.frames} frames does not end where a token does, so that several are not counted as one",
            settings.span("long"),
            help="write `long: cut`",
        )
    if prompt.long == "together" and given.mask:
        problems.error(
            "bad-prompt",
            "clips of one spectrogram have no padding of their own, and the encoder reads a mask",
            settings.span("long"),
            help="write `long: apart`",
        )
    if prompt.seconds and prompt.long == "cut":
        problems.error(
            "unread-setting",
            "`prompt.audio.seconds` is not read: a sound is one clip",
            settings.span("seconds"),
            help="remove `seconds`, or write `long: apart`",
        )


def extractor(given: Sounds) -> dict[str, Any]:
    """`preprocessor_config.json`: how transformers makes these spectrograms."""
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": given.bins,
        "sampling_rate": given.prompt.rate,
        "hop_length": given.prompt.hop,
        "n_fft": given.prompt.window,
        "chunk_length": given.clip // given.prompt.rate,
        "padding_value": 0.0,
        "return_attention_mask": bool(given.mask),
    }
