"""The table of parts: every registered component, and how a random graph uses it.

A new component is one line here; `test_any_parts` fails until it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from . import decoders, encoders, fusions, projectors
from .flow import Features, Growing, Stream

Encoder = Callable[[Growing], list[Features]]
Projector = Callable[[Growing, Features], Features | None]
Joint = Callable[[Growing, list[Features]], Features]
Into = Callable[[Growing, Stream, list[Features], int], Stream | None]
Decoder = Callable[[Growing, Stream, int, list[Features]], Features]

# Something seen, heard or read -> features.
ENCODERS: Mapping[str, Encoder] = {
    "encoder/vit": encoders.vit,
    "encoder/native_vit": encoders.native_vit,
    "encoder/tiled_vit": encoders.tiled_vit,
    "encoder/audio": encoders.audio,
    "encoder/image_stack": encoders.image_stack,
    "encoder/patches": encoders.patches,
    "encoder/video_frames": encoders.video,
    "encoder/video_vit": encoders.video_vit,
    "encoder/token_embedding": encoders.other_text,
    "encoder/transformer": encoders.transformer,
    "input/features": encoders.given,
}
# Features -> features; None where these do not fit.
PROJECTORS: Mapping[str, Projector] = {
    "encoder/native_vit": encoders.upper_tower,
    "projector/linear": projectors.linear,
    "projector/mlp": projectors.mlp,
    "projector/module": projectors.module,
    "projector/pixel_shuffle": projectors.pixel_shuffle,
    "projector/pool": projectors.pool,
    "projector/conv": projectors.conv,
    "projector/codebook": projectors.codebook,
    "projector/patch_merger": projectors.patch_merger,
    "projector/frame_merger": projectors.frame_merger,
    "projector/tile_packing": projectors.tile_packing,
    "projector/video_packing": projectors.video_packing,
    "projector/transformer": projectors.transformer,
}
# Features of the same tokens -> one.
JOINTS: Mapping[str, Joint] = {"fusion/concat": fusions.concat, "fusion/add": fusions.add}
# A text and features -> the text with some of them in it; None where it cannot have any.
INTO: Mapping[str, Into] = {"fusion/scatter": fusions.scatter, "fusion/prefix": fusions.prefix}
# A text with features in it, and features that are left -> hidden states.
DECODERS: Mapping[str, Decoder] = {"decoder/transformer": decoders.transformer}
# What the others bring along: positions of three numbers, features added inside a decoder.
BROUGHT = frozenset(("encoder/grid_positions", "fusion/spread"))
# What is learned by, in `objectives.py`.
LEARNED = frozenset(
    (
        *("head/projection", "head/classifier", "head/similarity"),
        *("loss/contrastive", "loss/classification", "loss/sum"),
    )
)

# No random graph has these yet.
WAITING = frozenset(
    (
        *("encoder/first_token", "sampler/negatives", "sampler/repeat", "sampler/candidates"),
        *("encoder/module", "encoder/hf_auto", "fusion/module"),
        *("head/ranking", "head/rescoring", "loss/language", "state/queue"),
    )
)

KNOWN = frozenset((*ENCODERS, *PROJECTORS, *JOINTS, *INTO, *DECODERS, *BROUGHT, *LEARNED, *WAITING)) - {
    "input/features"
}
