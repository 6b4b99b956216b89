"""From a prompt and photos to the inputs of a generated package, and from its tokens back to text.

With a weights directory that holds a processor or tokenizer, `transformers` does both. Without one, the prompt's bytes
are its token ids, images are scaled to the size the graph wants, and token ids come out: enough to see a model run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from graphvlm.dims import show_shape

from .console import UsageError, note, step

if TYPE_CHECKING:
    import torch
    from torch import nn

    from graphvlm.ir import Graph

TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json", "tokenizer.model")
MOST_LINES = 12
NEEDS_HF = "reading the tokenizer in {} needs transformers and pillow: pip install 'graphvlm[hf]'"
NEEDS_PILLOW = "reading images needs pillow: pip install 'graphvlm[hf]'"


Reader: TypeAlias = Callable[[int], str]


class Translator(Protocol):
    """Between people and a model."""

    def encode(self, prompt: str, images: Sequence[Path]) -> dict[str, torch.Tensor]:
        """The keyword arguments of the model."""

    def reader(self) -> Reader:
        """A function that is given token after token, and returns the text that each adds."""


def translator(graph: Graph, weights: Path | None) -> Translator:
    """By the processor or tokenizer in `weights` if there is one, else by bytes."""
    if weights is None or not any((weights / name).exists() for name in TOKENIZER_FILES):
        if weights is not None:
            note(f"{weights} holds no tokenizer: the prompt's bytes are its token ids")
        return Bytes(graph)
    try:
        import transformers
    except ImportError:
        raise UsageError(NEEDS_HF.format(weights)) from None
    whole = any((weights / name).exists() for name in ("preprocessor_config.json", "processor_config.json"))
    loader = transformers.AutoProcessor if whole else transformers.AutoTokenizer
    try:
        return Processor(loader.from_pretrained(weights))
    except ValueError as problem:  # a tokenizer that transformers cannot make
        raise UsageError(f"{weights}: {problem}") from None


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor or tokenizer of `transformers`."""

    processor: Any

    def encode(self, prompt: str, images: Sequence[Path]) -> dict[str, torch.Tensor]:
        pictures = [_open(path) for path in images]
        keywords = {"images": pictures} if pictures else {}
        made = self.processor(text=self._prompt(prompt, len(pictures)), return_tensors="pt", **keywords)
        return {name: value for name, value in made.items() if hasattr(value, "dtype")}

    def _prompt(self, prompt: str, images: int) -> str:
        if getattr(self.processor, "chat_template", None):
            picture: list[dict[str, str]] = [{"type": "image"}] * images
            words = [*picture, {"type": "text", "text": prompt}] if images else prompt
            turn = [{"role": "user", "content": words}]
            return str(self.processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False))
        mark = getattr(self.processor, "image_token", "<image>")
        return f"{mark}\n" * (images - prompt.count(mark)) + prompt

    def reader(self) -> Reader:
        seen: list[int] = []
        printed = 0

        def read(token: int) -> str:
            nonlocal printed
            seen.append(token)
            text = str(self.processor.decode(seen, skip_special_tokens=True))
            if text.endswith("\N{REPLACEMENT CHARACTER}"):  # half a character: wait for the rest
                return ""
            start, printed = printed, len(text)
            return text[start:]

        return read


@dataclass(frozen=True, slots=True)
class Bytes:
    """No tokenizer: bytes in, token ids out."""

    graph: Graph

    def encode(self, prompt: str, images: Sequence[Path]) -> dict[str, torch.Tensor]:
        import torch

        made: dict[str, torch.Tensor] = {}
        for name, given in self.graph.inputs.items():
            if given.port.what == "tokens":
                made[name] = torch.tensor([self._ids(prompt, len(images))])
            elif given.port.what == "image" and images:
                made[name] = torch.stack([_pixels(path, given.port.shape) for path in images])
        return made

    def _ids(self, prompt: str, images: int) -> list[int]:
        marks = placeholders(self.graph)
        logits = self.graph.port(next(iter(self.graph.outputs.values()))).shape[-1]
        vocab = logits if isinstance(logits, int) else 256
        taken = {token for token, _ in marks}
        text = [byte % vocab for byte in prompt.encode()]
        begin = [self.graph.generation.bos] if self.graph.generation.bos is not None else []
        pictures = [token for token, length in marks for _ in range(length * images)]
        return [*begin, *pictures, *(byte for byte in text if byte not in taken)]

    def reader(self) -> Reader:
        return lambda token: f"{token} "


