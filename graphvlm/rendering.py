"""From a resolved graph to the text of every file of its package: a pure map from file name to text."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from . import code, hub, prompts, resources, titan
from .drawing import draw
from .drawing.from_graph import picture
from .emit import emit
from .ir import Graph
from .names import class_name
from .pages import package
from .passes import apply_all

if TYPE_CHECKING:
    from jinja2 import Environment


def render(graph: Graph) -> dict[str, str]:
    """File name -> text of the package of a resolved graph. The same graph gives the same bytes."""
    rewritten = apply_all(graph)
    files = {name: text_of(page) for name, page in package.make(rewritten).items()}
    files["graph.yaml"] = emit(graph)
    made = prompts.preprocessors(graph)
    if made:
        files |= {name: json_of(value) for name, value in made.items()} | _template(graph)
    files["graph.svg"] = draw(picture(rewritten))
    for name, text in files.items():
        if name.endswith(".py"):
            compile(text, name, "exec")
    return dict(sorted(files.items()))


def render_hub(graph: Graph, dtype: str = "float32") -> dict[str, str]:
    """File name -> text of the directory that `transformers` loads, but for weights and processors.

    Raises GraphError where the profile has no form for something in the graph.
    """
    pages, values = hub.make(graph, dtype)
    files = {name: text_of(page, "hf") for name, page in pages.items()}
    for name, text in files.items():
        if name.endswith(".py"):
            compile(text, name, "exec")
    files |= {name: json_of(value) for name, value in values.items()} | _template(graph)
    return dict(sorted(files.items()))


def _template(graph: Graph) -> dict[str, str]:
    """The chat template as a file, if there is one."""
    return {"chat_template.jinja": graph.prompt.template} if graph.prompt.template else {}


def json_of(value: Any) -> str:
    """A value as the text of a file."""
    return json.dumps(value, indent=2) + "\n"


def render_titan(graph: Graph) -> dict[str, str]:
    """File name -> text of the package as torchtitan trains it.

    Raises GraphError where the profile has no form for the graph.
    """
    graph = titan.prepared(graph)
    files = {name: titan.relayed(name, text) for name, text in render(graph).items()}
    files |= {name: text_of(page) for name, page in titan.pages(graph, files).items()}
    for name in ("layers.py", "titan.py"):
        compile(files[name], name, "exec")
    return dict(sorted(files.items()))


def text_of(page: package.Page, profile: str = "") -> str:
    """What stands on a page."""
    text: str = environment(profile).get_template(page.template).render(page.views)
    return text


@cache
def environment(profile: str = "") -> Environment:
    """The template environment: nothing undefined, every line in the place it is written.

    The templates of a `profile` lie over those of the package, which it finds below `plain/`.
    """
    from jinja2 import Environment, StrictUndefined

    env = Environment(
        loader=resources.templates(profile),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        optimized=False,  # a build compiles each template once: folding its constants costs more than it saves
    )
    env.globals.update(
        signature=code.signature,
        display=code.display,
        imported=code.imported,
        configs="config",
        activation_modules=False,
    )
    env.filters.update(
        assign=_assign,
        built=_built,
        called=_called,
        item=_item,
        laid_out=code.laid_out,
        literal=code.literal,
        quoted=code.quoted,
        class_name=class_name,
    )
    return env


def _assign(parts: tuple[str, ...], indent: int, comment: str = "") -> str:
    """(target, function, argument, ...) as an assignment; an argument may be several, with commas between."""
    target, function, *arguments = parts
    split = tuple(piece for argument in arguments for piece in argument.split(", "))
    return code.laid_out(code.Statement(target, function, split, comment or ""), indent)


def _called(parts: tuple[str, Any], indent: int) -> str:
    function, arguments = parts
    return code.laid_out(code.Statement("", function, tuple(arguments)), indent)


def _built(parts: tuple[str, str], indent: int, comment: str = "") -> str:
    target, expression = parts
    return code.built(target, expression, indent, comment)


def _item(row: tuple[str, tuple[str, ...]], indent: int) -> str:
    """One entry of a dict of lists, broken over lines where it must be."""
    key, values = row
    return code.display(f"{code.quoted(key)}: ", tuple(map(code.quoted, values)), "[]", indent, ",")
