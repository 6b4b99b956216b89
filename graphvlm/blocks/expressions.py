"""Python expressions of block options, and the config fields that they read."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from ..code import WIDTH, Field, display, literal
from .settings import LayerKind
from .settings_norm import Norm

_ACTIVATIONS = {
    "gelu": "F.gelu({})",
    "gelu_tanh": 'F.gelu({}, approximate="tanh")',
    "quick_gelu": "quick_gelu({})",
    "silu": "F.silu({})",
    "relu": "F.relu({})",
    "relu2": "F.relu({}).square()",
}


def activated(name: str, value: str) -> str:
    """An activation applied to the expression `value`."""
    return _ACTIVATIONS[name].format(value)


def activation(name: str) -> Callable[[str], str]:
    """A function from an expression to the expression with the activation around it."""
    return _ACTIVATIONS[name].format


class Fields:
    """Config fields as they are met; a later kind of layer shares a field whose value is the same."""

    def __init__(self, found: tuple[Field, ...] = ()) -> None:
        self.found: dict[str, Field] = {field.name: field for field in found}
        self._names: dict[tuple[str, str], str] = {}

    def add(self, name: str, value: int | float, prefix: str = "") -> str:
        """The expression that reads the field."""
        text = literal(value)
        known = self.found.get(name)
        own = name if known is None or known.value == text else f"{prefix}_{name}"
        own = self._names.setdefault((name, text), self._free(own, text))
        self.found[own] = Field(own, "float" if isinstance(value, float) else "int", text)
        return f"config.{own}"

    def _free(self, name: str, text: str) -> str:
        """`name`, with a number where it is that of a field with another value."""
        number, found = 2, name
        while found in self.found and self.found[found].value != text:
            found, number = f"{name}_{number}", number + 1
        return found

    def eps(self, norm: Norm, kind: LayerKind, name: str = "norm_eps") -> str:
        """The expression for the eps of a norm; most are the same."""
        shared = self.found.get("norm_eps")
        if shared is not None and shared.value == literal(norm.eps):
            return "config.norm_eps"
        return self.add(name, norm.eps, kind.name)


def norm_expression(norm: Norm, dim: str, eps: str) -> str:
    """The constructor of a norm `dim` wide."""
    learned = "" if norm.weight else ", elementwise_affine=False"
    if norm.type == "rms":
        kind = "OffsetRMSNorm" if norm.unit_offset else "nn.RMSNorm"
    else:
        kind, learned = "nn.LayerNorm", learned or ("" if norm.bias else ", bias=False")
    return f"{f'Parted({kind}, ' if norm.by else f'{kind}('}{dim}, eps={eps}{learned})"


def bias_argument(bias: bool) -> str:
    """The last argument of an `nn.Linear`; a bias is what it has by itself."""
    return "" if bias else ", bias=False"


def norm_field(stack_fields: tuple[Field, ...], norm: Norm, name: str) -> tuple[str, tuple[Field, ...]]:
    """The expression for the eps of a norm outside the blocks, and the fields with it in."""
    fields = Fields(stack_fields)
    shared = fields.found.get("norm_eps")
    if shared is not None and shared.value == literal(norm.eps):
        return "config.norm_eps", stack_fields
    expression = fields.add(name, norm.eps)
    return expression, tuple(fields.found.values())


def outer_norm(fields: tuple[Field, ...], norm: Norm | None) -> tuple[str, tuple[Field, ...]]:
    """The constructor of a norm outside the blocks, nothing where there is none, and the fields with its eps in."""
    if norm is None:
        return "", fields
    eps, fields = norm_field(fields, norm, "outer_norm_eps")
    return norm_expression(norm, "config.dim", eps), fields


def pattern(head: str, items: list[str], indent: int) -> str:
    """`head` and a tuple display, short for a long list with runs or a period: `(*[Dense] * 3, *[Sparse] * 58)`."""
    runs = _runs(items)
    if len(runs) <= _FEW_RUNS:
        return display(head, _elements(runs), "()", indent)
    for period in range(2, len(items) // 2 + 1):
        if all(items[i] == items[i % period] for i in range(len(items))):
            whole, rest = divmod(len(items), period)
            once = ", ".join(items[:period])
            if rest:
                return display(head, (f"*[{once}] * {whole}", *_elements(_runs(items[:rest]))), "()", indent)
            line = f"{' ' * indent}{head}({once}) * {whole}"
            return line if len(line) <= WIDTH else display(head, tuple(items), "()", indent)
    return display(head, _elements(runs), "()", indent)


_FEW_RUNS = 4


def _elements(runs: list[tuple[str, int]]) -> tuple[str, ...]:
    return tuple(item if count == 1 else f"*[{item}] * {count}" for item, count in runs)


def _runs(items: list[str]) -> list[tuple[str, int]]:
    return [(item, len(list(group))) for item, group in groupby(items)]


def pattern_field(name: str, values: list[str], item: str) -> Field:
    """A field that has a value for each layer."""
    head = f"{name}: tuple[{item}, ...] = "
    line = pattern(head, values, 4)
    return Field(name, f"tuple[{item}, ...]", line.lstrip().removeprefix(head))
