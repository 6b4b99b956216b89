"""How commands are run in these tests, and what they are run on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

BROKEN = "nodes.vision.headz=3"  # a setting that makes any graph wrong
PHOTO = Path(__file__).parents[2] / "docs/images/cat.jpg"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Cli: TypeAlias = Callable[..., Done]


def process(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command line in a process of its own, which at its end says on stderr what it imported."""
    script = (
        "import sys\n"
        "from importlib.metadata import entry_points\n"
        "(script,) = entry_points(group='console_scripts', name='graphvlm')\n"
        "code = script.load()(sys.argv[1:])\n"
        "print('imported', *sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    command = [sys.executable, "-P", "-c", script, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)
