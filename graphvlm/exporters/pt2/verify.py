"""Programs and libraries against the package, loaded by a process that has torch and nothing of graphvlm."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..comparing import as_long, difference, sizes
from ..plan import Plan
from ..programs import Encode, Prefill
from ..samples import Samples
from ..tracing import Run, Traced, cache_axes, next_step, run

# Run by itself: nothing of graphvlm can be imported.
_CHILD = """
import json, sys, warnings
warnings.simplefilter("ignore")
sys.modules["graphvlm"] = None
from safetensors.torch import load_file, save_file
import torch
folder, asked, given, answer = sys.argv[1:]
tensors, loaded, made = load_file(given), {}, {}
with torch.no_grad():
    for call in json.loads(open(asked).read()):
        file = call["file"]
        if file not in loaded:
            path = f"{folder}/{file}"
            ahead = file.endswith(".aoti.pt2")
            loaded[file] = torch._inductor.aoti_load_package(path) if ahead else torch.export.load(path).module()
        inputs = [tensors[name].clone() for name in call["inputs"]]
        outputs = loaded[file](tuple(inputs)) if file.endswith(".aoti.pt2") else loaded[file](*inputs)
        for number, tensor in enumerate(outputs):
            made[f"{call['key']}.{number}"] = tensor.detach().clone().contiguous()
save_file(made, answer)
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a file is from the package at one set of sizes, in parts of the largest number that comes out."""

    program: str
    file: str
    shapes: Mapping[str, tuple[int, ...]]
    worst: float
    output: str


def verify(
    plan: Plan, model: torch.nn.Module, traced: list[Traced], folder: Path, say: Callable[[str], None]
) -> Iterator[Difference]:
    """Every file of every program at all `sizes`, with padding and without."""
    runs = list(_runs(plan, model, traced))
    for found in _answers(runs, folder):
        shown = ", ".join(f"{name} {list(shape)}" for name, shape in list(found.shapes.items())[:3])
        say(f"{found.file}: {found.worst:.1e} from the package ({shown})")
        yield found


def _runs(plan: Plan, model: torch.nn.Module, traced: list[Traced]) -> Iterator[Run]:
    programs = [each.run.program for each in traced if each.name != "decode"]
    axes = next((cache_axes(each) for each in traced if each.name == "prefill"), {})
    for number, wanted in enumerate(sizes(plan.graph)):
        samples = Samples(plan, model, wanted, number + 1, padded=number != 0)
        for program in programs:
            done = run(program, samples.given)
            yield done
            if isinstance(program, Prefill):
                yield next_step(program, done, axes)


def _answers(runs: list[Run], folder: Path) -> Iterator[Difference]:
    tensors: dict[str, Tensor] = {}
    calls = []
    for number, done in enumerate(runs):
        names = [f"{number}.{name}" for name in done.inputs]
        tensors |= {f"{number}.{name}": tensor.clone().contiguous() for name, tensor in done.inputs.items()}
        for file in sorted(folder.glob(f"{done.program.name}.*pt2")):
            calls.append({"key": f"{number}.{file.name}", "file": file.name, "inputs": names, "run": number})
    with tempfile.TemporaryDirectory() as place:
        asked, given, answer = (Path(place) / name for name in ("asked.json", "given", "answer"))
        asked.write_text(json.dumps(calls), encoding="utf-8")
        save_file(tensors, given)
        command = [sys.executable, "-c", _CHILD, str(folder.resolve()), str(asked), str(given), str(answer)]
        ended = subprocess.run(command, capture_output=True, check=False, text=True, cwd=place)
        if ended.returncode:
            raise RuntimeError(f"torch does not load {folder}:\n{ended.stderr[-2000:]}")
        found = load_file(answer)
    for call in calls:
        yield _compared(runs[int(str(call["run"]))], str(call["file"]), str(call["key"]), found)


def _compared(done: Run, file: str, key: str, found: Mapping[str, Tensor]) -> Difference:
    made = {name: found[f"{key}.{number}"] for number, name in enumerate(done.outputs)}
    if isinstance(done.program, Encode):  # the package leaves out what only fills images up
        made = {name: as_long(tensor, done.outputs[name]) for name, tensor in made.items()}
    worst, name = max((difference(made[name], tensor), name) for name, tensor in done.outputs.items())
    shapes = {given: tuple(part.shape) for given, part in done.inputs.items()}
    return Difference(done.program.name, file, shapes, worst, name)
