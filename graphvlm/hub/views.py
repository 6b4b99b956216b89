"""What the templates of the profile place, finished: nothing is decided there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..code import Field, Statement
from ..pages.arguments import Argument, Value
from .roles import LANGUAGE

# Inputs that `generate()` leaves out by itself after the prompt.
_KNOWN = ("pixel_values", "pixel_values_videos", "input_features", "image_sizes", "token_type_ids")


@dataclass(frozen=True, slots=True)
class MaskView:
    """The layers of one type, the function of `transformers` that makes their mask, and the first of them."""

    layers: str
    function: str
    first: int


@dataclass(frozen=True, slots=True)
class HubView:
    """What the classes of the language model are told besides their own view.

    `base` is the class that all models of the graph derive from. `flash`, `sdpa` and `flex` are ways to compute
    attention that can do what its layers ask for. `kept` says under which number the cache has the first keys of a port
    that layers attend to; such a cache has two halves. If `indexed`, some layers choose their keys; if `typed`, the
    configuration says of what type each layer is. No engine that computes attention itself knows what is `unserved`.
    """

    base: str
    masks: tuple[MaskView, ...]
    window: bool
    marked: bool
    softcap: bool
    sinks: bool
    embed_scale: bool
    flash: bool
    sdpa: bool
    flex: bool
    one_graph: bool
    relative: bool
    indexed: bool
    typed: bool
    unserved: str
    kept: Mapping[str, str]
    extra_rows: bool


@dataclass(frozen=True, slots=True)
class ConfigView:
    """One class of the configuration. `aliases` are the names that the code reads, and what they are called here;
    `plan` is the tensor-parallel plan of the language model, whose children in turn are `stages`."""

    name: str
    model_type: str
    fields: tuple[Field, ...]
    aliases: tuple[tuple[str, str], ...] = ()
    plan: tuple[tuple[str, str], ...] = ()
    stages: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ModuleView:
    """A module of the base model: its attribute, class and file, and the configuration that it is built from.

    One of torch's has no file: `plain` is how it is built.
    """

    name: str
    class_name: str
    config: str
    plain: str = ""

    @property
    def construct(self) -> str:
        """How it is built; a module without numbers has no configuration."""
        return self.plain or f"{self.class_name}({f'config.{self.config}' if self.config else ''})"


@dataclass(frozen=True, slots=True)
class StageView:
    """One modality that is encoded ahead: `get_<modality>_features`, and what its result is called.

    With several `values`, the first is pooled, and the others are fields of the class `result`. If `beside`, layers
    attend to it, so that it is encoded whatever the stream is.
    """

    modality: str
    arguments: tuple[Argument, ...]
    variable: str
    lines: tuple[Statement, ...]
    values: tuple[Value, ...]
    beside: bool

    @property
    def variables(self) -> tuple[tuple[str, str], ...]:
        """(variable, field of the result), in order."""
        if len(self.values) == 1:
            return ((self.variable, "pooler_output"),)
        return tuple((each.name, each.name if index else "pooler_output") for index, each in enumerate(self.values))

    @property
    def several(self) -> bool:
        return len(self.values) > 1

    @property
    def named(self) -> tuple[str, ...]:
        """The values behind the first, as arguments of the class."""
        return tuple(f"{each.name}={each.expression}" for each in self.values[1:])

    @property
    def result(self) -> str:
        """The class of what the method gives."""
        name = "".join(word.capitalize() for word in self.modality.split("_"))
        return f"{name}Features" if self.several else "BaseModelOutputWithPooling"

    @property
    def method(self) -> str:
        return f"get_{self.modality}_features"

    @property
    def first(self) -> str:
        """The input without which there is nothing to encode."""
        return self.arguments[0].name

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("self", *map(str, self.arguments), "**kwargs: Any")

    @property
    def pass_on(self) -> tuple[str, ...]:
        return tuple(f"{each.name}={each.name}" if each.default else each.name for each in self.arguments)


@dataclass(frozen=True, slots=True)
class PlacesView:
    """Positions of three numbers: the line that makes them, and the grids that it reads beside the tokens."""

    call: Statement
    grids: tuple[str, ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Of `get_rope_index`."""
        grids = (f"{name}: Tensor | None = None" for name in self.grids)
        return ("self", "input_ids: Tensor", *grids, "attention_mask: Tensor | None = None", "**kwargs: Any")

    @property
    def pass_on(self) -> tuple[str, ...]:
        return ("input_ids", *(f"{name}={name}" for name in self.grids), "attention_mask=attention_mask")

    @property
    def generating(self) -> tuple[str, ...]:
        """What `generate()` passes on from what it was given."""
        return ("ids", *(f'{name}=model_kwargs.get("{name}")' for name in (*self.grids, "attention_mask")))


