"""The language as JSON Schema in one piece, and the one schema file that is derived from the others.

`bundle` is what `graphvlm schema` prints. `node` is what stands in `schemas/node.schema.json`: it lists every component
and is generated, so that adding a component stays a matter of adding its files.
"""

from __future__ import annotations

from typing import Any

from .schema_files import SUFFIX, Schema, components, flat, load, stems, target
from .schema_reference import reference

__all__ = ["DIALECT", "bundle", "node", "reference"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_COMMON = ("kind", "type", "use", "inputs", "description", "source")
_NOTES = frozenset(("title", "description", "default", "examples", "x-other-names"))
_NO_PART: Schema = {"not": {"required": ["use"]}}
_CALLS: Schema = {"required": ["module"]}


def bundle() -> Schema:
    """The schema of a graph file, which refers to nothing outside itself."""
    graph = _inlined(load("graph"), "graph")
    files = {_name(stem): _inlined(load(stem), stem) for stem in stems() if stem != "graph"}
    for schema in files.values():
        del schema["$schema"]
    return {**graph, "$defs": {**graph["$defs"], **files}}


def node() -> Schema:
    """The schema of one node, as in `schemas/node.schema.json`: picks that of its component by `kind` and `type`."""
    common = f"blocks/common{SUFFIX}#/$defs/"
    properties: Schema = {key: {"$ref": common + key} for key in _COMMON}
    properties["kind"]["enum"] = list(components())
    properties["checkpoint"] = {"$ref": f"checkpoint{SUFFIX}#/$defs/node"}
    properties["module"] = {"$ref": f"call{SUFFIX}#/properties/module"}
    call = {"$ref": f"call{SUFFIX}"}
    written = {
        "description": "A part of the catalog (`use`) or a kind and type, settings and inputs; or `module` and inputs.",
        "type": "object",
        "properties": properties,
        "allOf": [{"if": _CALLS, "then": call}, *(rule for kind in components() for rule in _written(kind))],
    }
    pairs = [(kind, type_) for kind, types in components().items() for type_ in types]
    needed = [_when(kind, type_, f"{kind}/{type_}{SUFFIX}#/$defs/complete") for kind, type_ in pairs]
    component = {"required": ["kind", "type"], "allOf": needed}
    return {
        "$schema": DIALECT,
        "title": "node",
        "description": "A node of a graph, or a part of the catalog. Generated from the schemas of the components.",
        "allOf": [{"$ref": "#/$defs/written"}, {"$ref": "#/$defs/complete"}],
        "$defs": {
            "written": written,
            "complete": {"if": _NO_PART, "then": {"if": _CALLS, "else": component}},
            "called": {"allOf": [{"$ref": "#/$defs/complete"}, {"if": _NO_PART, "then": {"required": ["inputs"]}}]},
        },
    }


def _written(kind: str) -> list[Schema]:
    """What may be written in a node of this kind: the keys of its type, or of any type while a part supplies that."""
    types = components()[kind]
    of_kind = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
    part = {"properties": {"use": {"pattern": f"^{kind}/(?!.*[.]ya?ml$)"}}, "required": ["use"]}
    of_any = {"properties": _of_any_type(kind), "additionalProperties": False}
    return [
        {"if": of_kind, "then": {"properties": {"type": {"enum": list(types)}}}},
        *(_when(kind, type_, f"{kind}/{type_}{SUFFIX}") for type_ in types),
        {"if": {**part, "not": {"required": ["type"]}}, "then": of_any},
    ]


def _when(kind: str, type_: str, reference: str) -> Schema:
    keys = {"kind": {"const": kind}, "type": {"const": type_}}
    return {"if": {"properties": keys, "required": list(keys)}, "then": {"$ref": reference}}


def _of_any_type(kind: str) -> Schema:
    """Every key that some component of this kind has."""
    known: dict[str, list[tuple[Schema, Schema]]] = {}
    for type_ in components()[kind]:
        stem = f"{kind}/{type_}"
        for key, schema in load(stem)["properties"].items():
            meaning = {word: value for word, value in flat(schema, stem).items() if word not in _NOTES}
            meanings = known.setdefault(key, [])
            if key not in ("kind", "type") and all(meaning != other for other, _ in meanings):
                meanings.append((meaning, {"$ref": f"{stem}{SUFFIX}#/properties/{key}"}))
    references = {key: [reference for _, reference in meanings] for key, meanings in known.items()}
    return {key: each[0] if len(each) == 1 else ({"anyOf": each} if each else True) for key, each in references.items()}


def _name(stem: str) -> str:
    return stem.replace("/", ".")


def _inlined(schema: Any, stem: str) -> Any:
    """A copy of what stands in the file `stem`, with every reference leading into the bundle."""
    if isinstance(schema, list):
        return [_inlined(item, stem) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: _inlined(value, stem) for key, value in schema.items()}
    if isinstance(copy.get("$ref"), str):
        file, steps = target(copy["$ref"], stem)
        inside = steps if file == "graph" else ("$defs", _name(file), *steps)
        copy["$ref"] = "/".join(("#", *inside))
    return copy
