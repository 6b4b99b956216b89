"""Which layers of a stack a call runs: all of them, or some, entered with hidden states or with embeddings."""

from __future__ import annotations

from dataclasses import dataclass

from ..diagnostics import Label
from ..merging import merge
from ..problems import Problems
from ..settings import Settings
from .layer import path_of
from .parse_sublayers import mask_of, masks_of, port_of, ports_of


@dataclass(frozen=True, slots=True)
class Run:
    """Layers `first` to `end - 1` of `count`. Positions and the norm before the layers come first if it `embeds`."""

    first: int
    end: int
    count: int
    embeds: bool

    @property
    def last(self) -> bool:
        """Whether it goes through to the end: only there are a final norm and a head."""
        return self.end == self.count

    @property
    def whole(self) -> bool:
        """Whether it is the stack as it stands."""
        return self.embeds and self.first == 0 and self.last

    @property
    def method(self) -> str:
        """What the method of the generated module is called that runs these layers."""
        if self.whole:
            return "all_layers"
        start = f"from_layer_{self.first}" if self.first else "embedded" if not self.embeds else ""
        return "_".join(filter(None, (start, "" if self.last else f"to_layer_{self.end}")))

    @property
    def layers(self) -> str:
        """The layers as a slice of the list of all: empty for all, `[:6]`, `[6:]`, `[2:4]`."""
        if self.first == 0 and self.last:
            return ""
        return f"[{self.first or ''}:{'' if self.last else self.end}]"


def read_run(settings: Settings) -> Run:
    """What a node, or another call of it, runs. What is wrong with it is noted by `check_run`."""
    layers = settings.get("layers")
    count = int(layers["count"] if isinstance(layers, dict) else layers)
    called = settings.has("call")
    default = [0, count] if called else settings.get("layers", "run", default=[0, count])
    first, end = settings.get("call", "layers", default=default)
    return Run(first, end, count, bool(settings.get("call", "embed", default=first == 0)))


def check_run(node: str, settings: Settings, problems: Problems) -> bool:
    """Note layers that there are not, and embeddings that would come in behind the first layer."""
    run = read_run(settings)
    path = ("call", "layers") if settings.has("call", "layers") else ("layers", "run")
    if not 0 <= run.first < run.end <= run.count:
        problems.clash(
            "no-such-layer",
            f"`{node}` runs layers {run.first} to {run.end}; there are {run.count} layers, 0 to {run.count - 1}",
            Label(settings.span(*path), "the end is the layer after the last one"),
            *settings.labels("layers", text=f"{run.count} layers"),
            help=f"write `[first, end]` with first < end, and end at most {run.count}",
        )
        return False
    if run.embeds and run.first:
        problems.clash(
            "bad-embed",
            f"`{node}` starts at layer {run.first}, and positions and the first norm stand before layer 0",
            Label(settings.span("call", "embed"), "needs layer 0"),
            Label(settings.span(*path), f"from layer {run.first}"),
            help="remove `embed`, or let the call start at layer 0",
        )
        return False
    return True


def unread_ports(settings: Settings) -> frozenset[str]:
    """The ports of a stack, and their masks, that none of the layers of a call reads."""
    run, read = read_run(settings), set[str]()
    if run.first == 0 and run.last:
        return frozenset()
    every = set[str]()
    for layer in range(run.count):
        found = set(_ports_of_layer(settings, layer))
        every |= found
        if run.first <= layer < run.end:
            read |= found
    return frozenset(every - read)


def optional_ports(settings: Settings) -> frozenset[str]:
    """The ports that a call may leave open, since all that read them are then left out; and their masks."""
    readers = [(name, own) for name, own in ports_of(settings) if own.has("kv")]
    optional = {name for name, own in readers if own.get("optional")}
    kept = {port_of(own) for name, own in readers if name not in optional}
    found = {port_of(own): masks_of(own) for name, own in readers if name in optional and port_of(own) not in kept}
    return frozenset(each for port, masks in found.items() for each in (port, mask_of(port), *masks))


def _ports_of_layer(settings: Settings, layer: int) -> list[str]:
    """What the sublayers of one layer read besides its tokens."""
    where, tree = settings.tree.get("layers", "where"), settings.tree
    for entry in where.elements() if where else ():
        if _selects(Settings(entry), layer):
            tree = merge(tree, entry)
    merged = Settings(tree)
    usual = settings.get("layers").get("each", ["attn", "mlp"]) if settings.tree.get("layers", "count") else None
    found: list[str] = []
    for item in merged.get("each", default=usual or ["attn", "mlp"]):
        for name in [item] if isinstance(item, str) else item:
            own = merged.child(*path_of(name))
            if own.has("kv"):
                found += [port_of(own), mask_of(port_of(own)), *masks_of(own)]
    return found


def _selects(entry: Settings, layer: int) -> bool:
    """Whether an entry of `where` is about a layer."""
    if entry.has("every"):
        first = int(entry.get("from", default=0))
        return bool(layer >= first and (layer - first) % entry.get("every") == 0)
    if entry.has("range"):
        return layer in range(*entry.get("range"))
    return layer in entry.get("at", default=[])