def placeholders(graph: Graph) -> list[tuple[int, int]]:
    """The token ids that features take the place of, and how many tokens one image takes."""
    found = []
    for node in graph.nodes.values():
        marks = node.tree.get("placeholder")
        for port, token in (marks.plain() if marks else {}).items():
            length = node.signature.inputs[port].shape[1]
            if not isinstance(length, int):
                raise UsageError(f"`{node.name}.{port}` has no fixed number of tokens; run it from Python")
            found.append((int(token), length))
    return found


def _open(path: Path) -> Any:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise UsageError(NEEDS_PILLOW) from None
    try:
        return Image.open(path).convert("RGB")
    except UnidentifiedImageError:
        raise UsageError(f"{path} is not an image that pillow can read") from None


def _pixels(path: Path, shape: Sequence[Any]) -> torch.Tensor:
    """A photo as a [3, height, width] tensor in -1..1, scaled to cover the size that `shape` ends in and cut to it."""
    import torch
    from PIL import ImageOps

    if not all(isinstance(size, int) for size in shape[-3:]) or shape[-3] != 3:
        raise UsageError(f"without a processor only images of a fixed size can be made, not {show_shape(tuple(shape))}")
    height, width = shape[-2:]
    photo = ImageOps.fit(_open(path), (width, height))
    values = torch.frombuffer(bytearray(photo.tobytes()), dtype=torch.uint8).view(height, width, 3)
    return values.permute(2, 0, 1).float() / 127.5 - 1.0


def model(module: ModuleType, weights: Path | None, device: torch.device, dtype: str | None) -> nn.Module:
    """The model of a generated package, with weights, or with random ones."""
    import torch

    number = getattr(torch, dtype) if dtype else None
    if weights is None:
        note("no --weights: the weights are random, and so is what comes out")
        with torch.device(device):
            made = module.Model()
        return cast("nn.Module", made.to(number).eval())
    with step(f"loading {weights}"):
        try:
            return cast("nn.Module", module.from_pretrained(weights, dtype=number, device=device).eval())
        except ValueError as problem:  # missing, unexpected and misshapen keys, a line each
            lines = str(problem).splitlines()
            rest = ["  ..., all of them: graphvlm weights check"] if len(lines) > MOST_LINES else []
            raise UsageError("\n".join([f"{weights}: {lines[0]}", *lines[1:MOST_LINES], *rest])) from None


def tokens(module: ModuleType, model: nn.Module, inputs: Mapping[str, torch.Tensor], **options: Any) -> Iterator[int]:
    """The new tokens of the first row, one by one; `options` are those of the package's `steps`."""
    parameters = inspect.signature(module.generate.steps).parameters.values()
    needed = [each.name for each in parameters if each.default is each.empty and each.kind != each.VAR_KEYWORD]
    if missing := [name for name in needed if name not in {"model", *inputs}]:
        raise UsageError(f"the graph needs {' and '.join(missing)}; images are given with --image")
    first = next(model.parameters())
    ready = {
        name: value.to(first.device, first.dtype if value.is_floating_point() else None)
        for name, value in inputs.items()
    }
    try:
        for token in module.generate.stream(model, **ready, **options):
            yield int(token[0])
    except ValueError as problem:  # a prompt that is too long, images that do not match their placeholders
        raise UsageError(str(problem)) from None


def device(name: str | None) -> torch.device:
    """The device of this name; without one an accelerator if there is any."""
    import torch

    try:
        found = torch.device(name) if name else torch.accelerator.current_accelerator(check_available=True)
        return torch.empty(0, device=found or "cpu").device
    except (RuntimeError, AssertionError) as problem:  # no such name, no such hardware, or a torch without it
        raise UsageError(f"--device {name}: {str(problem).splitlines()[0]}") from None
