"""The views of `stages.py` and `pipeline.py`: which rank of `pp` has what, and what it does with a micro-batch."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import Graph, Ref
from ..planning.stages import cut_of
from ..stages import Stage, split, tokens_of
from ..staging import counted, holders, readers, sent, shape_of
from . import blanks
from .arguments import EncodeView
from .blanks import Blank
from .model import ModelView


@dataclass(frozen=True, slots=True)
class Encoding:
    """One `encode_*` method on a stage: its `first` input, what it is called with, and the names of what it gives.

    It is `ahead` if other stages get what it gives, or (`told`) zeros as large, so that they know where tokens stand.
    If it is `ordered`, the stage calls it in its turn; otherwise the model does. Without a `stage`, all call it for
    their share of the micro-batches.
    """

    stage: int | None
    method: str
    variable: str
    first: str
    arguments: tuple[str, ...]
    names: tuple[str, ...]
    result: str
    ahead: bool
    told: bool
    ordered: bool
    blank: Blank | None


@dataclass(frozen=True, slots=True)
class Shared:
    """What one method encodes on all stages: its names, the modules that it comes of, and the stages that read it."""

    names: tuple[str, ...]
    modules: tuple[str, ...]
    readers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PipelineView:
    """Everything on both pages.

    Stage i has the layers `layers[i]` of the `decoder`, and the modules `parts[i]`. `embeddings` are those modules that
    give a vector for each token. Those of `shared` are on several stages. `handed` are names of what stages hand on, of
    which `sizes` are the shapes.
    """

    decoder: str
    layers: tuple[tuple[int, int], ...]
    parts: tuple[tuple[str, ...], ...]
    embeddings: tuple[str, ...]
    shared: tuple[tuple[str, tuple[int, ...]], ...]
    handed: tuple[tuple[str, ...], ...]
    sizes: tuple[tuple[str, tuple[str, ...]], ...]
    encodings: tuple[Encoding, ...]
    everywhere: tuple[Shared, ...]
    first: int
    tokens: str
    freeze: bool
    scheduled: bool

    @property
    def of_model(self) -> tuple[str, ...]:
        """What is imported from `model.py`."""
        results = {each.result for each in self.encodings if each.ahead} - {"Tensor"}
        here = [each for each in self.encodings if each.stage is not None or (each.blank and each.blank.attended)]
        asked = {"is_given"} if any(each.ahead or each.blank for each in here) else set[str]()
        return tuple(sorted({"Model", "Output", *results, *asked}, key=lambda name: (name.islower(), name)))

    @property
    def blanks(self) -> bool:
        """Whether something is encoded where there is nothing to encode."""
        return any(each.blank for each in self.encodings)

    @property
    def ahead(self) -> bool:
        """Whether some features are known before the rest of the stage runs."""
        return any(each.ahead for each in self.encodings)

    @property
    def on_stage(self) -> bool:
        """Whether one stage encodes something."""
        return any(each.stage is not None for each in self.encodings)

    @property
    def encodes(self) -> bool:
        """Whether a stage encodes something itself."""
        own = [each for each in self.encodings if each.stage is not None]
        return self.hooked or any(each.ahead or each.ordered for each in own)

    @property
    def encode_parameters(self) -> tuple[str, ...]:
        """The parameters of the method that encodes."""
        return (
            *(("model: Model",) if self.encodes else ()),
            "batch: dict[str, Any]",
            *(("values: dict[str, Tensor]",) if self.ahead else ()),
            *(("hooks: ExitStack",) if self.hooked else ()),
        )

    @property
    def encode_arguments(self) -> tuple[str, ...]:
        """What it is called with."""
        return tuple(parameter.partition(":")[0] for parameter in self.encode_parameters)

    @property
    def of_parallel(self) -> tuple[str, ...]:
        """What `pipeline.py` imports from `parallel.py`."""
        on_stage = [each.blank for each in self.encodings if each.blank and each.stage is not None]
        found = {f"blank_{blank.noun}" for blank in on_stage} | {place for blank in on_stage for place in blank.places}
        found |= {"in_layers" for each in self.encodings if each.blank and each.blank.attended}
        return tuple(sorted(found))

    @property
    def blanked(self) -> tuple[str, ...]:
        """What `ahead.py` imports from there."""
        blanks = (each.blank for each in self.encodings if each.blank and each.stage is None)
        return tuple(sorted(f"blank_{blank.noun}" for blank in blanks))

    @property
    def hooked(self) -> bool:
        """Whether blanks are added where a stage reads what it has none of."""
        return any(name.startswith("in_") for name in self.of_parallel)


def make(graph: Graph, model: ModelView) -> PipelineView | None:
    """The view of a graph after its passes, if it lies in stages."""
    cut = cut_of(graph)
    if cut is None:
        return None
    held = holders(graph, cut)
    decoder, stages = graph.nodes[cut.decoder], split(graph)
    handed = sent(graph, cut)
    made = {encoder.method.removeprefix("encode_"): encoder for encoder in model.encoders}
    made_blanks = blanks.make(graph, model.encoders)
    blank = {each.method: each for each in made_blanks.stages} if made_blanks else {}
    passed = frozenset(each.ref for stage in handed for each in stage if each.ref)
    encodings = tuple(
        _encoding(
            encoder,
            made[encoder.name],
            cut.encoders.get(encoder.name),
            told=counted(graph, decoder),
            passed=bool(passed.intersection(encoder.values)),
            ordered=made_blanks is not None and made_blanks.ordered,
            blank=blank.get(made[encoder.name].method),
        )
        for encoder in stages.encoders
    )
    names = {ref: name for encoder in stages.encoders for ref, name in _names(encoder, made[encoder.name])}
    shapes = {names[each.ref] if each.ref else "hidden": each.shape for stage in handed for each in stage}
    for encoder, encoding in zip(stages.encoders, encodings, strict=True):
        if encoding.ahead:
            shapes |= {names[ref]: shape_of(graph, encoder, ref) for ref in encoder.values}
    return PipelineView(
        decoder=cut.decoder,
        layers=tuple((own.start, own.stop) for own in cut.layers),
        parts=tuple(
            tuple(path for path, stages in held.items() if stage in stages) for stage in range(len(cut.layers))
        ),
        embeddings=tuple(path for path in held if _is_embedding(graph, path)),
        shared=tuple((path, stages) for path, stages in held.items() if len(stages) > 1),
        handed=tuple(tuple(names[each.ref] if each.ref else "hidden" for each in stage) for stage in handed),
        sizes=tuple(shapes.items()),
        encodings=encodings,
        everywhere=tuple(
            Shared(encoding.names, _modules(graph, encoder), readers(graph, cut, encoder))
            for encoder, encoding in zip(stages.encoders, encodings, strict=True)
            if encoder.name in cut.everywhere
        ),
        first=cut.first,
        tokens=tokens_of(graph, decoder),
        freeze=bool(model.freeze),
        scheduled=model.scheduled,
    )


def _modules(graph: Graph, encoder: Stage) -> tuple[str, ...]:
    """The modules with weights that a modality goes through."""
    modules = (graph.nodes[name].module for name in encoder.nodes)
    return tuple(dict.fromkeys(name for name in modules if graph.nodes[name].spec.parameters()))


def _is_embedding(graph: Graph, path: str) -> bool:
    node, _, inside = path.partition(".")
    return inside == "position" or (not inside and graph.nodes[node].type == "token_embedding")


def _names(encoder: Stage, view: EncodeView) -> list[tuple[Ref, str]]:
    """What each value of an encoder is called on its way."""
    if view.result == "Tensor":
        return [(encoder.values[0], view.variable)]
    return [(ref, value.name) for ref, value in zip(encoder.values, view.values, strict=True)]


def _encoding(
    encoder: Stage, view: EncodeView, stage: int | None, *, told: bool, passed: bool, ordered: bool, blank: Blank | None
) -> Encoding:
    """How a modality is encoded. If what it gives is `passed` on, or `told` of to count tokens, it is so ahead."""
    return Encoding(
        stage=stage,
        method=view.method,
        variable=view.variable,
        first=view.first,
        arguments=tuple(_argument(view, name) for name in view.pass_on[1:]),
        names=tuple(name for _, name in _names(encoder, view)),
        result=view.result,
        ahead=passed or told or stage is None,
        told=told,
        ordered=ordered and blank is not None,
        blank=blank,
    )


def _argument(view: EncodeView, name: str) -> str:
    return f'batch["{name}"]' if name in view.needed else f'batch.get("{name}")'
