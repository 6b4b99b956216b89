"""The command line that all tables share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure, how often, with how many threads, and where to write it."""

    rounds: int
    configs: tuple[str, ...]
    threads: int
    quick: bool
    out: Path | None


def parse(description: str | None, configs: Sequence[str] = (), toy: str = "toy") -> Options:
    """Read the command line. `--quick` is a smoke test: the size `toy`, two rounds, numbers without meaning."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of every contender (default: {ROUNDS})")
    if configs:
        parser.add_argument("--configs", default=",".join(configs), help="sizes, with commas (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    parser.add_argument("--quick", action="store_true", help="a smoke test: a toy size, two rounds")
    parser.add_argument("--out", type=Path, help="folder of the results (default: benchmarks/results)")
    args = parser.parse_args()
    chosen = tuple(args.configs.split(",")) if configs else ()
    if args.quick:
        chosen = (toy,) if configs else ()
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    return Options(2 if args.quick else args.rounds, chosen, args.threads, args.quick, args.out)
