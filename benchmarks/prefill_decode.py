"""Eager prefill, decode step and generation: the generated package against `transformers`.

python -m benchmarks.prefill_decode --rounds 20 --configs tiny_img,small
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .common import SIZES, Package, Pair, pair
from .options import Options, parse
from .report import Goal, Table, write
from .timing import Contender, OtherLoad, rounds

CONFIGS: Final = ("tiny_img", "small", "small32k", "mid", "large", "deep")
GENERATED: Final = ("tiny_img", "small", "small32k", "toy")  # in the others, what a step costs says all
NEW_TOKENS: Final = 64
STEPS: Final = 16  # in a row, as in a generation: weights that fit the processor's cache stay there
TOLERANCE: Final = 1e-5  # of the largest logit


@dataclass(frozen=True, slots=True)
class Spec:
    """Speed-ups of a hand-written module, measured earlier on one thread of another machine."""

    prefill: str = "-"
    all_layers: str = "-"
    decode: str = "-"
    generate: str = "-"


SPEC: Final[Mapping[str, Spec]] = MappingProxyType(
    {
        "tiny_img": Spec("1.27", "1.15", "1.48", "1.52"),
        "small": Spec("1.06-1.16", "1.00", "1.58-1.64", "1.68"),
        "small32k": Spec("1.19", "1.0", "1.35", "1.33"),
        "mid": Spec("1.04-1.08", "0.93-0.99", "1.24", "1.3"),
        "large": Spec("1.02-1.07", "1.01", "1.20-1.21"),
        "deep": Spec("1.10", "1.12", "1.33-1.40", "1.28"),
    }
)


@dataclass(frozen=True, slots=True)
class Case:
    """One size, ready to run: the reference, the package as built, and the package with all layers of the tower."""

    pair: Pair
    ours: Package
    all_layers: Package
    inputs: dict[str, Tensor]
    last: Tensor  # [1, prompt], true at the last token: the one whose logits are wanted

    def reference_prefill(self) -> Any:
        """Logits of the last token, and the cache."""
        return self.pair.reference(**self.inputs, use_cache=True, logits_to_keep=1)

    def prefill(self, package: Package) -> tuple[Tensor, Any]:
        """The same of a generated package."""
        cache = package.cache(NEW_TOKENS, self.pair.size.prompt)
        features = package.model.encode_image(self.inputs["pixel_values"])
        output = package.model.decode(self.inputs["input_ids"], features, cache=cache, keep=self.last)
        return output.logits, cache

    def reference_generate(self) -> Tensor:
        """Prompt and greedy continuation."""
        tokens: Tensor = self.pair.reference.generate(**self.inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
        return tokens

    def generate(self) -> Tensor:
        """The same of the generated package."""
        made: Tensor = self.ours.generate.generate(
            self.ours.model, **self.inputs, max_new_tokens=NEW_TOKENS, eos_token_id=None
        )
        return made


def make(reference: Pair) -> Case:
    """A case from a pair."""
    inputs = reference.inputs()
    last = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
    last[:, -1] = True
    return Case(reference, reference.package(-2), reference.package(-1), inputs, last)


def compare(case: Case) -> float:
    """The largest difference of logits relative to the largest logit; greedy tokens must be equal."""
    worst = 0.0
    for layer, package in ((-1, case.all_layers), (-2, case.ours)):
        case.pair.set_feature_layer(layer)
        expected = case.reference_prefill().logits[:, -1]
        made, _ = case.prefill(package)
        worst = max(worst, float((made - expected).abs().max() / expected.abs().max()))
    if worst > TOLERANCE:
        raise SystemExit(f"logits differ by {worst:.1e} of the largest")
    if not torch.equal(case.generate(), case.reference_generate()):
        raise SystemExit("greedy tokens differ")
    return worst


def prefill_contenders(case: Case) -> dict[str, Contender]:
    """One image and the prompt to the logits of the last token, key-value cache filled."""
    return {
        "transformers": Contender(case.reference_prefill),
        "ours": Contender(lambda: case.prefill(case.ours)),
        "all layers": Contender(lambda: case.prefill(case.all_layers)),
    }


def decode_contenders(case: Case) -> dict[str, Contender]:
    """The steps after the prompt; and their matrices alone, which no implementation can avoid reading."""
    prompt = case.pair.size.prompt
    past = case.reference_prefill().past_key_values
    logits, cache = case.prefill(case.ours)
    token = logits.argmax(dim=-1, keepdim=True)
    matrices = [module for module in case.ours.model.llm.modules() if isinstance(module, nn.Linear)]
    vectors = {matrix.in_features: torch.randn(1, 1, matrix.in_features) for matrix in matrices}

    def rewind() -> None:
        cache.slot.fill_(prompt - 1)
        cache.length.fill_(prompt)
        cache.tokens[:, prompt:] = False

    def crop() -> None:
        if past.get_seq_length() > prompt:
            past.crop(prompt - past.get_seq_length())

    def products() -> None:
        for _ in range(STEPS):
            for matrix in matrices:
                F.linear(vectors[matrix.in_features], matrix.weight)

    def reference_steps() -> None:
        for _ in range(STEPS):
            case.pair.reference(input_ids=token, past_key_values=past, use_cache=True, logits_to_keep=1)

    def steps() -> None:
        for _ in range(STEPS):
            case.ours.model.decode(token, cache=cache)

    return {
        "transformers": Contender(reference_steps, crop),
        "ours": Contender(steps, rewind),
        "matrices": Contender(products),
    }


def generate_contenders(case: Case) -> dict[str, Contender]:
    """A whole greedy generation."""
    return {"transformers": Contender(case.reference_generate), "ours": Contender(case.generate)}


@torch.no_grad()
def measure(name: str, options: Options, prefill: Table, decode: Table, generate: Table) -> None:
    """Add the rows of one size."""
    spec = SPEC.get(name, Spec())
    with pair(name) as reference:
        case = make(reference)
        difference = compare(case)
        times = rounds(prefill_contenders(case), options.rounds)
        prefill.add(
            name,
            times.milliseconds("transformers"),
            times.milliseconds("ours"),
            times.speedup("ours", over="transformers"),
            spec.prefill,
            times.speedup("all layers", over="transformers"),
            spec.all_layers,
            f"{difference:.0e}",
        )
        times = rounds(decode_contenders(case), options.rounds)
        decode.add(
            name,
            times.milliseconds("transformers") / STEPS,
            times.milliseconds("ours") / STEPS,
            times.speedup("ours", over="transformers"),
            spec.decode,
            times.milliseconds("matrices") / STEPS,
            times.speedup("matrices", over="transformers"),
            times.speedup("ours", over="transformers", without="matrices"),
        )
        if name in GENERATED:
            times = rounds(generate_contenders(case), options.rounds)
            generate.add(
                name,
                times.milliseconds("transformers") / NEW_TOKENS,
                times.milliseconds("ours") / NEW_TOKENS,
                times.speedup("ours", over="transformers"),
                spec.generate,
            )


def tables(options: Options) -> tuple[Table, Table, Table]:
    """Empty tables with their goals."""
    sizes = "\n".join(f"- {name}: {SIZES[name]}" for name in options.configs)
    return (
        Table(
            "Prefill",
            (
                "size",
                "transformers ms",
                "ours ms",
                "speed-up",
                "spec",
                "like for like",
                "spec, like for like",
                "difference",
            ),
            "One image and 32 text tokens to the logits of the last token, key-value cache filled. LLaVA takes the "
            "features before the last layer of the tower: the compiler removes that layer, `transformers` runs it. "
            "In the column `like for like` both sides run and use all layers. `spec`: what a module written by hand "
            "for this purpose reached earlier, on another machine. `difference`: of the logits, relative to the "
            f"largest. {NEW_TOKENS} greedy tokens are equal in every row.\n\n{sizes}",
            (Goal("like for like", 0.98), Goal("speed-up", 1.15, rows=("tiny_img",)), Goal("speed-up", 1.0)),
        ),
        Table(
            "Decode step",
            ("size", "transformers ms", "ours ms", "speed-up", "spec", "matrices ms", "bound", "rest"),
            f"The mean of the first {STEPS} tokens after the prompt. `matrices`: the matrix products of a step alone, "
            "with the same weights: memory that every implementation must read. `bound`: the speed-up of a step that "
            "did nothing else. `rest`: the speed-up of all the other work, matrices taken off both sides.",
            (Goal("speed-up", 1.4, rows=("tiny_img", "small")), Goal("speed-up", 1.2, rows=("large",))),
        ),
        Table(
            "Generation",
            ("size", "transformers ms/token", "ours ms/token", "speed-up", "spec"),
            f"{NEW_TOKENS} greedy tokens, prompt and image included.",
            (Goal("speed-up", 1.5, rows=("small",)),),
        ),
    )


def main() -> None:
    """Measure and write results/prefill_decode."""
    options = parse(__doc__, CONFIGS)
    torch.set_num_threads(options.threads)
    load = OtherLoad()
    shown = tables(options)
    for name in options.configs:
        measure(name, options, *shown)
    intro = f"Eager mode, float32, batch 1, {options.threads} thread(s), {options.rounds} rounds"
    write("prefill_decode", intro, shown, load, options.out)


if __name__ == "__main__":
    main()
