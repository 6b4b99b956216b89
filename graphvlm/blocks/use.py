"""How a node runs its stack, and so what its layers are given."""

from __future__ import annotations

from dataclasses import dataclass

from .settings import Stack
from .views_ops import Given


@dataclass(frozen=True, slots=True)
class Use:
    """How a node runs its stack: what the axes of its tokens are called, and what `Given` says of mask and cache.

    `rope` is the type of rotary positions that the node makes by itself, beside those of the stack. `memory` is that
    of the cache of a layer, and `more` are parameters that each layer hands on unread. At `spared` ports nothing comes
    in where a call runs no layer that reads them. Layers are told of `frames`, if they are to be.
    """

    axes: tuple[str, str] = ("images", "tokens")
    rope: str = ""
    mask: str = ""
    causal: bool = False
    cached: bool = False
    direct: bool = False
    memory: str = "LayerCache"
    more: tuple[str, ...] = ()
    spared: frozenset[str] = frozenset()
    frames: bool = False
    open: frozenset[str] = frozenset()

    def given(
        self,
        rope: str,
        sources: tuple[tuple[str, str], ...],
        parts: tuple[str, str] | tuple[()],
        *,
        placed: bool,
        real: bool,
    ) -> Given:
        """What layers are given in this use: with rotary positions of the type `rope`, and what else they ask for."""
        return Given(
            axes=self.axes,
            rope=rope,
            mask=self.mask,
            causal=self.causal,
            cached=self.cached,
            sources=sources,
            placed=placed,
            parts=parts,
            real=real,
            direct=self.direct,
            memory=self.memory,
            more=self.more,
            frames=self.frames,
        )


def causal_use(stack: Stack, *, masked: bool = False) -> Use:
    """That of a decoder; whether its layers can do without a mask, the order of the tokens being one.

    If it is `masked`, there is more to a mask than the order.
    """
    limited = all(map(any, zip(stack.windows, stack.chunks, strict=True)))
    own = any(op.softcap or op.sinks for op in stack.attentions)
    always = masked or limited or own or stack.indexed
    return Use(("batch", "seq"), mask="Tensor" if always else "Tensor | None", causal=True, cached=stack.one_by_one)
