"""What people deploy, side by side: eager, compiled, ONNX Runtime, AOTInductor, and `transformers` both ways.

python -m benchmarks.deployed --rounds 20 --configs tiny_img,small
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import torch
from torch import Tensor
from transformers import StaticCache

import graphvlm
from graphvlm.exporters.onnx import Options as Export
from graphvlm.exporters.onnx import export
from graphvlm.exporters.pt2 import Options as ExportLibraries
from graphvlm.exporters.pt2 import export as export_libraries
from graphvlm.exporters.sizes import Range

from .common import SIZES, Package, Pair, pair
from .compile import NEW_TOKENS, STEPS, reference_steps, steps
from .options import Options, parse
from .report import Goal, Table, write
from .timing import Contender, OtherLoad, Samples, rounds

CONFIGS: Final = ("tiny_img", "small", "mid")
TOLERANCE: Final = 1e-4  # of the largest logit: compiled code may order sums differently

EAGER: Final = "transformers"
THEIRS: Final = "transformers, compiled"
OURS: Final = "ours"
COMPILED: Final = "ours, compiled"
ONNX: Final = "ours, ONNX Runtime"
LIBRARY: Final = "ours, AOTInductor"
WAYS: Final = (EAGER, THEIRS, OURS, COMPILED, ONNX, LIBRARY)


class Libraries:
    """What `graphvlm export --pt2` writes, loaded."""

    def __init__(self, reference: Pair, folder: Path) -> None:
        graph = graphvlm.load(reference.graph())
        made = export_libraries(graph, folder, ExportLibraries(weights=reference.folder, verify=False), _quiet)
        self.programs = {program["name"]: program for program in made.manifest["programs"]}
        self.loaded = {
            name: torch._inductor.aoti_load_package(str(folder / program["library"]))
            for name, program in self.programs.items()
        }

    def run(self, name: str, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One program: tensors in, tensors out, by name."""
        program = self.programs[name]
        outputs = self.loaded[name](tuple(given[each["name"]] for each in program["inputs"]))
        return dict(zip((each["name"] for each in program["outputs"]), outputs, strict=True))

    def roomy(self, name: str, part: Tensor) -> Tensor:
        """Slots for the tokens that come, along the axis of the cache."""
        shape = next(each["shape"] for each in self.programs["decode"]["inputs"] if each["name"] == name)
        for axis, size in enumerate(shape):
            if size == "cache":
                part = torch.cat((part, part.new_zeros(*part.shape[:axis], NEW_TOKENS, *part.shape[axis + 1 :])), axis)
        return part.clone()


def _quiet(said: str) -> None:
    """Nothing is said while things are timed."""


@dataclass(frozen=True, slots=True)
class Case:
    """One size: the reference, a package for each way, what runs exported models, and the exported libraries."""

    pair: Pair
    eager: Package
    compiled: Package
    models: Any
    libraries: Libraries
    last: Tensor  # [1, prompt], true at the token whose logits are wanted

    @property
    def inputs(self) -> dict[str, Tensor]:
        """Image and prompt."""
        return self.pair.inputs()


