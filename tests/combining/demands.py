"""What is demanded of every graph: built, run, trained, saved, generated from, compiled and exported; or refused."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from torch import Tensor

import graphvlm
from graphvlm.components.encoder.audio import Audio
from graphvlm.components.encoder.image_stack import ImageStack
from graphvlm.components.fusion.scatter import Scatter
from graphvlm.diagnostics import GraphError, Source
from graphvlm.dims import Sum
from graphvlm.ir import Graph, Ref
from graphvlm.passes import apply_all

from ..block_strategies import Plain
from ..open_sizes import Sizes, open_terms
from ..running import inputs, packaged, randomise, sizes
from ..shapes import contradictions, watch
from .gradients import check_gradients

CLOSE = 2e-5  # of the largest number


def load(plain: Plain) -> Graph:
    """The graph of plain values; `GraphError` if it is refused."""
    return graphvlm.load(Source("drawn.yaml", text_of(plain)))


def text_of(plain: Plain) -> str:
    """The YAML of a graph: what a counterexample is shown as."""
    return yaml.safe_dump(plain, sort_keys=False)


def explained(error: GraphError) -> list[str]:
    """The rules that a graph is refused by; each must say what, where, and what else it has to do with."""
    for found in error.diagnostics:
        assert found.message, found.rule
        assert found.span, f"{found.rule}: nowhere"
        assert found.labels or found.note or found.help, f"{found.rule} has neither another end nor a help: {found}"
    return [found.rule for found in error.diagnostics]


@dataclass
class Subject:
    """A legal graph, its package and a model with random weights."""

    graph: Graph

    @cached_property
    def files(self) -> Mapping[str, str]:
        return graphvlm.render(self.graph)

    @cached_property
    def model(self) -> Any:
        made = packaged(self.graph).Model()
        randomise(made)
        return made.eval()

    @property
    def package(self) -> str:
        return type(self.model).__module__.rpartition(".")[0]

    @cached_property
    def generate(self) -> Callable[..., Tensor] | None:
        return getattr(sys.modules.get(f"{self.package}.generate"), "generate", None)

    @cached_property
    def of_text(self) -> list[str]:
        """The inputs of tokens that a decoder goes on, if they are a text of their own."""
        tokens = [name for name, given in self.graph.inputs.items() if given.port.what == "tokens"]
        roots = {self.graph.stream_start(name)[0] for name, node in self.graph.nodes.items() if node.kind == "decoder"}
        return [name for name in tokens if name in roots]


def built(subject: Subject) -> None:
    """The same text from the resolved graph; as many weights as the graph says, but for modules that are imported."""
    again = graphvlm.load(Source("graph.yaml", subject.files["graph.yaml"]))
    assert graphvlm.render(again) == subject.files
    rewritten = apply_all(subject.graph)
    expected = {f"{node.name}.{p.path}": p.shape for node in rewritten.owners for p in node.spec.parameters()}
    imported = tuple(f"{node.name}." for node in rewritten.imported)
    weights = {name: tuple(each.shape) for name, each in subject.model.state_dict().items()}
    assert {name: shape for name, shape in weights.items() if not name.startswith(imported)} == expected


def run(subject: Subject, known: Sizes, keywords: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    """Outputs of the shapes that the graph promises, finite; every shape comment is checked on the way."""
    folder = Path(str(sys.modules[type(subject.model).__module__].__file__)).parent
    output, seen = watch(folder, lambda: subject.model(**keywords))
    assert seen
    wrong = list(contradictions(subject.graph, known, seen))
    assert not wrong, wrong
    found: dict[str, Tensor | None] = output._asdict()
    for name, ref in subject.graph.outputs.items():
        value = found[name]
        assert value is not None, name
        assert value.shape == known.shape(subject.graph.port(ref).shape), name
        assert bool(value.isfinite().all()), name
    return found


def trained(subject: Subject, keywords: Mapping[str, Tensor], output: Mapping[str, Tensor | None]) -> None:
    """Every parameter that is not frozen and that an output depends on gets a finite gradient; no other does."""
    check_gradients(subject.graph, subject.model, output)
    learning = [parameter for parameter in subject.model.parameters() if parameter.grad is not None]
    assert all(bool(parameter.grad.isfinite().all()) for parameter in learning)
    with torch.no_grad():
        for parameter in learning:
            parameter.sub_(1e-4 * parameter.grad.sign())
        for value in subject.model(**keywords):
            assert value is None or bool(value.isfinite().all())
    subject.model.zero_grad()


def saved(subject: Subject, plain: Plain) -> None:
    """Through the name map and back, merged or not."""
    unmerged = load({**plain, "passes": {**plain.get("passes", {}), "merge_projections": False}})
    with TemporaryDirectory() as first, TemporaryDirectory() as second:
        subject.model.save_pretrained(first)
        other = packaged(unmerged).from_pretrained(first)
        other.save_pretrained(second)
        again = packaged(subject.graph).from_pretrained(second)
    expected = subject.model.state_dict()
    assert again.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.state_dict().items())


# ---- padding, and texts without images


def without_padding(subject: Subject) -> None:
    """What padding stands before or behind a text changes nothing for the text."""
    graph = subject.graph
    if len(subject.of_text) != 1:
        return  # none, or one that reads another, which knows nothing of its padding
    known = sizes(graph, batch=1)
    keywords = inputs(graph, known)
    masks = _masks(graph)
    along = [name for name, axis in _along(graph, subject.of_text) if axis == 1]
    if not all(name in masks for name in subject.of_text):
        return  # nobody can say what is padding
    for left in (True, False):
        if not left and _by_length(graph):
            continue
        inside = slice(2, None) if left else slice(None, -2)
        padded = dict(keywords)
        for name in subject.of_text:
            mask = torch.ones_like(keywords[masks[name]])
            mask[:, slice(0, 2) if left else slice(-2, None)] = 0
            padded[masks[name]] = mask
        short = {name: tensor[:, inside] if name in along else tensor for name, tensor in keywords.items()}
        if any((keywords[name][:, inside].size(1) != keywords[name].size(1) - 2) for name in subject.of_text):
            continue
        if any(
            _placed(graph, keywords[name][:, cut]) for name in subject.of_text for cut in (slice(0, 2), slice(-2, None))
        ):
            continue
        with torch.no_grad():
            with_it, without = subject.model(**padded), subject.model(**short)
        for field, one, other in zip(graph.outputs, with_it, without, strict=True):
            assert _agrees(one, other), f"{field} with padding on the {'left' if left else 'right'}"


def _agrees(padded: Tensor, short: Tensor) -> bool:
    """Whether two outputs agree where both have tokens; those that are no longer are the same."""
    extra = padded.size(1) - short.size(1) if padded.ndim > 1 else 0
    if not extra:
        return close(padded, short)
    # What pads a text that stands before another comes first, on whichever side it was.
    return any(close(padded[:, first : first + short.size(1)], short) for first in range(extra + 1))


def close(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors agree but for the order of sums."""
    if one.shape != other.shape:
        return False
    return not one.numel() or float((one - other).abs().max()) <= CLOSE * max(float(other.abs().max()), 1e-3)


