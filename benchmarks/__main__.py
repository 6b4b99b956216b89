"""All tables, one after the other, each in a process of its own: `python -m benchmarks`."""

from __future__ import annotations

import subprocess
import sys
import time

# What needs a quiet machine most comes first.
TABLES = ("prefill_decode", "train_step", "compile", "deployed", "imports", "compiler")


def main() -> int:
    """Run every table with the options of the command line; the exit code says whether all ran."""
    failed = []
    for name in TABLES:
        start = time.perf_counter()
        if subprocess.call([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]]):
            failed.append(name)
        print(f"\n{name}: {time.perf_counter() - start:.0f} s\n", file=sys.stderr, flush=True)
    if failed:
        print(f"did not finish: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
