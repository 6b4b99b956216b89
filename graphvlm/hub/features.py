"""Graphs that write no text: towers, pairs of them, classifiers. `transformers` loads them as `AutoModel`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..code import Statement
from ..components.encoder.token_embedding import TokenEmbedding
from ..ir import Graph
from ..names import class_name
from ..pages import model as models
from ..pages.arguments import Argument, EncodeView, Value
from ..pages.package import Page
from ..problems import Problems
from ..settings import Settings
from ..stages import NOUNS, split
from . import config as configs
from .fitting import HELP, TRAINED, tower_faults
from .views import ConfigView, ModuleView


@dataclass(frozen=True, slots=True)
class FeaturesView:
    """The page of the model.

    `stages` are what can be made ahead, by methods of their own; `lines` make the `outputs` of that. If some output is
    `scores` of classes, labels give a loss. `words` is the embedding of a text.
    """

    name: str
    prefix: str
    description: str
    picture: tuple[str, ...]
    modules: tuple[ModuleView, ...]
    configs: tuple[tuple[str, str], ...]
    stages: tuple[EncodeView, ...]
    arguments: tuple[Argument, ...]
    lines: tuple[Statement, ...]
    outputs: tuple[Value, ...]
    scores: str
    classes: int
    words: str
    modalities: tuple[str, ...]
    functional: bool
    torch: bool
    kinds: tuple[str, ...]
    pair: None = None
    alone: bool = False
    tied: bool = False
    ids: tuple[tuple[str, str], ...] = ()

    @property
    def imports(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """File -> what is imported from it."""
        found = {f"configuration_{self.name}": (f"{self.prefix}Config",)}
        found |= {module.name: (module.class_name,) for module in self.modules if not module.plain}
        return tuple(sorted(found.items()))

    @property
    def generating(self) -> str:
        """The only class."""
        return f"{self.prefix}Model"


def check(graph: Graph) -> None:
    """Raises GraphError for everything that the profile has no form for."""
    problems = Problems()
    for node in graph.nodes.values():
        what = "a teacher" if node.follows else TRAINED.get(node.kind)
        found: list[tuple[tuple[str, ...], str]] = [((), what)] if what else [*tower_faults(node)]
        if node.tie:
            found.append((("module",), "weights that another node has too"))
        for path, why in found:
            message = f"the profile `hf` has no form for {why}, in `{node.name}`"
            problems.error("outside-profile", message, Settings(node.tree).span(*path), help=HELP)
    problems.stop()


def make(graph: Graph, profile: Graph, dtype: str) -> tuple[dict[str, Page], dict[str, Any]]:
    """The pages of a graph whose names are those of the `profile`, and its JSON files."""
    made = models.make(profile)
    module = f"configuration_{graph.name}"
    shared = {"configs": module, "activation_modules": True}
    view = _view(profile, made)
    classes = tuple(
        configs.of_node(profile, profile.nodes[name], page) for name, page in made.nodes.items() if page.fields
    )
    pages = {
        f"{module}.py": Page("configuration.py.j2", {"classes": classes, "model": view}),
        f"modeling_{graph.name}.py": Page("features.py.j2", {"model": view}),
        "README.md": Page("README.md.j2", {"model": view}),
    }
    for name, page in made.nodes.items():
        if page.template:
            pages[f"{name}.py"] = Page(page.template, {"node": page.context, **shared})
    return pages, {"config.json": _config(graph, view, classes, dtype)}


def _view(graph: Graph, made: models.Pages) -> FeaturesView:
    view, stages = made.model, split(graph)
    of_config = {f"config.{name}.": f"config.{configs.attribute(name, page)}." for name, page in made.nodes.items()}
    modules = tuple(configs.module_of(name, page) for name, page in made.nodes.items() if page.construct)
    scores, kinds, classes = _scores(graph)
    words = (node.name for node in graph.owners if isinstance(node.spec, TokenEmbedding))
    return FeaturesView(
        name=graph.name,
        prefix=class_name(graph.name),
        description=view.description,
        picture=view.picture,
        modules=modules,
        configs=tuple(
            (configs.attribute(name, page), f"{class_name(name)}Config")
            for name, page in made.nodes.items()
            if page.fields
        ),
        stages=tuple(
            replace(stage, method=f"get_{found.name}_features", lines=tuple(_lines(stage.lines, of_config)))
            for stage, found in zip(view.encoders, stages.encoders, strict=True)
        ),
        arguments=tuple(each for each in view.forward_arguments if each.name in graph.inputs),
        lines=tuple(_lines(view.joint_lines, of_config)),
        outputs=view.outputs,
        scores=scores,
        classes=classes,
        words=next(words, ""),
        modalities=tuple(dict.fromkeys(filter(None, (NOUNS.get(each.port.what) for each in graph.inputs.values())))),
        functional=view.functional,
        torch=view.torch,
        kinds=("AutoModel", *kinds),
    )


def _lines(lines: tuple[Statement, ...], of_config: dict[str, str]) -> Iterator[Statement]:
    """The same, where each node has the configuration of its attribute."""
    for line in lines:
        given = line.arguments
        for old, new in of_config.items():
            given = tuple(each.replace(f"self.{old}", f"self.{new}") for each in given)
        yield replace(line, arguments=given)


# What classifiers of these are called in transformers.
_CLASSES = {"image": "Image", "video": "Video", "text": "Sequence", "audio": "Audio"}


def _scores(graph: Graph) -> tuple[str, tuple[str, ...], int]:
    """(output that is scores of classes, classes of transformers for such models, number of classes)."""
    read = {NOUNS.get(each.port.what) for each in graph.inputs.values()} - {None}
    for name, ref in graph.outputs.items():
        node, size = graph.nodes.get(ref.name), graph.port(ref).shape[-1]
        if name != "logits" or node is None or not isinstance(size, int):
            continue
        if node.kind == "head" and node.type == "classifier":
            kinds = tuple(f"AutoModelFor{_CLASSES[each]}Classification" for each in read if each in _CLASSES)
            return name, kinds if len(read) == 1 else (), size
        if node.kind == "encoder" and ref.port == "logits":
            return name, ("AutoModelForMaskedLM",) if read == {"text"} else (), 0
    return "", (), 0


def _config(graph: Graph, view: FeaturesView, found: tuple[ConfigView, ...], dtype: str) -> dict[str, Any]:
    numbers = {each.name: configs.numbers_of(each) for each in found}
    names = {"AutoConfig": f"configuration_{graph.name}.{view.prefix}Config"}
    names |= dict.fromkeys(view.kinds, f"modeling_{graph.name}.{view.generating}")
    head = {"architectures": [view.generating], "auto_map": names, "model_type": graph.name, "dtype": dtype}
    classes = {"num_labels": view.classes} if view.classes else {}
    return head | classes | {name: numbers[kind] for name, kind in view.configs} | {"tie_word_embeddings": False}
