"""Whether the stages that a graph asks for can be: every one has something to do, and what it reads comes before it."""

from __future__ import annotations

from .diagnostics import Span
from .ir import Graph, Node
from .problems import Problems
from .settings import Settings
from .stages import Stages, scored_decoder, split
from .staging import begins, cut, degree, on_one_stage, unsendable, unsent, unshared, why_not
from .words import listed


def check_stages(graph: Graph, problems: Problems) -> None:
    """Report what is wrong about `pp`, `stages` and `stage`."""
    settings = Settings(graph.tree)
    count, place = degree(graph), settings.span("parallelism", "mesh", "pp")
    own = [(node, key) for node in graph.owners for key in ("stage", "stages") if _written(settings, node, key)]
    if count == 1:
        for node, key in own:
            message = f"`{node.name}` has `{key}`, and the mesh has no `pp` above 1"
            edit = f"remove `{key}`, or add a `pp` to the mesh"
            problems.error("bad-stages", message, _place(settings, node, key), help=edit)
        return
    if next(iter(graph.parallelism.mesh)) != "pp":
        message = "`pp` is not the outermost axis of the mesh"
        problems.error("bad-stages", message, place, help="write `pp` before the other axes")
    elif why := why_not(graph):
        message = f"`{graph.name}` cannot lie in stages: {why}"
        problems.error("not-staged", message, place, help="remove `pp`, and use `dp` or `tp`")
    else:
        _check_nodes(graph, own, settings, problems)


def _written(settings: Settings, node: Node, key: str) -> bool:
    return settings.has("parallelism", "nodes", node.name, key)


def _place(settings: Settings, node: Node, key: str) -> Span:
    return settings.span("parallelism", "nodes", node.name, key)


def _check_nodes(graph: Graph, own: list[tuple[Node, str]], settings: Settings, problems: Problems) -> None:
    stages = split(graph)
    decoder = scored_decoder(graph, stages)
    assert decoder is not None
    count = degree(graph)
    ahead = {graph.nodes[name].module for encoder in stages.encoders for name in encoder.nodes}
    for node, key in own:
        place = _place(settings, node, key)
        if key == "stages" and node.name != decoder.name:
            message = f"the layers of `{node.name}` do not lie on several stages: those of `{decoder.name}` alone do"
            problems.error("bad-stages", message, place, help="write `stage`, the one that has it, or nothing")
        elif key == "stage" and node.name not in ahead:
            message = f"`{node.name}` is not encoded ahead of the text: it lies where the layers of `{decoder.name}` do"
            edit = "write `stages`, how many layers each has" if node.name == decoder.name else "remove `stage`"
            problems.error("bad-stages", message, place, help=edit)
        elif isinstance(node.stage, int) and node.stage >= count:
            message = f"`{node.name}` is to lie on stage {node.stage}, and there are {count}, the first of which is 0"
            problems.error("bad-stages", message, place, help=f"write a `stage` of 0 to {count - 1}")
    _check_together(graph, stages, settings, problems)
    if not problems.any:
        _check_layers(graph, decoder, stages, settings, problems)


def _check_together(graph: Graph, stages: Stages, settings: Settings, problems: Problems) -> None:
    """What is encoded by one method lies on one stage, and so does what shares weights."""
    found: dict[str, Node] = {}
    for encoder in stages.encoders:
        nodes = [graph.nodes[graph.nodes[name].module] for name in encoder.nodes]
        wanted = [node for node in nodes if node.stage is not None]
        wanted += [found[node.name] for node in nodes if node.name in found]
        if len({node.stage for node in wanted}) > 1:
            one, other = wanted[0], next(node for node in wanted if node.stage != wanted[0].stage)
            message = f"`{one.name}` is to lie on {_where(one)} and `{other.name}` on {_where(other)}"
            edit = f"give {listed(dict.fromkeys(node.name for node in wanted))} the same `stage`"
            problems.error(
                "bad-stages",
                f"{message}: what is encoded together lies together",
                _place(settings, other, "stage"),
                labels=settings.labels("parallelism", "nodes", one.name, "stage", text="and here another"),
                help=edit,
            )
        found |= dict.fromkeys((node.name for node in nodes), (wanted or nodes)[0])


