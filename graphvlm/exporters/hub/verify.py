"""Whether `transformers` alone gives what the package gives: a process of its own loads the directory and answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...hub import input_names, prepared, started, writes
from ...ir import Graph
from .. import plan as plans
from ..plan import Plan
from ..samples import TRACED, Samples
from .before import MASK, Before

# Of the largest logit.
TOLERANCE: Mapping[str, float] = MappingProxyType({"float32": 1e-5, "float16": 1e-2, "bfloat16": 5e-2})
NEW_TOKENS = 16

# Run by itself: nothing of graphvlm can be imported.
_CHILD = """
import json, sys
sys.modules["graphvlm"] = None
from safetensors.torch import load_file, save_file
import torch, transformers
transformers.logging.set_verbosity_error()
folder, given, answer, auto, new = sys.argv[1:]
model = getattr(transformers, auto).from_pretrained(folder, trust_remote_code=True).eval()
inputs = load_file(given)
with torch.no_grad():
    logits = model(**inputs).logits
    model.generation_config.eos_token_id = None
    whole = model.generate(**inputs, max_new_tokens=int(new), do_sample=False, pad_token_id=0)
prompt = inputs["decoder_input_ids" if model.config.is_encoder_decoder else "input_ids"]
tokens = whole[:, prompt.size(1):]
save_file({"logits": logits.float().contiguous(), "tokens": tokens.contiguous()}, answer)
print(json.dumps({"class": type(model).__name__, "dtype": str(model.dtype)}))
"""

# The same of a model that writes no text: all that comes out.
_FEATURES = """
import json, sys
sys.modules["graphvlm"] = None
from safetensors.torch import load_file, save_file
import torch, transformers
transformers.logging.set_verbosity_error()
folder, given, answer = sys.argv[1:4]
model = transformers.AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
with torch.no_grad():
    made = model(**load_file(given))
save_file({name: each.float().contiguous() for name, each in made.items()}, answer)
"""


@dataclass(frozen=True, slots=True)
class Checked:
    """How far logits are from those of the package, of the largest, and how many greedy `tokens` are `equal`."""

    dtype: str
    difference: float
    tokens: int
    equal: int

    @property
    def same(self) -> bool:
        """Whether all of the text is."""
        return self.equal == self.tokens


def check(graph: Graph, package: ModuleType, model: nn.Module, folder: Path, say: Callable[[str], None]) -> Checked:
    """Ask the directory and the package for logits and text of a batch with padding, and compare."""
    plan = plans.make(graph)
    if not writes(graph):
        return _features(graph, model, folder, plan, say)
    samples = Samples(plan, model, TRACED, 1, padded=True)
    given = {name: _like(samples.given[name], model) for name in graph.inputs}
    longest = getattr(plan.graph.nodes[plan.view.decoder].spec, "max_tokens", None) or NEW_TOKENS
    new = max(1, min(NEW_TOKENS, longest - given[plan.view.tokens].size(1)))
    before = Before(graph, samples)
    given[plan.view.tokens] = _begun(graph, before.without(given[plan.view.tokens]))
    logits, tokens = _ours(package, model, plan, given, new)
    roles = input_names(prepared(graph))
    asked = before.with_places(given, plan.view.tokens, plan.view.mask)
    theirs, whole = _theirs(folder, {roles.get(name, name): tensor for name, tensor in asked.items()}, new)
    theirs = theirs[:, -logits.size(1) :]
    # Of the text alone, if it is that which logits are of: the package may have its padding behind what is before it.
    alone = logits.size(1) == given[plan.view.tokens].size(1) and plan.view.mask in given
    mask = given[plan.view.mask] if alone else asked.get(MASK, torch.ones_like(asked[plan.view.tokens]))
    seen = mask[:, -logits.size(1) :].bool()
    apart = (theirs - logits)[seen].abs().max() / logits[seen].abs().max()
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    made = Checked(dtype, float(apart), tokens.numel(), int((whole == tokens).sum()))
    text = f"{made.equal} of {made.tokens} tokens"
    say(f"loaded by transformers alone: logits {made.difference:.1e} from the package, {text}")
    return made


def _features(graph: Graph, model: nn.Module, folder: Path, plan: Plan, say: Callable[[str], None]) -> Checked:
    """All outputs of a model that writes no text."""
    samples = Samples(plan, model, TRACED, 1, padded=True)
    given = {name: _like(samples.given[name], model) for name in graph.inputs}
    with torch.no_grad():
        ours = {name: each.float() for name, each in model(**given)._asdict().items()}
    roles = input_names(prepared(graph))
    theirs = _answer(folder, {roles[name]: tensor for name, tensor in given.items()}, _FEATURES)
    apart = max(float((theirs[name] - each).abs().max() / each.abs().max()) for name, each in ours.items())
    say(f"loaded by transformers alone: {', '.join(ours)} {apart:.1e} from the package")
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return Checked(dtype, apart, 0, 0)


def _begun(graph: Graph, ids: Tensor) -> Tensor:
    """What is written after another text was read begins with a token of its own."""
    start = started(graph)
    return ids if start is None else torch.cat((torch.full_like(ids[:, :1], start), ids[:, 1:]), dim=1)


def _like(tensor: Tensor, model: nn.Module) -> Tensor:
    return tensor.to(next(model.parameters()).dtype) if tensor.is_floating_point() else tensor


def _ours(
    package: ModuleType, model: nn.Module, plan: Plan, given: Mapping[str, Tensor], new: int
) -> tuple[Tensor, Tensor]:
    tokens = plan.view.tokens
    ids, rest = given[tokens], {name: tensor for name, tensor in given.items() if name != tokens}
    generate = sys.modules[f"{package.__name__}.generate"].generate
    with torch.no_grad():
        made: Tensor = getattr(model(**given), plan.view.logits)
        whole: Tensor = generate(model, ids, **rest, max_new_tokens=new, eos_token_id=None)
    return made.float(), whole[:, ids.size(1) :]


def _theirs(folder: Path, given: Mapping[str, Tensor], new: int) -> tuple[Tensor, Tensor]:
    names = json.loads((folder / "config.json").read_text(encoding="utf-8"))["auto_map"]
    auto = next(name for name in names if name not in ("AutoConfig", "AutoModel"))
    found = _answer(folder, given, _CHILD, auto, str(new))
    return found["logits"], found["tokens"]


def _answer(folder: Path, given: Mapping[str, Tensor], script: str, *more: str) -> dict[str, Tensor]:
    """What a process of its own makes of inputs."""
    with tempfile.TemporaryDirectory() as place:
        asked, answer = Path(place) / "given.safetensors", Path(place) / "answer.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in given.items()}, asked)
        command = [sys.executable, "-c", script, str(folder.resolve()), str(asked), str(answer), *more]
        alone = {**os.environ, "HF_MODULES_CACHE": place}  # where transformers copies the code that it runs
        ended = subprocess.run(command, capture_output=True, check=False, text=True, cwd=place, env=alone)
        if ended.returncode:
            raise RuntimeError(f"transformers does not load {folder}:\n{ended.stderr[-2000:]}")
        return load_file(answer)