def _masks(graph: Graph) -> dict[str, str]:
    """Input of tokens -> input that says which of them are padding."""
    found: dict[str, str] = {}
    for name, node in graph.nodes.items():
        edge = node.inputs.get(node.signature.mask)
        root = graph.stream_start(name)[0]
        if edge is not None and not edge.port and node.signature.stream:
            found.setdefault(root, edge.name)
    return found


def _along(graph: Graph, texts: list[str]) -> Iterator[tuple[str, int]]:
    """Inputs with an axis as long as a text, or as one with something before it, and which axis that is."""
    lengths = {graph.inputs[name].port.shape[1] for name in texts}
    for name, given in graph.inputs.items():
        for axis, dim in enumerate(given.port.shape):
            if lengths & {*open_terms(dim)}:
                yield name, axis


def _placed(graph: Graph, ids: Tensor) -> bool:
    return bool(torch.isin(ids, placeholders(graph)).any())


def _by_length(graph: Graph) -> bool:
    """Whether rotations go by the longest text of a batch."""
    return any(
        rope.type in ("dynamic", "longrope")
        for node in graph.nodes.values()
        for rope in (node.spec.stack.rotary if node.spec.stack else ())
    )


def placeholders(graph: Graph) -> Tensor:
    """The tokens that stand for something else than text."""
    specs = [node.spec for node in graph.nodes.values() if isinstance(node.spec, Scatter)]
    return torch.tensor([token for spec in specs for _, token in spec.placeholder], dtype=torch.long)


def text_alone(subject: Subject) -> None:
    """A text without anything seen or heard, and the same with no images at all."""
    parameters = inspect.signature(subject.model.forward).parameters
    keywords = inputs(subject.graph)
    needed = {name: value for name, value in keywords.items() if parameters[name].default is inspect.Parameter.empty}
    left_out = {name: value for name, value in keywords.items() if name not in needed}
    if len(subject.of_text) != 1 or not any(
        subject.graph.inputs[n].port.what not in ("mask", "visible") for n in left_out
    ):
        return
    for name, axis in _along(subject.graph, subject.of_text):
        if name in needed and axis == 1:  # nothing stands before the text then
            needed[name] = needed[name][:, -keywords[subject.of_text[0]].size(1) :]
    for name in subject.of_text:
        needed[name] = torch.where(torch.isin(needed[name], placeholders(subject.graph)), 1, needed[name])
    with torch.no_grad():
        try:
            alone = subject.model(**needed)
        except ValueError as error:
            if "is needed: the layers attend to it" in str(error) or "the prompt has 0 place" in str(error):
                return  # a clear answer, where nothing says that there may be nothing to see, or all has to be seen
            raise
    assert all(value is None or bool(value.isfinite().all()) for value in alone)
    batches = {term for name in needed for term in open_terms(subject.graph.inputs[name].port.shape[0])}
    more = ("mask", "visible", "counts", "token_types")  # of what is seen, or of the text
    seen = {n: v for n, v in left_out.items() if subject.graph.inputs[n].port.what not in more}
    if any(batches & {*open_terms(subject.graph.inputs[name].port.shape[0])} for name in seen):
        return  # so many for each text
    with torch.no_grad():
        empty = subject.model(**needed, **{name: value[:0] for name, value in seen.items()})
    for one, other in zip(empty, alone, strict=True):
        assert other is None or one.shape != other.shape or close(one, other)


