"""Rules about the graph as a whole: what no output depends on, sequences, token ids, key names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from .blocks.parameters import segment_modules, sublayer_modules
from .blocks.parse_sublayers import port_of, ports_of
from .blocks.segments import segment_names
from .component import component
from .diagnostics import Label, did_you_mean
from .dims import Solver, show
from .ir import Node, Ref
from .linked import Linked, LinkedGraph
from .problems import Problems
from .settings import Settings
from .tree import Tree
from .words import listed, suggestion


def check_unused(linked: LinkedGraph, problems: Problems) -> None:
    """Nodes that no output depends on, and inputs that no node reads."""
    alive = linked.alive()
    read = {source for name in linked.nodes for source in linked.read_by(name)}
    for name, node in linked.nodes.items():
        if name not in alive and name not in read:
            _report_dead(node, linked, alive, problems)
    for name, found in linked.inputs.items():
        if name not in read and not found.inferred:
            message, edit = f"nothing reads the input `{name}`", f"feed it to a node, or remove `{name}`"
            problems.error("unused-input", message, found.span, help=edit)


def _report_dead(node: Linked, linked: LinkedGraph, alive: frozenset[str], problems: Problems) -> None:
    before: dict[str, None] = {}
    waiting = [node.name]
    while waiting:
        sources = [edge.source.name for edge in linked.nodes[waiting.pop()].inputs.values()]
        new = [name for name in sources if name in linked.nodes and name not in alive and name not in before]
        before.update(dict.fromkeys(new))
        waiting += new
    also = f", nor on {listed(before)}, which lead{'s' if len(before) == 1 else ''} nowhere else" if before else ""
    problems.error(
        "dead-node",
        f"no output depends on `{node.name}`{also}",
        node.span,
        note="feeds nothing",
        labels=tuple(Label(linked.nodes[name].span, "leads only there") for name in list(before)[:3]),
        help=_keep(node, linked),
    )


def check_calls(linked: LinkedGraph, problems: Problems) -> None:
    """Layers can be chosen where there are some, and a call is not fed what none of its layers reads."""
    for node in linked.nodes.values():
        paths = [path for path in _CHOICES if node.settings.tree.get(*path) is not None]
        chosen = next((path for path in paths if path[-1] not in getattr(node.component, "choices", ())), None)
        if chosen is not None:
            of = _CHOICES[chosen]
            problems.error(
                "bad-run",
                f"`{chosen[-1]}` of `{node.name}`: calls of {node.kind}/{node.type} do not choose that",
                node.settings.span(*chosen),
                help=f"remove `{chosen[-1]}`, or use `kind: {of[0]}, type: {of[1]}`",
            )
        _check_prefix(node, linked, problems)
        chosen = next(iter(paths), None)
        for port in node.inputs:
            if port in node.signature.unread:
                problems.error(
                    "unread-port",
                    f"nothing that `{node.name}` runs reads `{port}`",
                    node.inputs[port].span,
                    labels=node.settings.labels(*(chosen or ("layers",)), text="the layers of this call"),
                    help=f"remove `{port}`, or run the layers that read it",
                )


# What a call may choose besides its inputs, and the components whose calls do.
_CHOICES = {
    ("layers", "run"): ("encoder", "transformer"),
    ("call", "layers"): ("encoder", "transformer"),
    ("call", "embed"): ("encoder", "transformer"),
    ("call", "sequence"): ("projector", "transformer"),
    ("call", "causal"): ("projector", "transformer"),
}


def _check_prefix(node: Linked, linked: LinkedGraph, problems: Problems) -> None:
    """Keys and values before those of a call are made by the same weights."""
    edge = node.inputs.get("prefix")
    if edge is None or edge.source.port != "cache":
        return
    other = linked.nodes[edge.source.name]
    if other.module != node.module:
        problems.error(
            "bad-prefix",
            f"the keys of `{other.name}` are made by other weights than those of `{node.name}`",
            edge.span,
            labels=(Label(other.span, f"calls `{other.module}`"),),
            help=f"feed it the `cache` of a call of `{node.module}`",
        )


def check_filled(linked: LinkedGraph, problems: Problems) -> None:
    """Tokens of a segment keep their positions, so none of them may be what fills up a compiled graph."""
    for node in linked.nodes.values():
        for port in segment_names(node.settings)[:-1]:
            edge = node.inputs.get(port)
            source = edge.source if edge else None
            while source is not None and source.port and linked.nodes[source.name].stream is not None:
                source = linked.nodes[source.name].stream
            packed = linked.nodes.get(source.name) if source and source.port else None
            if edge is not None and packed is not None and packed.type in _FILLED:
                problems.error(
                    "bad-segments",
                    f"segment `{port}` of `{node.name}` is as long as the images in `{packed.name}` are: a compiled "
                    "graph would fill it up, and its tokens keep their positions",
                    edge.span,
                    labels=(Label(packed.span, "has any number of tokens"),),
                    help="put them before the text with `fusion/prefix`, and tell them by `where`",
                )


# What gives as many tokens as the numbers that flow in say.
_FILLED = ("tile_packing", "frame_merger")


def _keep(node: Linked, linked: LinkedGraph) -> str:
    """What to do about a node that leads nowhere."""
    call = next((other.name for other in linked.nodes.values() if other.owner == node.name), "")
    if call:
        return f"move its settings to `{call}`, which calls its weights, or list `{node.name}` under `outputs`"
    return f"feed `{node.name}` to a node that leads to an output, list it under `outputs`, or remove it"


def check_tied(linked: LinkedGraph, nodes: Mapping[str, Node], problems: Problems) -> None:
    """A head can only share the weight of a token embedding that is there, and as wide as the head."""
    embeddings = linked.embeddings()
    for name, node in linked.nodes.items():
        if node.signature.tied is None:
            continue
        embedding = embeddings.get(name)
        if embedding is None:
            problems.error(
                "tied-head",
                f"the head of `{name}` is tied, and what `{name}` reads does not come from a token embedding",
                node.signature.tied,
                note="to what?",
                labels=tuple(Label(edge.span, "no token ids here") for edge in list(node.inputs.values())[:1]),
                help="write `tied: false`, or feed it a stream that begins with `type: token_embedding`",
            )
            continue
        if embedding.settings.get("extra_rows", default=0):
            problems.clash(
                "tied-head",
                f"the head of `{name}` is tied to `{embedding.name}`, which has rows for more ids than the head writes",
                Label(node.signature.tied, "tied"),
                Label(embedding.settings.span("extra_rows"), "rows beyond the vocabulary"),
                help="write `tied: false`, or remove `extra_rows`",
            )
            continue
        ours, theirs = (
            nodes[each].spec.resolved().get("dim") if each in nodes else None for each in (name, embedding.name)
        )
        if ours is not None and theirs is not None and ours != theirs:
            problems.error(
                "tied-head",
                f"the head of `{name}` is tied to `{embedding.name}`, which is {theirs} wide, and `{name}` is {ours}",
                node.signature.tied,
                note=f"needs [vocab, {ours}]",
                labels=(Label(embedding.span, f"[vocab, {theirs}]"),),
                help="write `tied: false`, or remove what lies between the two",
            )


def check_lengths(linked: LinkedGraph, nodes: Mapping[str, Node], solver: Solver, problems: Problems) -> None:
    """Image tokens, with at least one token of text, must fit the longest sequence of the decoder they reach."""
    settings = Settings(linked.tree)
    wish = settings.get("limits", "tokens")
    mine = Label(settings.span("limits", "tokens"), f"`limits.tokens`, {wish}")
    joined = _Joined(linked, solver)
    for name, node in nodes.items():
        limit = getattr(node.spec, "max_tokens", None)
        if limit is None:
            continue
        place = Label(Settings(node.tree).span("max_tokens"), f"`max_tokens` of `{name}`, {limit}")
        if wish is None or wish <= limit:
            joined.check(name, wish or limit, place if wish is None else mine, problems)
            continue
        problems.clash(
            "limit-beyond-decoder",
            f"`limits.tokens` is {wish}, and `{name}` has positions for {limit}",
            mine,
            place,
            help=f"lower `limits.tokens` to {limit}, or raise `max_tokens` of `{name}`",
        )


class _Joined:
    """The streams of features that join the text on its way to each node, and how many tokens they have in all."""

    def __init__(self, linked: LinkedGraph, solver: Solver) -> None:
        self._linked, self._solver = linked, solver
        self._tokens: dict[str, int] = {}
        for name, node in linked.nodes.items():
            before = self._tokens.get(node.stream.name, 0) if node.stream else 0
            self._tokens[name] = before + sum(count for _, count, _ in self._own(node))

    def check(self, name: str, limit: int, place: Label, problems: Problems) -> None:
        """Note it if they are too many for `name`. The text of `place` says what the limit is, before a comma."""
        total = self._tokens[name] + 1
        if total == 1 or total <= limit:
            return
        joined = list(self._all(name))
        sums = " + ".join(f"{show(count)} of `{source}`" for source, count, _ in joined[:_MOST])
        more = " + ..." if len(joined) > _MOST else ""
        setting = place.text.rpartition(",")[0]
        problems.clash(
            "sequence-too-short",
            f"one image does not fit: {sums}{more} + 1 of text = {show(total)} tokens, and {setting} is {limit}",
            Label(place.span, f"at least {show(total)}"),
            *dict.fromkeys(label for _, _, label in joined[:_MOST] if label),
            help=f"set {setting} to {show(total)} or more, or make fewer tokens of an image",
        )

    def _own(self, node: Linked) -> Iterator[tuple[str, int, Label | None]]:
        if node.kind not in ("fusion", "decoder"):
            return
        attended = {port_of(own) for _, own in ports_of(node.settings) if own.has("kv")}
        for port, edge in node.inputs.items():
            if port in attended:
                continue
            wanted = node.signature.inputs[port]
            count = self._solver.solve(wanted.shape[1]) if wanted.what == "features" else None
            if port != node.signature.stream and isinstance(count, int):
                origin = self._solver.origin(wanted.shape[1])
                yield edge.source.name, count, Label(origin.span, origin.text) if origin else None

    def _all(self, name: str) -> Iterator[tuple[str, int, Label | None]]:
        ref: Ref | None = Ref(name, "any")
        while ref is not None and ref.port:
            node = self._linked.nodes[ref.name]
            yield from self._own(node)
            ref = node.stream


def check_token_ids(linked: LinkedGraph, nodes: Mapping[str, Node], problems: Problems) -> None:
    """The token ids that steer generation are in the vocabulary, and padding is not taken for an image."""
    settings = Settings(linked.tree)
    ids = list(_generation_ids(settings))
    for name, node in nodes.items():
        logits = None if node.owner else node.signature.outputs.get("logits")
        vocab = logits.shape[-1] if logits else None
        for key, tree in ids:
            if isinstance(vocab, int) and isinstance(tree.value, int) and tree.value >= vocab:
                problems.clash(
                    "token-outside-vocabulary",
                    f"`generation.{key}` is {tree.value}, and `{name}` has a vocabulary of {vocab} tokens",
                    Label(tree.span, f"ids run from 0 to {vocab - 1}"),
                    *Settings(node.tree).labels("vocab", text="the vocabulary"),
                    help=f"use an id below {vocab}, or write `vocab: {tree.value + 1}` or more in `{name}`",
                )
    for key, tree in ids:
        for name, node in nodes.items() if key == "pad_token_id" else ():
            for port, token in Settings(node.tree).get("placeholder", default={}).items():
                if token == tree.value:
                    problems.clash(
                        "placeholder-shared",
                        f"`generation.pad_token_id` is {token}, the placeholder of `{name}.{port}`: "
                        "padding would be taken for features",
                        Label(tree.span, "fills up shorter sequences"),
                        *Settings(node.tree).labels("placeholder", port, text=f"stands for `{port}`"),
                        help="pad with another id",
                    )

    start = settings.tree.get("generation", "start_token_id")
    if start is not None and not any(node.spec.stack and node.spec.stack.crossed for node in nodes.values()):
        problems.error(
            "unread-setting",
            "`generation.start_token_id` is for decoders that attend to something encoded, and those here go on from a "
            "prompt",
            start.span,
            help="remove `start_token_id`",
        )


def _generation_ids(settings: Settings) -> Iterator[tuple[str, Tree]]:
    for key in ("bos_token_id", "start_token_id", "eos_token_id", "pad_token_id"):
        tree = settings.tree.get("generation", key)
        if tree is not None:
            yield from ((key, each) for each in (tree.elements() if tree.is_sequence else (tree,)))


def check_checkpoint(linked: LinkedGraph, problems: Problems) -> None:
    """Key names are of modules, and prefixes of nodes, that there are."""
    settings = Settings(linked.tree)
    tree = linked.tree.get("checkpoint", "prefixes")
    for name, _ in tree.items() if tree else ():
        if tree is not None and name not in linked.nodes:
            problems.clash(
                "unknown-node",
                f"`checkpoint.prefixes` names `{name}`, and there is no such node",
                Label(tree.key_span(name), "no such node"),
                Label(settings.span("checkpoint"), "read here"),
                help=did_you_mean(name, linked.nodes) or f"call a node so, or write `prefixes: {{{name}: null}}` here",
            )
        elif tree is not None and (owner := linked.nodes[name].owner):
            problems.error(
                "structure-in-call",
                f"the names of the weights that `{name}` calls belong to `{owner}`, which owns them",
                tree.key_span(name),
                labels=(Label(linked.nodes[name].span, f"only calls `{owner}`"),),
                help=f"remove it: in checkpoints the weights stand once, under the prefix of `{owner}`",
            )
    for node in linked.nodes.values():
        if not node.owner:
            _check_names(node, problems)


def _check_names(node: Linked, problems: Problems) -> None:
    written = []
    for where in ("names", "leading"):
        named = node.settings.tree.get("checkpoint", where)
        written += [(where, key, named.key_span(key)) for key, _ in named.items()] if named else []
    for where in ("by_head", "transposed", "interleaved", "flat", "square", "scalars", "rows"):
        listed = node.settings.tree.get("checkpoint", where)
        written += [(where, str(each.value), each.span) for each in listed.elements()] if listed else []
    sublayers = {name for name, _ in ports_of(node.settings)}
    modules = component(node.kind, node.type).modules | sublayer_modules(sublayers)
    modules |= segment_modules(modules, segment_names(node.settings)) | frozenset(segment_names(node.settings))
    for where, key, span in written:
        stem, _, leaf = key.rpartition(".")
        meant = (key, stem) if leaf in _LEAVES else (key,)
        numbered = any(part.isdigit() for part in key.split("."))
        known = any(each in modules or any(fnmatchcase(each, pattern) for pattern in modules) for each in meant)
        if numbered or not known:
            problems.clash(
                "unknown-module",
                f"`checkpoint.{where}` of `{node.name}` names `{key}`, and {node.kind}/{node.type} has no such module",
                Label(span, "no such module"),
                Label(node.span, "in this node"),
                help=suggestion(meant[-1], sorted(modules), "module"),
            )


_LEAVES = ("weight", "bias")
_MOST = 4
