"""The language reference, in Markdown, from the schemas: what stands in `docs/reference.md`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .schema_files import SUFFIX, Schema, at, components, flat, load, stems, target
from .schema_words import flow, takes

_INTRODUCTION = """\
# Language reference

Generated from the JSON Schemas in `schemas/`, which are also what `graphvlm check` and editors read. Do not edit.

A graph is one YAML file. In any mapping, `use` names a part to start from: `<kind>/<part>` of the catalog
(`graphvlm list`), or a `.yaml` file relative to the one it is written in. The keys beside it are merged over the part,
mapping by mapping; lists are replaced. `extends` does the same for a whole graph. More files and `dotted.key=value` on
the command line are merged on top, in order. `null` removes a key.

In the tables, *required* means: after all of that. A key without default and not required is inferred, or left out.

For completion and checks in an editor with the YAML language server, begin a file with

```yaml
# yaml-language-server: $schema=../schemas/graph.schema.json
```
"""

_OF_A_NODE = ("kind", "type", "use", "inputs", "description", "source")


def reference() -> str:
    """The whole document."""
    parts = [
        _INTRODUCTION,
        "## A graph\n",
        _section("graph", skip=()),
        "## Nodes\n",
        "Every node has these keys, and those of its component, which `kind` and `type` name.\n",
        _table(_rows(load("node")["$defs"]["written"], "node", ())),
        f"### another call\n\n{_section('call', skip=_OF_A_NODE)}",
        *(f"### {stem}\n\n{_section(stem, skip=(*_OF_A_NODE, 'checkpoint'))}" for stem in _components()),
        "## Blocks\n",
        "Settings that components share.\n",
        *(f"### {stem.partition('/')[2]}\n\n{_section(stem, skip=())}" for stem in _blocks()),
        "## Checkpoints\n",
        "How the weights of a reference implementation are called, so that its checkpoints can be read and written.\n",
        "### checkpoint of a node\n",
        _table(_rows(load("checkpoint")["$defs"]["node"], "checkpoint", ())),
        "### checkpoint of a graph\n",
        _table(_rows(load("checkpoint")["$defs"]["graph"], "checkpoint", ())),
        "## Names used elsewhere\n",
        "What other projects call a key. `graphvlm check` knows them and says what to write instead.\n",
        _other_names(),
    ]
    return "\n".join(parts)


def _components() -> list[str]:
    return [f"{kind}/{type_}" for kind, types in components().items() for type_ in types]


def _blocks() -> list[str]:
    return [stem for stem in stems() if stem.startswith("blocks/") and "description" in load(stem) and _is_block(stem)]


def _is_block(stem: str) -> bool:
    return "type" in load(stem) or "anyOf" in load(stem)


def _section(stem: str, skip: Iterable[str]) -> str:
    schema = load(stem)
    return f"{schema['description']}\n\n{_table(_rows(schema, stem, skip))}{_example(schema)}"


def _example(schema: Schema) -> str:
    written = [f"{schema['title']}: {flow(each)}" for each in schema.get("examples", ())]
    return "\n```yaml\n" + "\n".join(written) + "\n```\n" if written else ""


def _table(rows: Iterable[tuple[str, str, str, str]]) -> str:
    lines = [" | ".join(("", *(cell.replace("|", "\\|") for cell in row), "")).strip() for row in rows]
    return "\n".join(("| key | takes | default | meaning |", "|---|---|---|---|", *lines, ""))


def _rows(schema: Schema, stem: str, skip: Iterable[str], above: str = "") -> Iterator[tuple[str, str, str, str]]:
    """One row for each key that may be written in a mapping, those of the mappings inside it included."""
    needed = _needed(schema, stem)
    for form, file, inside in _forms(schema, stem):
        for key, raw in form.get("properties", {}).items():
            if key in skip or (key == "use" and stem != "node"):
                continue
            inner, inner_file = _resolved(raw, file)
            block = _link(raw, file)
            default = "required" if key in needed else f"`{flow(inner['default'])}`" if "default" in inner else ""
            link = block or _link(inner.get("additionalProperties"), inner_file)
            name = f"{above}{inside}{key}".replace(".[", "[")
            yield f"`{name}`", _takes(flat(raw, file)) + link, default, inner.get("description", "")
            if not block:
                yield from _rows(inner, inner_file, (), f"{above}{inside}{key}.")


def _takes(schema: Schema) -> str:
    words = takes(schema, bounds=True)
    values = schema.get("additionalProperties")
    if isinstance(values, dict) and values.get("type") != "object":
        key = schema.get("propertyNames", {}).get("title", "text")
        words = f"a mapping from {key} to {takes(values, bounds=True)}"
    return words


def _forms(schema: Schema, stem: str, inside: str = "") -> Iterator[tuple[Schema, str, str]]:
    """A value as a mapping: itself, its long form, elements of a list, entries of a mapping; each with its name."""
    yield schema, stem, inside
    title = _resolved(schema.get("propertyNames", {}), stem)[0].get("title", "key")
    below = [*((form, inside) for form in schema.get("anyOf", ())), (schema.get("items"), "[]." + inside)]
    for raw, within in (*below, (schema.get("additionalProperties"), f"<{title}>.{inside}")):
        if isinstance(raw, dict) and not _link(raw, stem):
            yield from _forms(*_resolved(raw, stem), within)


def _needed(schema: Schema, stem: str) -> list[str]:
    complete, _ = _resolved(schema.get("then", {}), stem)
    complete = schema.get("$defs", {}).get("complete", complete)
    needed: list[str] = [*schema.get("required", ()), *complete.get("then", complete).get("required", ())]
    return needed


def _resolved(schema: Schema, stem: str) -> tuple[Schema, str]:
    while "$ref" in schema:
        file, steps = target(schema["$ref"], stem)
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        schema, stem = {**at(file, steps), **rest}, file
    return schema, stem


def _link(schema: Any, stem: str) -> str:
    """A link to the section of a block, if the schema is one."""
    if not isinstance(schema, dict) or not str(schema.get("$ref", "")).split("#")[0].endswith(SUFFIX):
        return ""
    file, steps = target(schema["$ref"], stem)
    if file == "node":
        return ", see [nodes](#nodes)"
    if file == "checkpoint":
        return f", see [checkpoint](#checkpoint-of-a-{steps[-1]})"
    name = file.partition("/")[2]
    return f", see [{name}](#{name})" if file.startswith("blocks/") and not steps else ""


def _other_names() -> str:
    names: dict[str, dict[str, None]] = {}
    for stem in ("graph", *_components(), *_blocks()):
        above = "" if stem == "graph" else stem.removeprefix("blocks/") + "."
        for owner, schema in _keys(load(stem), stem, above):
            for name in schema.get("x-other-names", ()):
                names.setdefault(name, {})[f"`{owner}`"] = None
    lines = [f"| `{name}` | {', '.join(owners)} |" for name, owners in sorted(names.items())]
    return "\n".join(("| elsewhere | here |", "|---|---|", *lines, ""))


def _keys(schema: Schema, stem: str, above: str) -> Iterator[tuple[str, Schema]]:
    for form, file, inside in _forms(schema, stem):
        for key, raw in form.get("properties", {}).items():
            inner, inner_file = _resolved(raw, file)
            if not inside or not _link(raw, file):  # of a block in a list, the block itself is listed
                yield f"{above}{inside}{key}", inner
            if not _link(raw, file):
                yield from _keys(inner, inner_file, f"{above}{inside}{key}.")
