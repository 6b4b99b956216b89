"""torch.compile: CPU seconds of compilation, graphs, and latency of what comes out; prefill and static-cache decode.

python -m benchmarks.compile --rounds 20 --configs tiny_img,small
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # in this process, where its time is seen

import torch
import torch._dynamo
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch._inductor.utils import fresh_cache
from transformers import StaticCache

from .common import SIZES, Package, Pair, pair
from .options import Options, parse
from .report import Goal, Table, write
from .timing import Contender, OtherLoad, Ratio, Samples, cpu_seconds, rounds

CONFIGS: Final = ("tiny_img", "small")
STEPS: Final = 16  # of decoding in a row
NEW_TOKENS: Final = 64
TOLERANCE: Final = 1e-4  # of the largest logit: compiled code may order sums differently

EAGER: Final = "transformers, eager"
DEFAULT: Final = "transformers, default flags"
SCALARS: Final = "transformers, scalar outputs"
STATIC: Final = "transformers, static cache"
THEIRS: Final = "transformers, static cache, compiled"
OURS_EAGER: Final = "ours, eager"
OURS: Final = "ours, compiled"
LAYERS: Final = "ours, layers compiled alone"


@dataclass(slots=True)
class Bench:
    """Contenders that are timed together, the logits they must give, and what compiling each took."""

    contenders: dict[str, Contender]
    seconds: dict[str, float] = field(default_factory=dict)
    graphs: dict[str, int] = field(default_factory=dict)
    times: Samples | None = None

    def add_compiled(self, name: str, contender: Contender) -> None:
        """Run a contender twice with cold caches, so that it is compiled, and check what it gives."""
        counters.clear()
        with fresh_cache():
            start = cpu_seconds()
            for _ in range(2):
                contender.prepare()
                contender.run()
            self.seconds[name] = cpu_seconds() - start
        self.graphs[name] = counters["stats"]["unique_graphs"]
        self.contenders[name] = contender

    def time(self, count: int) -> None:
        """Compare what all give, then time them; nothing may be compiled again meanwhile."""
        counters.clear()
        expected = self._logits(EAGER)
        for name in self.contenders:
            difference = float((self._logits(name) - expected).abs().max() / expected.abs().max())
            if difference > TOLERANCE:
                raise SystemExit(f"{name}: logits differ by {difference:.1e} of the largest")
        self.times = rounds(self.contenders, count)
        if again := counters["stats"]["unique_graphs"]:
            raise SystemExit(f"{again} graphs were compiled again")

    def speedup(self, name: str, over: str) -> Ratio:
        """The paired ratio of two contenders."""
        assert self.times is not None
        return self.times.speedup(name, over)

    def report(self, table: Table, size: str, runs: int = 1) -> None:
        """A row for each contender; a contender runs `runs` times when it is timed."""
        assert self.times is not None
        for name in self.contenders:
            taken = self.times.milliseconds(name) / runs
            table.add(size, name, self.seconds.get(name), self.graphs.get(name), taken, self.speedup(name, EAGER))

    def _logits(self, name: str) -> Tensor:
        contender = self.contenders[name]
        contender.prepare()
        logits: Tensor = contender.run()
        return logits


def compile_layers(*stacks: nn.ModuleList) -> None:
    """Regional compilation: the layers alone. Those of one class share their compiled code."""
    for layers in stacks:
        for layer in layers:
            layer.compile()


def prefill(reference: Pair, options: Options) -> tuple[Bench, Bench]:
    """All logits of a prompt, without a cache.

    The reference with the flags torch has by itself is a bench of its own: it would share compiled frames with the
    other way to compile it.
    """
    inputs = reference.inputs()
    model, whole, layers = reference.reference, reference.package().model, reference.package().model

    def run(function: Callable[..., Any], **flags: Any) -> Contender:
        return Contender(lambda: function(**inputs, **flags).logits)

    default = Bench({EAGER: run(model, use_cache=False)})
    model(**inputs, use_cache=False)  # the reference prepares itself in its first call; that is not compiled
    default.add_compiled(DEFAULT, run(torch.compile(model), use_cache=False))
    default.time(options.rounds)
    torch._dynamo.reset()
    bench = Bench({EAGER: run(model, use_cache=False), OURS_EAGER: run(whole)})
    with torch._dynamo.config.patch(capture_scalar_outputs=True):
        bench.add_compiled(SCALARS, run(torch.compile(model), use_cache=False))
    bench.add_compiled(OURS, run(torch.compile(whole, fullgraph=True)))
    compile_layers(layers.vision.layers, layers.llm.layers)
    bench.add_compiled(LAYERS, run(layers))
    bench.time(options.rounds)
    torch._dynamo.reset()
    return default, bench


def reference_steps(reference: Pair, function: Callable[..., Any], static: bool) -> Contender:
    """Decoding steps of the reference after its prompt, with a growing or with a static cache."""
    inputs, prompt, model = reference.inputs(), reference.size.prompt, reference.reference
    config = model.config.get_text_config()
    cache = StaticCache(config=config, max_cache_len=prompt + NEW_TOKENS) if static else None
    output = model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache, token = output.past_key_values, output.logits[:, -1].argmax(dim=-1, keepdim=True)

    def rewind() -> None:
        for layer in cache.layers if static else ():
            layer.cumulative_length.fill_(prompt)
        if not static and cache.get_seq_length() > prompt:
            cache.crop(prompt - cache.get_seq_length())

    def run() -> Tensor:
        for _ in range(STEPS):
            logits: Tensor = function(input_ids=token, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        return logits[:, -1]

    return Contender(run, rewind)


def steps(reference: Pair, package: Package, function: Callable[..., Any]) -> Contender:
    """The same of a generated package."""
    inputs, prompt = reference.inputs(), reference.size.prompt
    cache = package.cache(NEW_TOKENS, prompt)
    features = package.model.encode_image(inputs["pixel_values"])
    token = package.model.decode(inputs["input_ids"], features, cache=cache).logits[:, -1].argmax(dim=-1, keepdim=True)

    def rewind() -> None:
        cache.slot.fill_(prompt - 1)
        cache.length.fill_(prompt)
        cache.tokens[:, prompt:] = False

    def run() -> Tensor:
        for _ in range(STEPS):
            logits: Tensor = function(token, cache=cache).logits
        return logits[:, -1]

    return Contender(run, rewind)


def decode(reference: Pair, options: Options) -> Bench:
    """Decoding steps after the prompt."""
    model, whole, layers = reference.reference, reference.package(), reference.package()
    bench = Bench(
        {
            EAGER: reference_steps(reference, model, static=False),
            STATIC: reference_steps(reference, model, static=True),
            OURS_EAGER: steps(reference, whole, whole.model.decode),
        }
    )
    bench.add_compiled(THEIRS, reference_steps(reference, torch.compile(model), static=True))
    bench.add_compiled(OURS, steps(reference, whole, torch.compile(whole.model.decode, fullgraph=True)))
    regional = steps(reference, layers, layers.model.decode)
    compile_layers(layers.model.llm.layers)
    bench.add_compiled(LAYERS, regional)
    bench.time(options.rounds)
    torch._dynamo.reset()
    return bench


@dataclass(frozen=True, slots=True)
class Tables:
    """The four tables."""

    prefill: Table
    decode: Table
    seconds: Table
    latency: Table


def tables() -> Tables:
    """Empty tables with their goals."""
    columns = ("size", "what", "compile CPU s", "graphs", "ms", "over eager transformers")
    return Tables(
        Table("Prefill, compiled", columns, "All logits of image and prompt, without a cache."),
        Table("Decode step, compiled", columns, f"The mean of {STEPS} tokens after the prompt."),
        Table(
            "Compilation: CPU seconds of ours over those of transformers",
            ("size", "prefill, default flags", "prefill", "prefill, layers alone", "decode", "decode, layers alone"),
            "`default flags`: what both sides do with torch as it is installed. In the other columns `transformers` "
            "is compiled with `capture_scalar_outputs`, with which its prefill is one graph.",
            (Goal("prefill, default flags", 0.6, at_most=True), Goal("prefill, layers alone", 0.6, at_most=True)),
        ),
        Table(
            "Latency: speed-up of ours, compiled",
            ("size", "prefill over compiled", "decode over eager", "decode over compiled", "graphs"),
            "Against `transformers` compiled in its best way (scalar outputs, static cache) and against its eager "
            "decoding. `graphs`: of our prefill, with `fullgraph=True` and default flags.",
            (
                Goal("prefill over compiled", 1.0),
                Goal("decode over eager", 1.8, rows=("tiny_img", "small")),
                Goal("decode over compiled", 1.0),
                Goal("graphs", 1, at_most=True),
            ),
        ),
    )


@torch.no_grad()
def measure(name: str, options: Options, all_tables: Tables) -> None:
    """Add the rows of one size."""
    with pair(name) as reference:
        default, best = prefill(reference, options)
        default.report(all_tables.prefill, name)
        best.report(all_tables.prefill, name)
        steps_of = decode(reference, options)
        steps_of.report(all_tables.decode, name, STEPS)
    all_tables.seconds.add(
        name,
        best.seconds[OURS] / default.seconds[DEFAULT],
        best.seconds[OURS] / best.seconds[SCALARS],
        best.seconds[LAYERS] / best.seconds[SCALARS],
        steps_of.seconds[OURS] / steps_of.seconds[THEIRS],
        steps_of.seconds[LAYERS] / steps_of.seconds[THEIRS],
    )
    all_tables.latency.add(
        name,
        best.speedup(OURS, SCALARS),
        steps_of.speedup(OURS, EAGER),
        steps_of.speedup(OURS, THEIRS),
        best.graphs[OURS],
    )


def main() -> None:
    """Measure and write results/compile."""
    options = parse(__doc__, CONFIGS)
    torch.set_num_threads(options.threads)
    load = OtherLoad()
    with fresh_cache():
        torch.compile(torch.sin)(torch.zeros(8))  # what is done once in a process is nobody's time
    all_tables = tables()
    for name in options.configs:
        measure(name, options, all_tables)
    all_tables.prefill.notes += "\n\n" + "\n".join(f"- {name}: {SIZES[name]}" for name in options.configs)
    intro = f"torch.compile, float32, batch 1, {options.threads} thread(s), {options.rounds} rounds"
    shown = (all_tables.latency, all_tables.seconds, all_tables.prefill, all_tables.decode)
    write("compile", intro, shown, load, options.out)


if __name__ == "__main__":
    main()
