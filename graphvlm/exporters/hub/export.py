"""The directory: code and JSON of the profile, weights under its names, the files of a processor."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ...hub import deployed, names, prepared
from ...ir import Graph
from ...rendering import render_hub
from .. import plan as plans
from ..folder import MANIFEST, digests, replaced, write_json
from ..models import loaded
from ..quantising import Quantised, Recipe, quantise, told, weights
from ..quantising import described as in_fewer_bits
from .quantised import put_in
from .verify import TOLERANCE, Checked, check

FORMAT = 1
Say = Callable[[str], None]
# What belongs to a tokenizer and to processors, in a directory of Hugging Face's.
_PROCESSOR = (
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "chat_template.json", "chat_template.jinja"),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """How to export."""

    weights: Path | None = None
    seed: int = 0
    dtype: str = "float32"
    quantize: Recipe | None = None
    verify: bool = True
    force: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how far it is from the package."""

    folder: Path
    manifest: Mapping[str, Any]
    checked: Checked | None

    @property
    def agrees(self) -> bool:
        """Whether it gives the logits of the package, and in float32 its text: in other types a rounding chooses."""
        found = self.checked
        if found is None:
            return True
        return found.difference <= TOLERANCE[found.dtype] and (found.same or found.dtype != "float32")


def export(graph: Graph, folder: Path, options: Options, say: Say) -> Exported:
    """Write the directory of a resolved graph, whole or not at all.

    Raises GraphError where the profile has no form for something, `ForeignFiles` if other files are there, ValueError
    for a checkpoint that does not fit.
    """
    losses = [name for name, node in graph.nodes.items() if node.kind == "loss"]
    graph = deployed(graph)
    if gone := [f"`{name}`" for name in losses if name not in graph.nodes]:
        say(f"{', '.join(gone)} left out: transformers makes a loss of labels itself")
    files, found = render_hub(graph, options.dtype), names(prepared(graph))
    apart = replace(graph, passes=replace(graph.passes, merge_projections=False))
    with replaced(folder, force=options.force) as new:
        for name, text in files.items():
            (new / name).write_text(text, encoding="utf-8", newline="\n")
        package, model = loaded(apart, options.weights, options.seed, options.dtype)
        save(model, found, new)
        copied = copy_processor(options.weights, new) if options.weights else ()
        say(f"{len(files)} files of code and numbers, {len(copied)} of a processor")
        checked = check(apart, package, model, new, say) if options.verify else None
        quantised = None
        if options.quantize:
            quantised, kept = _fewer_bits(apart, package, model, options.quantize)
            put_in(new, options.quantize.kind, [found[name].removesuffix(".weight") for name in kept])
            say(told(quantised))
            checked = check(apart, package, model, new, say) if options.verify else None
        manifest = _manifest(graph, options, copied, checked)
        if quantised:
            manifest["quantized"] = in_fewer_bits(quantised)
        manifest["files"] = digests(new)
        write_json(new / MANIFEST, manifest)
    return Exported(folder, manifest, checked)


def _fewer_bits(
    graph: Graph, package: ModuleType, model: nn.Module, recipe: Recipe
) -> tuple[Quantised, tuple[str, ...]]:
    """Give the model of the package the numbers of few bits; what that costs, and which weights stay as they are."""

    def change(model: nn.Module, recipe: Recipe) -> tuple[str, ...]:
        return tuple(weights(model, recipe))

    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    matrices = {name for name, parameter in model.named_parameters() if parameter.ndim == 2}
    made = quantise(plans.make(graph), package, model, recipe, change)
    done = linear - {f"{name}.weight" for name in made.kept}
    return made, tuple(name for name in sorted(matrices - done) if name.endswith(".weight"))


def save(model: nn.Module, found: Mapping[str, str], folder: Path) -> None:
    """Write the weights of the package under the names of the profile, in files of at most 5 GB."""
    from huggingface_hub import save_torch_state_dict

    state: dict[str, Tensor] = {found[name]: tensor.detach() for name, tensor in model.state_dict().items()}
    save_torch_state_dict(state, folder, max_shard_size="5GB", metadata={"format": "pt"})


def copy_processor(source: Path, folder: Path) -> tuple[str, ...]:
    """Copy the files of tokenizer and processors from a directory of Hugging Face's; those of the graph stay."""
    present = tuple(name for name in _PROCESSOR if (source / name).is_file() and not (folder / name).exists())
    for name in present:
        shutil.copyfile(source / name, folder / name)
    more = sorted(each.name for each in source.glob("*_tokenizer") if each.is_dir())
    for name in more:  # of encoders that read a text in words of their own
        shutil.copytree(source / name, folder / name)
    return (*present, *more)


def _manifest(graph: Graph, options: Options, copied: tuple[str, ...], checked: Checked | None) -> dict[str, Any]:
    import transformers

    made: dict[str, Any] = {
        "format": FORMAT,
        "kind": "hf",
        "graph": graph.name,
        "weights": options.weights.name if options.weights else f"random, seed {options.seed}",
        "dtype": options.dtype,
        "versions": {"torch": str(torch.__version__), "transformers": transformers.__version__},
        "processor": list(copied),
    }
    if checked:
        made["verified"] = {
            "difference": checked.difference,
            "tokens": checked.tokens,
            "same_tokens": checked.same,
        }
    return made