@dataclass(frozen=True, slots=True)
class ExtraView:
    """What the language model reads beside its stream; `given`, if any, is an input that it is made of."""

    name: str
    expression: str
    given: str = ""


@dataclass(frozen=True, slots=True)
class HeadView:
    """How hidden states become logits, as numbers of the configuration."""

    bias: bool
    tied: bool
    scale: bool
    softcap: bool


@dataclass(frozen=True, slots=True)
class PairView:
    """The half of an encoder-decoder that reads: its `modules`, and the lines that make `result` of its `arguments`.

    With `shared` rows, both halves embed tokens alike. `crossed` is (port of the decoder, what it is given); texts that
    are written begin with the token `start`.
    """

    modules: tuple[ModuleView, ...]
    arguments: tuple[Argument, ...]
    lines: tuple[Statement, ...]
    result: str
    shared: bool
    crossed: tuple[tuple[str, str], ...]
    start: int
    pad: int


@dataclass(frozen=True, slots=True)
class ModelView:
    """The page of the models: the base, which gives hidden states, and the one that writes text.

    A graph of tokens alone has a base that is the language model itself. `lines` make embeddings of tokens, in the
    variable `embedded` if they are not `inputs_embeds` at once; `ids` are
    (name on the configuration, expression) of placeholder tokens. What layers attend to, they are given by `crossed`:
    (port, variable), of which the inputs `shown` say what each token sees. If positions of the text begin again behind
    what is placed in it, `restarts` is the function that says where that is.
    """

    name: str
    prefix: str
    description: str
    picture: tuple[str, ...]
    alone: bool
    modules: tuple[ModuleView, ...]
    stages: tuple[StageView, ...]
    lines: tuple[Statement, ...]
    embedded: str
    ids: tuple[tuple[str, str], ...]
    configs: tuple[tuple[str, str], ...]
    head: HeadView
    generation: str
    modalities: tuple[str, ...]
    places: PlacesView | None
    extras: tuple[ExtraView, ...]
    crossed: tuple[tuple[str, str], ...]
    shown: tuple[str, ...]
    pair: PairView | None
    restarts: str

    @property
    def tied(self) -> bool:
        """Whether modules have weights together."""
        return self.head.tied or (self.pair is not None and self.pair.shared)

    @property
    def ahead(self) -> bool:
        """Whether `generate()` encodes before the prompt: not what no placeholder stands for."""
        return any(not stage.beside for stage in self.stages)

    @property
    def inputs(self) -> tuple[str, ...]:
        """What is encoded ahead, and what positions follow from, as parameters of `forward`."""
        encoded = (each.name for stage in self.stages for each in stage.arguments)
        beside = (each.given for each in self.extras if each.given)
        grids = self.places.grids if self.places else ()
        return tuple(dict.fromkeys((*encoded, *grids, *beside, *self.shown)))

    @property
    def dropped(self) -> tuple[str, ...]:
        """The inputs that `transformers` does not know as such: they are for the prompt alone."""
        return tuple(name for name in self.inputs if name not in (*_KNOWN, *self.shown))

    @property
    def imports(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """File -> what is imported from it, sorted as linters do."""
        found: dict[str, tuple[str, ...]] = {f"configuration_{self.name}": (f"{self.prefix}Config",)}
        for module in self.modules:
            if module.plain:
                continue
            names = [module.class_name]
            if module.name == LANGUAGE:
                names += [f"{self.prefix}PreTrainedModel", *(["positions_of"] if self.places else [])]
            found[module.name] = tuple(sorted(names))
        return tuple(sorted(found.items()))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The classes of `transformers` that load it, with a head, by what is there; the first fits best."""
        if {"image", "video"} & {*self.modalities}:
            return ("AutoModelForImageTextToText", "AutoModelForMultimodalLM")
        if self.pair is not None and {*self.modalities} == {"text"}:
            return ("AutoModelForSeq2SeqLM",)
        return ("AutoModelForCausalLM",) if self.alone else ("AutoModelForMultimodalLM",)

    @property
    def generating(self) -> str:
        """The class that writes text."""
        return f"{self.prefix}For{'CausalLM' if self.alone else 'ConditionalGeneration'}"
