"""Explain a diagnostic: what it means, a graph that has it, and the same graph put right."""

from __future__ import annotations

import argparse
import dataclasses
import json

from graphvlm.diagnostics import did_you_mean
from graphvlm.rules import RULES, explain

from .console import UsageError

EXAMPLES = """
    graphvlm explain                    # all of them, a line each
    graphvlm explain shape-mismatch
    graphvlm explain --format json
"""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "rule", metavar="RULE", nargs="?", help="the name in brackets of a diagnostic (default: list all)"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="(default: text)")


def run(args: argparse.Namespace) -> int:
    if args.rule and args.rule not in RULES:
        hint = did_you_mean(args.rule, RULES) or "`graphvlm explain` lists them"
        raise UsageError(f"there is no diagnostic `{args.rule}`; {hint}")
    chosen = [RULES[args.rule]] if args.rule else list(RULES.values())
    if args.format == "json":
        pages = [dataclasses.asdict(rule) for rule in chosen]
        print(json.dumps(pages[0] if args.rule else pages, indent=2))
    elif args.rule:
        print(explain(args.rule), end="")
    else:
        width = max(map(len, RULES), default=0)
        print("\n".join(f"{rule.name:{width}}  {rule.summary}" for rule in chosen))
    return 0
