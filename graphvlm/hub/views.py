"""What the templates of the profile place, finished: nothing is decided there."""

from __future__ import annotations

from dataclasses import dataclass

from ..code import Field, Statement, literal
from ..pages.arguments import Argument
from .roles import LANGUAGE

# Inputs that `generate()` leaves out by itself after the prompt.
_KNOWN = ("pixel_values", "pixel_values_videos", "input_features", "image_sizes")


@dataclass(frozen=True, slots=True)
class MaskView:
    """The layers of one type, and the function of `transformers` that makes their mask."""

    layers: str
    function: str


@dataclass(frozen=True, slots=True)
class HubView:
    """What the classes of the language model are told besides their own view.

    `base` is the class that all models of the graph derive from. `flash`, `sdpa` and `flex` are ways to compute
    attention that can do what its layers ask for.
    """

    base: str
    masks: tuple[MaskView, ...]
    window: bool
    softcap: bool
    sinks: bool
    embed_scale: bool
    flash: bool
    sdpa: bool
    flex: bool
    one_graph: bool


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
    """A module of the base model: its attribute, class and file, and the configuration that it is built from."""

    name: str
    class_name: str
    config: str

    @property
    def construct(self) -> str:
        """How it is built; a module without numbers has no configuration."""
        return f"{self.class_name}({f'config.{self.config}' if self.config else ''})"


@dataclass(frozen=True, slots=True)
class StageView:
    """One modality that is encoded ahead: `get_<modality>_features`, and what its result is called."""

    modality: str
    arguments: tuple[Argument, ...]
    variable: str
    lines: tuple[Statement, ...]
    value: str
    shape: str

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
class HeadView:
    """How hidden states become logits, as numbers of the configuration."""

    bias: bool
    tied: bool
    scale: bool
    softcap: bool


@dataclass(frozen=True, slots=True)
class ModelView:
    """The page of the models: the base, which gives hidden states, and the one that writes text.

    A graph of tokens alone has a base that is the language model itself. `lines` make embeddings of tokens; `ids` are
    (name on the configuration, expression) of placeholder tokens.
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

    @property
    def inputs(self) -> tuple[str, ...]:
        """What is encoded ahead, as parameters of `forward`."""
        return tuple(dict.fromkeys(each.name for stage in self.stages for each in stage.arguments))

    @property
    def dropped(self) -> str:
        """A tuple of inputs that `transformers` does not know as such: they are for the prompt alone."""
        names = tuple(name for name in self.inputs if name not in _KNOWN)
        return literal(names) if names else ""

    @property
    def imports(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """File -> what is imported from it, sorted as linters do."""
        found = {f"configuration_{self.name}": (f"{self.prefix}Config",)}
        for module in self.modules:
            base = (f"{self.prefix}PreTrainedModel",) if module.name == LANGUAGE else ()
            found[module.name] = tuple(sorted((module.class_name, *base)))
        return tuple(sorted(found.items()))

    @property
    def generating(self) -> str:
        """The class that writes text."""
        return f"{self.prefix}For{'CausalLM' if self.alone else 'ConditionalGeneration'}"