def _where(node: Node) -> str:
    return "all stages" if node.stage == "all" else f"stage {node.stage}"


def _check_layers(graph: Graph, decoder: Node, stages: Stages, settings: Settings, problems: Problems) -> None:
    """As many numbers as stages, which are all layers; and none without anything."""
    assert decoder.spec.stack is not None
    layers, count = len(decoder.spec.stack.order), degree(graph)
    mesh = settings.span("parallelism", "mesh", "pp")
    if name := unshared(graph, stages):
        node = next(node for node in graph.owners if node.stage == "all" and _written(settings, node, "stage"))
        problems.error(
            "features-not-sent",
            f"what `{name}` gives would go to other stages, and only the data say how large it is",
            _place(settings, node, "stage"),
            help=f"let one stage have it, where `{decoder.name}` begins: remove `stage: all`",
        )
        return
    if not decoder.stages:
        if not begins(graph, decoder, stages):
            _report_empty(graph, decoder, stages, settings, problems)
        elif name := unsendable(graph, decoder, stages):
            _report_unsent(name, f"no layer but the first of `{decoder.name}` reads it", mesh, problems)
        return
    place = _place(settings, decoder, "stages")
    wanted = list(decoder.stages)
    if len(wanted) != count or sum(wanted) != layers:
        message = f"`stages` of `{decoder.name}` has {len(wanted)} numbers that make {sum(wanted)} layers"
        edit = f"write {count} numbers that make {layers}, or `auto`"
        problems.error("bad-stages", f"{message}; there are {count} stages and {layers} layers", place, help=edit)
        return
    own = on_one_stage(graph, stages)
    encoded = {*own.values()}
    started = next(stage for stage, own in enumerate(wanted) if own)
    without = (stage for stage, own in enumerate(wanted) if not own)
    idle = next((stage for stage in without if stage > started or stage not in encoded), -1)
    late = max(encoded, default=0)
    if idle >= 0:
        message = f"stage {idle} would have nothing: no layer of `{decoder.name}`"
        more = ", and nothing is encoded there" if idle < started else ", whose layers lie on stages in a row"
        problems.error("empty-stage", message + more, place, help="give it layers, or take one stage less")
    elif late > started:
        name = next(each.nodes[-1] for each, stage in own.items() if stage == late)
        message = f"`{decoder.name}` begins on stage {started}, before stage {late} has encoded `{name}`"
        problems.error("bad-stages", message, place, help=f"begin on stage {late}, or encode earlier")
    elif name := unsent(graph, cut(graph, {}, (), 0.0)):
        _report_unsent(name, f"`{decoder.name}` begins on stage {late}, where it is encoded", place, problems)


def _report_empty(graph: Graph, decoder: Node, stages: Stages, settings: Settings, problems: Problems) -> None:
    assert decoder.spec.stack is not None
    count, layers = degree(graph), len(decoder.spec.stack.order)
    most = layers + len({*on_one_stage(graph, stages).values()})
    problems.error(
        "empty-stage",
        f"{count} stages are too many for {layers} layers of `{decoder.name}` behind what is encoded",
        settings.span("parallelism", "mesh", "pp"),
        note="some would have nothing to do",
        help=f"use a `pp` of at most {most if count > most else layers}, and a `stage` of 0 for what is encoded",
    )


def _report_unsent(name: str, unless: str, place: Span, problems: Problems) -> None:
    problems.error(
        "features-not-sent",
        f"what `{name}` gives would go from one stage to the next, and only the data say how large it is",
        place,
        help=f"it can stay where it is encoded if {unless}",
    )
