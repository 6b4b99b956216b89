"""Results as Markdown for people and JSON for scripts, with the machine they come from."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .timing import OtherLoad, Ratio

RESULTS = Path(__file__).parent / "results"
CPU_INFO = Path("/proc/cpuinfo")

Cell = str | int | float | Ratio | None


@dataclass(frozen=True, slots=True)
class Goal:
    """What a cell of a table should be at least (or at most)."""

    column: str
    limit: float
    at_most: bool = False
    rows: tuple[str, ...] = ()

    def covers(self, column: str, row: str) -> bool:
        """Whether the goal is about this cell."""
        return column == self.column and (not self.rows or row in self.rows)

    def met(self, value: float) -> bool:
        """Whether a value is good enough."""
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        where = f" ({', '.join(self.rows)})" if self.rows else ""
        return f"{self.column} {'<=' if self.at_most else '>='} {self.limit:g}{where}"


@dataclass(slots=True)
class Table:
    """One table. The first cell of a row is its name; a cell that misses its goal is set in bold with a cross."""

    title: str
    columns: Sequence[str]
    notes: str = ""
    goals: tuple[Goal, ...] = ()
    rows: list[Sequence[Cell]] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        """Append a row."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(cells)

    def markdown(self) -> str:
        """The table as a section of Markdown."""
        lines = [f"## {self.title}", ""]
        if self.notes:
            lines += [self.notes, ""]
        lines += [_line(self.columns), _line(["---"] * len(self.columns))]
        lines += [_line([self._shown(row, index) for index in range(len(row))]) for row in self.rows]
        if self.goals:
            lines += ["", f"Goals: {'; '.join(map(str, self.goals))}."]
        return "\n".join(lines) + "\n"

    def plain(self) -> dict[str, Any]:
        """The table as values for JSON."""
        rows = [
            {
                name: asdict(cell) if isinstance(cell, Ratio) else cell
                for name, cell in zip(self.columns, row, strict=True)
            }
            for row in self.rows
        ]
        return {"title": self.title, "goals": [asdict(goal) for goal in self.goals], "rows": rows}

    def missed(self) -> list[str]:
        """The cells that miss their goals."""
        return [
            f"{self.title}: {row[0]}, {self.columns[index]}: {_text(cell)}"
            for row in self.rows
            for index, cell in enumerate(row)
            if self._misses(row, index)
        ]

    def _misses(self, row: Sequence[Cell], index: int) -> bool:
        cell = row[index]
        value = cell.median if isinstance(cell, Ratio) else cell
        if not isinstance(value, int | float):
            return False
        return any(goal.covers(self.columns[index], str(row[0])) and not goal.met(value) for goal in self.goals)

    def _shown(self, row: Sequence[Cell], index: int) -> str:
        text = _text(row[index])
        return f"**{text} ✗**" if self._misses(row, index) else text


def machine() -> dict[str, str]:
    """What the numbers depend on: processor, cores and versions; nothing that names the machine."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
    }


def write(name: str, intro: str, tables: Sequence[Table], load: OtherLoad, out: Path | None = None) -> None:
    """Write results/`name`.md and .json, and show the tables."""
    folder = out or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    cores = load.cores()
    about = machine() | ({} if cores is None else {"cores busy with other processes": f"{cores:.2f}"})
    head = "\n".join([f"# {intro}", "", ", ".join(f"{key} {value}" for key, value in about.items()) + ".", ""])
    text = "\n".join([head, *(table.markdown() for table in tables)])
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    plain = {"machine": about, "tables": [table.plain() for table in tables]}
    (folder / f"{name}.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(text)
    missed = [cell for table in tables for cell in table.missed()]
    sys.stdout.write("\n".join(["", f"{len(missed)} cells miss their goals", *missed, ""]))


def _processor() -> str:
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}" if abs(cell) < 0.1 else f"{cell:.2f}"
    return str(cell)
