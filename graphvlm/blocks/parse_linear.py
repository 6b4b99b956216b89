"""From the settings of a linear attention to a `Delta`; what no layer reads of an attention is reported here."""

from __future__ import annotations

from collections.abc import Iterator

from ..diagnostics import Label, Span
from ..problems import Problems
from ..settings import Settings
from ..spec import Inferred
from ..words import listed
from .parse_attention import divisors, either
from .parse_norm import make_norm, norm_settings
from .settings_linear import Delta, Fading, Linear
from .settings_norm import Norm


def is_linear(settings: Settings) -> bool:
    """Whether the attention of a layer is linear."""
    return settings.has("attention", "linear")


def parse_linear(settings: Settings, inferred: Inferred, norm: Norm, problems: Problems) -> Linear | None:
    """The linear attention of a layer; its norm is as in the layer unless it says otherwise, without an offset."""
    if settings.has("norm", "place"):
        problems.error(
            "bad-norm-place",
            f"the norm of the linear attention of `{inferred.node}` stands in one place only",
            settings.span("norm", "place"),
            help="remove `place`",
        )
        return None
    own = make_norm(norm_settings({"type": norm.type, "eps": norm.eps}, settings.get("norm")))
    if settings.get("rule", default="delta") == "fading":
        return _fading(settings, inferred.node, own, problems)
    return _delta(settings, inferred, own, problems)


def _fading(settings: Settings, node: str, norm: Norm, problems: Problems) -> Fading | None:
    """States that only fade: each head has one, and nothing stands before queries and keys."""
    heads = int(settings.get("key_heads"))
    more = ("value_heads",) if settings.get("value_heads", default=heads) != heads else ()
    unread = next((key for key in (*more, "conv", "beta_max") if settings.has(key)), None)
    if unread is not None:
        problems.clash(
            "unread-setting",
            f"`{unread}` of the linear attention of `{node}` is of the delta rule",
            Label(settings.span(unread), "not read"),
            *settings.labels("rule", text="states only fade"),
            help=f"remove `{unread}`",
        )
        return None
    return Fading(
        heads=heads,
        key_dim=int(settings.get("key_dim")),
        value_dim=int(settings.get("value_dim", default=settings.get("key_dim"))),
        activation=settings.get("activation", default="silu"),
        norm=norm,
    )


def _delta(settings: Settings, inferred: Inferred, norm: Norm, problems: Problems) -> Delta | None:
    key_heads = int(settings.get("key_heads"))
    value_heads = int(settings.get("value_heads", default=key_heads))
    key_dim = int(settings.get("key_dim"))
    if value_heads % key_heads:
        problems.clash(
            "heads-not-divisible",
            f"the {value_heads} value heads of `{inferred.node}` cannot share {key_heads} query and key heads evenly",
            Label(settings.span("key_heads"), f"does not divide {value_heads}"),
            *settings.labels("value_heads", text=f"{value_heads} value heads"),
            help=f"set `key_heads` to {either(divisors(value_heads))}",
        )
        return None
    return Delta(
        key_heads=key_heads,
        value_heads=value_heads,
        key_dim=key_dim,
        value_dim=int(settings.get("value_dim", default=key_dim)),
        conv=int(settings.get("conv", default=4)),
        activation=settings.get("activation", default="silu"),
        beta_max=float(settings.get("beta_max", default=1.0)),
        norm=norm,
    )


def check_unread(node: str, entry: Settings, layers: list[Settings], problems: Problems) -> None:
    """Note what an entry of `where` says to `layers` that all have linear attention, which does not read it."""
    unread = dict(_unread(entry))
    if not unread or not layers or not all(map(is_linear, layers)):
        return
    names, one = listed(unread), len(unread) == 1
    problems.clash(
        "linear-conflict",
        f"{names} of `{node}` {'is' if one else 'are'} for layers that all have linear attention, "
        f"which does not read {'it' if one else 'them'}",
        *(Label(span, "not read") for span in unread.values()),
        Label(layers[0].span("attention", "linear"), "linear attention"),
        help=f"remove {names}",
    )


def _unread(entry: Settings) -> Iterator[tuple[str, Span]]:
    """What an entry sets of an attention, or of rotary positions."""
    tree = entry.tree.get("attention")
    for key, value in tree.items() if tree else ():
        if key not in _READ and value.value is not None:
            yield f"attention.{key}", value.span
    if isinstance(entry.get("position"), dict):
        yield "position", entry.span("position")


_READ = ("linear", "norm", "residual", "use")