def exported(reference: Pair, folder: Path, threads: int) -> Any:
    """The models as `graphvlm export --onnx` writes them, run by the script that it writes beside them."""
    graph = graphvlm.load(reference.graph())
    size = reference.size
    room = Range(2, size.prompt, size.prompt + NEW_TOKENS)
    ranges = {"batch": Range(1, 1, 1), "images": Range(1, 1, 1), "seq": room, "cache": room}
    export(graph, folder, Export(weights=reference.folder, ranges=ranges, verify=False), _quiet)
    spec = importlib.util.spec_from_file_location("run_onnx", folder / "run_onnx.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    models = module.Models(folder)
    models.Step = module.Step
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # as many as torch has; by itself it takes every core
    for name, program in models.programs.items():
        path = str(folder / program["file"])
        models.sessions[name] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return models


def onnx_prompt(case: Case) -> dict[str, Any]:
    """What the exported models make of image and prompt: logits of the last token, and the cache."""
    given = case.models.padded({name: value.numpy() for name, value in case.inputs.items()})
    features = case.models.run("encode_image", given)
    made: dict[str, Any] = case.models.run("prefill", given | features)
    return made


def onnx_steps(case: Case) -> Contender:
    """Decoding steps of the exported model after the prompt."""
    made = onnx_prompt(case)
    past = {name.replace("present.", "past."): part for name, part in made.items() if name.startswith("present.")}
    token = made["logits"].argmax(axis=-1)[:, None]
    state: dict[str, Any] = {}

    def rewind() -> None:
        roomy = {name: case.models.roomy(name, part, NEW_TOKENS) for name, part in past.items()}
        state["step"] = case.models.Step(case.models, roomy)

    def run() -> Tensor:
        for _ in range(STEPS):
            logits = state["step"](token)
        return torch.from_numpy(np.array(logits))

    return Contender(run, rewind)


def library_prompt(case: Case) -> dict[str, Tensor]:
    """What the libraries make of image and prompt."""
    given = case.inputs | {"attention_mask": torch.ones_like(case.inputs["input_ids"])}
    return case.libraries.run("prefill", given | case.libraries.run("encode_image", given))


def library_steps(case: Case) -> Contender:
    """Decoding steps of the library after the prompt."""
    made = library_prompt(case)
    past = {name.replace("present.", "past."): part for name, part in made.items() if name.startswith("present.")}
    token = made["logits"].argmax(dim=-1, keepdim=True)
    state: dict[str, Tensor] = {}

    def rewind() -> None:
        state.update({name: case.libraries.roomy(name, part) for name, part in past.items()})

    def run() -> Tensor:
        for _ in range(STEPS):
            found = case.libraries.run("decode", {"input_ids": token, **state})
            state.update({name.replace("present.", "past."): part for name, part in found.items()})
        return found["logits"]

    return Contender(run, rewind)


def prompts(case: Case) -> dict[str, Contender]:
    """Image and prompt to the logits of the last token, with the cache filled."""
    model, prompt = case.pair.reference, case.pair.size.prompt
    config = model.config.get_text_config()
    compiled = torch.compile(model)

    def theirs(function: Callable[..., Any], static: bool) -> Tensor:
        cache = StaticCache(config=config, max_cache_len=prompt + NEW_TOKENS) if static else None
        output = function(**case.inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits: Tensor = output.logits[:, -1]
        return logits

    encode = torch.compile(case.compiled.model.encode_image, fullgraph=True)
    decode = torch.compile(case.compiled.model.decode, fullgraph=True)

    def ours(package: Package, encode: Callable[..., Any], decode: Callable[..., Any]) -> Tensor:
        cache = package.cache(NEW_TOKENS, prompt)
        features = encode(case.inputs["pixel_values"])
        logits: Tensor = decode(case.inputs["input_ids"], features, cache=cache, keep=case.last).logits
        return logits

    eager = case.eager.model
    return {
        EAGER: Contender(lambda: theirs(model, static=False)),
        THEIRS: Contender(lambda: theirs(compiled, static=True)),
        OURS: Contender(lambda: ours(case.eager, eager.encode_image, eager.decode)),
        COMPILED: Contender(lambda: ours(case.compiled, encode, decode)),
        ONNX: Contender(lambda: torch.from_numpy(onnx_prompt(case)["logits"])),
        LIBRARY: Contender(lambda: library_prompt(case)["logits"]),
    }


def decoding(case: Case) -> dict[str, Contender]:
    """Steps after the prompt."""
    model = case.pair.reference
    compiled = torch.compile(case.compiled.model.decode, fullgraph=True)
    return {
        EAGER: reference_steps(case.pair, model, static=False),
        THEIRS: reference_steps(case.pair, torch.compile(model), static=True),
        OURS: steps(case.pair, case.eager, case.eager.model.decode),
        COMPILED: steps(case.pair, case.compiled, compiled),
        ONNX: onnx_steps(case),
        LIBRARY: library_steps(case),
    }


def timed(contenders: dict[str, Contender], count: int) -> Samples:
    """All in one run, once they give the same."""
    made = {}
    for name, contender in contenders.items():
        for _ in range(2):  # what compiles has then done so
            contender.prepare()
            made[name] = contender.run()
    scale = float(made[EAGER].abs().max())
    for name, logits in made.items():
        difference = float((logits - made[EAGER]).abs().max()) / scale
        if difference > TOLERANCE:
            raise SystemExit(f"{name}: logits differ by {difference:.1e} of the largest")
    return rounds(contenders, count)


@torch.no_grad()
def measure(name: str, options: Options, prefill: Table, decode: Table) -> None:
    """Add the rows of one size."""
    with pair(name) as reference, tempfile.TemporaryDirectory(prefix="deployed") as folder:
        last = torch.zeros_like(reference.inputs()["input_ids"], dtype=torch.bool)
        last[:, -1] = True
        models = exported(reference, Path(folder, "onnx"), options.threads)
        libraries = Libraries(reference, Path(folder, "pt2"))
        case = Case(reference, reference.package(), reference.package(), models, libraries, last)
        for table, contenders, runs in ((prefill, prompts(case), 1), (decode, decoding(case), STEPS)):
            torch._dynamo.reset()
            times = timed(contenders, options.rounds)
            table.add(
                name,
                times.milliseconds(EAGER) / runs,
                *(times.speedup(way, over=EAGER) for way in WAYS[1:]),
            )


def tables(options: Options) -> tuple[Table, Table]:
    """Empty tables with their goals."""
    columns = ("size", "transformers ms", *WAYS[1:])
    sizes = "\n".join(f"- {name}: {SIZES[name]}" for name in options.configs)
    return (
        Table(
            "Prefill",
            columns,
            "One image and 32 text tokens to the logits of the last token, key-value cache filled. Columns after the "
            f"first are speed-ups over `transformers` in eager mode; compiled, it has a static cache.\n\n{sizes}",
        ),
        Table(
            "Decode step",
            columns,
            f"The mean of the first {STEPS} tokens after the prompt; speed-ups as above.",
            (Goal(ONNX, 1.8, rows=("tiny_img", "small")),),
        ),
    )


def main() -> None:
    """Measure and write results/deployed."""
    options = parse(__doc__, CONFIGS)
    torch.set_num_threads(options.threads)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # of what is compiled
    load = OtherLoad()
    shown = tables(options)
    for name in options.configs:
        measure(name, options, *shown)
    intro = f"What is deployed, float32, batch 1, {options.threads} thread(s), {options.rounds} rounds"
    write("deployed", intro, shown, load, options.out)


if __name__ == "__main__":
    main()
