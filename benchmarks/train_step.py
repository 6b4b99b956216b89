"""A training step, forward and backward: the generated package against `transformers`.

python -m benchmarks.train_step --rounds 20 --configs tiny_img,small,small32k
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from .common import SIZES, TEXT_TOKENS, Pair, pair
from .options import Options, parse
from .report import Goal, Table, write
from .timing import Contender, OtherLoad, rounds

CONFIGS: Final = ("tiny_img", "small", "small32k")
TOLERANCE: Final = 1e-5  # relative, of the loss and of the norm of the gradient


def labelled(inputs: dict[str, Tensor], image_tokens: int) -> dict[str, Tensor]:
    """The inputs with labels: the text after the image; -100 at the image and before it."""
    labels = inputs["input_ids"].clone()
    labels[:, : -(TEXT_TOKENS - 4)] = -100
    return inputs | {"labels": labels}


def gradient_norm(model: Any) -> float:
    """The norm of the gradient of all parameters that have one."""
    squares = [parameter.grad.square().sum() for parameter in model.parameters() if parameter.grad is not None]
    return float(torch.stack(squares).sum().sqrt())


def step(model: Any, loss: Tensor) -> float:
    """Backward, and the value of the loss."""
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())


def contenders(reference: Pair) -> dict[str, tuple[Any, Contender]]:
    """The models and their steps: the reference, ours, and ours with logits for every token."""
    inputs = labelled(reference.inputs(), reference.size.image_tokens)
    theirs = reference.reference.train()
    ours = reference.package().model.train()
    everywhere = reference.package(overrides=("passes.label_logits=false",)).model.train()

    def contender(model: Any, loss: Any) -> tuple[Any, Contender]:
        return model, Contender(lambda: step(model, loss(**inputs)), lambda: model.zero_grad(set_to_none=True))

    return {
        "transformers": contender(theirs, lambda **given: theirs(**given, use_cache=False).loss),
        "ours": contender(ours, ours.loss),
        "all logits": contender(everywhere, everywhere.loss),
    }


def compare(models: dict[str, tuple[Any, Contender]]) -> float:
    """The largest relative difference of losses and of gradient norms."""
    found: list[tuple[float, float]] = []
    for model, contender in models.values():
        contender.prepare()
        found.append((contender.run(), gradient_norm(model)))
    (loss, norm), *others = found
    worst = max(max(abs(a - loss) / abs(loss), abs(b - norm) / norm) for a, b in others)
    if worst > TOLERANCE:
        raise SystemExit(f"losses or gradients differ by {worst:.1e}")
    return worst


def measure(name: str, options: Options, table: Table) -> None:
    """Add the row of one size."""
    with pair(name) as reference:
        models = contenders(reference)
        difference = compare(models)
        times = rounds({label: contender for label, (_, contender) in models.items()}, options.rounds)
    table.add(
        name,
        times.milliseconds("transformers"),
        times.milliseconds("ours"),
        times.speedup("ours", over="transformers"),
        times.speedup("all logits", over="transformers"),
        f"{difference:.0e}",
    )


def main() -> None:
    """Measure and write results/train_step."""
    options = parse(__doc__, CONFIGS)
    torch.set_num_threads(options.threads)
    load = OtherLoad()
    sizes = "\n".join(f"- {name}: {SIZES[name]}" for name in options.configs)
    table = Table(
        "Training step",
        ("size", "transformers ms", "ours ms", "speed-up", "without label logits", "difference"),
        "Forward, loss and backward of all parameters. Labels: the text after the image. The reference computes "
        "logits for all tokens, the generated `loss` for those with a label; `without label logits`: the same package "
        "with that pass off. `difference`: of loss and norm of the gradient, relative.\n\n" + sizes,
        (Goal("speed-up", 1.6, rows=("small32k",)), Goal("speed-up", 1.0)),
    )
    for name in options.configs:
        measure(name, options, table)
    intro = f"Training step, float32, batch 1, {options.threads} thread(s), {options.rounds} rounds"
    write("train_step", intro, (table,), load, options.out)


if __name__ == "__main__":
    main()