# ---- generation


def generated(subject: Subject, *, padded: bool) -> bool:
    """With the cache, each token is the one that the whole sequence, read again, makes likeliest. False if not able."""
    graph, model, generate = subject.graph, subject.model, subject.generate
    if generate is None or _by_length(graph):
        return False  # or keys stay turned by the length they were written at, as in the reference
    keywords: dict[str, Tensor] = inputs(graph, padded=padded)
    tokens = list(inspect.signature(generate).parameters)[1]
    scored = ((name, ref) for name, ref in graph.outputs.items() if ref.port == "logits")
    logits = next(name for name, ref in scored if graph.stream_start(ref.name)[0] == tokens)
    along = [name for name, axis in _along(graph, [tokens]) if axis == 1 and name != tokens]
    others = {name: value for name, value in keywords.items() if name != tokens}
    made = generate(model, keywords[tokens], **others, max_new_tokens=4, eos_token_id=None)
    with torch.no_grad():
        for _ in range(4):
            best = getattr(model(**keywords), logits)[:, -1].topk(2)
            decided = best.values[:, 0] - best.values[:, 1] > 1e-4
            place = keywords[tokens].size(1)
            assert torch.equal(made[decided, place], best.indices[decided, 0]), f"token {place}"
            keywords[tokens] = made[:, : place + 1]
            if _placed(graph, made[:, place]):
                return True  # read again, the text would ask for more features
            for name in along:
                keywords[name] = _longer(graph, name, keywords[name])
    return True


def _longer(graph: Graph, name: str, given: Tensor) -> Tensor:
    """What is said of a text with one more token: it is no padding and no prefix, and sees what the last one saw."""
    if graph.inputs[name].port.what == "visible":
        return torch.cat([given, given[:, -1:]], dim=1)
    is_mask = any(Ref(name) == node.inputs.get(node.signature.mask) for node in graph.nodes.values())
    return torch.nn.functional.pad(given, (0, 1), value=int(is_mask))


# ---- compiled and exported


def compiled(subject: Subject, keywords: Mapping[str, Tensor], *, backend: str = "eager") -> None:
    """One graph, which gives the same."""
    torch._dynamo.reset()
    made: Any = torch.compile(subject.model, fullgraph=True, backend=backend)
    with torch.no_grad():
        expected = subject.model(**keywords)
        assert _same(subject.graph, made(**keywords)._asdict(), expected._asdict())


def _same(graph: Graph, traced: Mapping[str, Tensor], eager: Mapping[str, Tensor]) -> bool:
    """Whether both agree. Tiles that fill up a stack are encoded too in one graph, behind the others and packed."""
    tiled = any(isinstance(node.spec, ImageStack) and node.spec.tile for node in graph.nodes.values())
    packed = [
        node.signature.outputs["features"].shape[1]
        for node in graph.nodes.values()
        if node.type in ("tile_packing", "frame_merger")
    ]
    return all(
        _agrees(traced[name], value)
        if {*packed}
        & {
            term for size in graph.port(ref).shape[1:2] for term in open_terms(size)
        }  # what fills it up is there, and nobody reads it
        else close(traced[name][: value.size(0)] if tiled else traced[name], value)
        for (name, ref), value in zip(graph.outputs.items(), eager.values(), strict=True)
    )


def exported(subject: Subject) -> None:
    """A program for any batch, length and number of images, which gives the same at other sizes."""
    from ..test_compile_export import open_sizes

    graph, shapes = subject.graph, open_sizes(subject.graph)
    for node in graph.nodes.values():
        if isinstance(node.spec, Audio):  # a multiple of what strides and pools put together, which stays
            for port in ("audio", "mask"):
                shapes.get(node.inputs[port].name if port in node.inputs else "", {}).pop(
                    2 if port == "audio" else 1, None
                )
    for name, given in graph.inputs.items():  # one flag for all of a source, which stays
        if given.port.what == "mask" and getattr(given.port.shape[1], "name", "") in ("runs", "columns"):
            shapes.get(name, {}).pop(1, None)
    keywords = inputs(graph, sizes(graph, batch=2, seq=7))
    program = torch.export.export(subject.model, (), keywords, dynamic_shapes=shapes, strict=False).module()
    # A program that counts so many images for each text is made for several texts.
    several = any(isinstance(dim, Sum) for given in graph.inputs.values() for dim in given.port.shape[:1])
    for wanted in ({"batch": 3, "seq": 9, "images": 4, "tokens": 6}, {"batch": 1 + several, "seq": 4, "images": 1}):
        other = inputs(graph, sizes(graph, **wanted), seed=1)
        with torch.no_grad():
            assert _same(graph, program(**other)._asdict(), subject.model(**other)._asdict())
