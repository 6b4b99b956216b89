"""From the settings of a feed-forward to an `Mlp`, of one network or of many experts; routing is checked here."""

from __future__ import annotations

from ..diagnostics import Label
from ..problems import Problems
from ..settings import Settings
from .experts import Moe, Router
from .settings import Mlp


def parse_mlp(settings: Settings, node: str, *, bias: bool, problems: Problems) -> Mlp | None:
    """The feed-forward part of a layer; `bias` is what it has unless it says so."""
    moe = _parse_moe(settings.child("moe")) if settings.has("moe") else None
    mlp = Mlp(
        hidden=int(settings.get("hidden")),
        activation=settings.get("activation", default="gelu"),
        gated=bool(settings.get("gated", default=False)),
        bias=bool(settings.get("bias", default=bias and moe is None)),
        moe=moe,
        clamp=None if settings.get("clamp") is None else float(settings.get("clamp")),
        up_offset=float(settings.get("up_offset", default=0.0)),
    )
    if not _check_gate(settings, mlp, node, problems):
        return None
    return mlp if moe is None or _check_routing(settings, mlp, moe, node, problems) else None


def _check_gate(settings: Settings, mlp: Mlp, node: str, problems: Problems) -> bool:
    """Whether what only a gated feed-forward reads stands in one."""
    unread = [key for key in ("clamp", "up_offset") if settings.get(key) and not mlp.gated]
    for key in unread:
        message = f"`mlp.{key}` of `{node}` is of the product of a gate, and there is none"
        problems.error("unread-setting", message, settings.span(key), help=f"remove `{key}`, or write `gated: true`")
    return not unread


def _parse_moe(settings: Settings) -> Moe:
    router, groups = settings.child("router"), int(settings.get("router", "groups", default=1))
    experts = int(settings.get("experts"))
    choosing = router.get("chooses") == "expert"
    return Moe(
        experts=experts,
        top=int(settings.get("top", default=1)),
        router=Router(
            score=router.get("score", default="softmax"),
            bias=bool(router.get("bias", default=False)),
            groups=groups,
            top_groups=int(router.get("top_groups", default=groups)),
            group_score=router.get("group_score", default="max"),
            normalize=bool(router.get("normalize", default=False)),
            scale=float(router.get("scale", default=1.0)),
            projection_bias=bool(router.get("projection_bias", default=False)),
            apply=router.get("apply", default="output"),
            capacity=float(router.get("capacity", default=1 / experts)) if choosing else None,
            noise=router.get("noise") == "gumbel",
        ),
        shared=settings.get("shared", "hidden"),
        shared_gate=settings.get("shared", "gate", default="none") == "sigmoid",
    )


def _check_routing(settings: Settings, mlp: Mlp, moe: Moe, node: str, problems: Problems) -> bool:
    """Whether every token can find as many experts as it takes."""
    if not _check_chooser(settings.child("moe"), moe, node, problems):
        return False
    fault = _routing_fault(moe)
    if fault is None:
        return _check_groups(settings.child("moe", "router"), moe.router, node, problems)
    path, why, edit = fault
    message = f"`mlp.{'.'.join(path)}` of `{node}` {why}"
    others = settings.labels("moe", "experts", text=f"{moe.experts} experts") if path[-1] != "experts" else ()
    problems.clash("bad-routing", message, Label(settings.span(*path), "cannot be"), *others, help=edit)
    return False


# What tokens that choose read and experts do not, and the other way round.
_OF_TOKENS = ("bias", "groups", "top_groups", "group_score", "normalize", "apply")
_OF_EXPERTS = ("capacity", "noise")


def _check_chooser(settings: Settings, moe: Moe, node: str, problems: Problems) -> bool:
    """Whether everything that is said of the router is read by those who choose."""
    choosing = moe.router.capacity is not None
    keys = [("router", key) for key in (_OF_TOKENS if choosing else _OF_EXPERTS)] + [("top",)] * choosing
    path = next((path for path in keys if settings.get(*path)), None)
    if path is None:
        return True
    who = "experts choose their tokens" if choosing else "tokens choose their experts"
    problems.clash(
        "unread-setting",
        f"`moe.{'.'.join(path)}` of `{node}` is not read where {who}",
        Label(settings.span(*path), "not read"),
        *settings.labels("router", "chooses", text=who),
        help=f"remove `{path[-1]}`, or {'`chooses: expert`' if choosing else 'write `chooses: expert`'}",
    )
    return False


def _check_groups(settings: Settings, router: Router, node: str, problems: Problems) -> bool:
    """Whether what is said of groups has a say."""
    key = next((key for key in ("group_score", "groups") if settings.has(key)), "")
    if not key or router.top_groups < router.groups or (key == "groups" and router.groups == 1):
        return True
    problems.clash(
        "unread-setting",
        f"`mlp.moe.router.{key}` of `{node}` changes nothing: a token chooses among all groups",
        Label(settings.span(key), "not read"),
        *settings.labels("top_groups", text=f"{router.top_groups} of {router.groups} groups"),
        help=f"remove `{key}`, or write `top_groups` with a number below {router.groups}"
        if router.groups > 1
        else f"remove `{key}`, or write `groups` and `top_groups`",
    )
    return False


def _routing_fault(moe: Moe) -> tuple[tuple[str, ...], str, str] | None:
    """(where, why, an edit) of the first thing that cannot be."""
    if moe.top > moe.experts:
        why = f"asks for {moe.top} experts of {moe.experts}"
        return ("moe", "top"), why, f"write a number of at most {moe.experts}"
    return _group_fault(moe)


def _group_fault(moe: Moe) -> tuple[tuple[str, ...], str, str] | None:
    router, size = moe.router, moe.experts // moe.router.groups
    if moe.experts % router.groups:
        why = f"makes {router.groups} groups of {moe.experts} experts, which do not divide evenly"
        return ("moe", "router", "groups"), why, f"write a divisor of {moe.experts}"
    if router.top_groups > router.groups:
        why = f"asks for {router.top_groups} groups of {router.groups}"
        return ("moe", "router", "top_groups"), why, f"write a number of at most {router.groups}"
    if moe.top > router.top_groups * size:
        why = f"asks for {moe.top} experts, and {router.top_groups} of the {router.groups} groups hold {size} each"
        return ("moe", "top"), why, f"write at most {router.top_groups * size}, or more `top_groups`"
    if router.group_score == "top2" and size < _PAIR:
        why = "is `top2`, and a group has one expert"
        return ("moe", "router", "group_score"), why, "write `max`, or fewer `groups`"
    return None


_PAIR = 2
