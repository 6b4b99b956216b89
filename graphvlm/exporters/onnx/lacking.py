"""Operations of torch that ONNX has not: found one by one, and stood in for, so that all of them are named at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import torch

DOMAIN = "torch"


def lacked(problem: BaseException) -> Any:
    """The operation that torch found no translation of, or None if it failed for another reason."""
    each: BaseException | None = problem
    while each is not None:
        found = re.search(r"No ONNX function found for <OpOverload\(op='(\w+)\.(\w+)', overload='(\w+)'\)>", str(each))
        if found:
            space, name, overload = found.groups()
            return getattr(getattr(getattr(torch.ops, space), name), overload)
        each = each.__cause__
    return None


def stand_in(operation: Any) -> Callable[..., Any]:
    """A translation of an operation: an operator of its name and of no known domain, with as many outputs."""
    import onnx
    import onnxscript

    schema, parameter = onnx.defs.OpSchema, onnx.defs.OpSchema.FormalParameter
    name = str(operation).removesuffix(".default")
    outputs = [f"output_{number}" for number in range(len(operation._schema.returns))]
    operator = onnxscript.values.Op(
        onnxscript.values.Opset(DOMAIN, 1),
        name,
        schema(
            name,
            DOMAIN,
            1,
            inputs=[
                parameter(
                    "inputs",
                    "Any",
                    param_option=schema.FormalParameterOption.Variadic,
                    is_homogeneous=False,
                    min_arity=0,
                )
            ],
            outputs=[parameter(name, f"Of_{name}") for name in outputs],
            type_constraints=[("Any", _TYPES, ""), *((f"Of_{name}", _TYPES, "") for name in outputs)],
        ),
    )
    return lambda *given, **_: operator(*(each for each in given if hasattr(each, "dtype")))


def lacking(operators: Iterable[str]) -> tuple[str, ...]:
    """Those of a model that stand in for operations that ONNX has not."""
    return tuple(sorted({name for name in operators if name.startswith(f"{DOMAIN}::")}))


_TYPES = [f"tensor({kind})" for kind in ("float", "float16", "bfloat16", "double", "int64", "int32", "bool")]
