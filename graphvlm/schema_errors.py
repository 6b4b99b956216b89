"""From the errors of jsonschema to diagnostics: a rule, a message that stands alone, the place, an edit that helps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import names
from .diagnostics import Diagnostic, Span
from .schema_files import Schema
from .schema_hints import Hint, Path, Subject, hint
from .schema_words import (
    ABSENT,
    cast,
    clipped,
    dotted,
    edits,
    either,
    example,
    found,
    is_empty,
    is_of_type,
    nearest,
    options,
    quoted,
    takes,
    types,
)
from .tree import Tree

if TYPE_CHECKING:
    from jsonschema import ValidationError


@dataclass(frozen=True, slots=True)
class _Finding:
    """One error of jsonschema: `keyword: limit` of `schema` does not hold for `value`, which stands at `path`."""

    subject: Subject
    path: Path
    keyword: str
    limit: Any
    value: Any
    schema: Schema
    text: str
    is_key: bool

    @property
    def tree(self) -> Tree:
        return self.subject.tree.get(*self.path) or self.subject.tree

    @property
    def full(self) -> Path:
        return (*self.subject.path, *self.path)

    @property
    def name(self) -> str:
        """The place in words."""
        return f"`{dotted(self.full)}`" if self.full else "a graph"

    @property
    def key(self) -> str:
        """The innermost key, for examples."""
        return next((step for step in reversed(self.full) if isinstance(step, str)), "")

    def place(self) -> Span:
        """The place of the name of what is incomplete; an element of a list has none."""
        if not self.path:
            return self.subject.span
        parent, last = self.subject.tree.get(*self.path[:-1]), self.path[-1]
        return parent.key_span(last) if parent and isinstance(last, str) else self.tree.span


def diagnostics(subject: Subject, errors: Iterable[ValidationError]) -> Iterator[Diagnostic]:
    """Every error as a diagnostic. A key that is missing because it was misspelled is reported once."""
    findings = _one_per_value(_leaves(subject, errors))
    unknown = {(finding.path, key): finding for finding in reversed(findings) for key in _extra(finding)}
    meant: set[Path] = set()
    for (_, key), finding in unknown.items():
        hinted = hint(subject, finding.path, finding.schema, key)
        meant.update(hinted.paths)
        yield _unknown_key(finding, key, hinted)
    for finding in findings:
        missing = (*finding.path, finding.text) if finding.keyword == "required" else None
        if missing and any(path[: len(missing)] == missing for path in meant):
            continue
        if finding.keyword != "additionalProperties":
            yield _MESSAGES[finding.keyword](finding)


def _leaves(subject: Subject, errors: Iterable[ValidationError]) -> Iterator[_Finding]:
    """The errors themselves; of a value with a concise and a long form, those of the form that was meant."""
    for error in errors:
        meant = _meant(error) if error.validator == "anyOf" else None
        if meant is None:
            yield _finding(subject, error)
        else:
            yield from _leaves(subject, meant)


def _finding(subject: Subject, error: Any) -> _Finding:
    return _Finding(
        subject,
        tuple(error.absolute_path),
        error.validator,
        error.validator_value,
        error.instance,
        error.schema,
        error.message,
        "propertyNames" in error.absolute_schema_path,
    )


def _meant(error: ValidationError) -> list[ValidationError] | None:
    by_form: dict[object, list[ValidationError]] = {}
    for child in error.context or ():
        by_form.setdefault(child.schema_path[0], []).append(child)
    for form in by_form.values():
        if not any(child.validator in ("type", "enum") and not child.path for child in form):
            return form
    return None


def _one_per_value(findings: Iterable[_Finding]) -> list[_Finding]:
    """A value of the wrong type is not out of range as well."""
    kept: dict[object, _Finding] = {}
    for finding in sorted(findings, key=lambda finding: finding.keyword != "type"):
        whole = finding.keyword in ("additionalProperties", "required")
        what = finding.text if whole else finding.value if finding.is_key else ""
        kept.setdefault((finding.path, whole, finding.is_key, what), finding)
    return list(kept.values())


def _extra(finding: _Finding) -> list[str]:
    known = finding.schema.get("properties", {})
    closed = finding.keyword == "additionalProperties"
    return [key for key, _ in finding.tree.items() if key not in known] if closed else []


def _unknown_key(finding: _Finding, key: str, hinted: Hint) -> Diagnostic:
    keys = [f"`{name}`" for name in finding.schema["properties"] if name != "use"]
    owner = finding.name if finding.path or not finding.full else f"`{finding.subject.label}`"
    listed = f"the keys of {owner} are {', '.join(keys)}" if len(keys) > 1 else f"the only key of {owner} is {keys[0]}"
    message = f"{finding.name} has no key `{clipped(key)}`"
    return Diagnostic("unknown-key", message, finding.tree.key_span(key), help=edits(hinted.text, listed))


def _missing_key(finding: _Finding) -> Diagnostic:
    key = finding.text
    known: Schema = next((form["properties"] for form in options(finding.schema) if "properties" in form), {})
    empty = finding.tree.get(key)
    label = f" ({finding.subject.label})" if "/" in finding.subject.label and not finding.path else ""
    message = f"{finding.name}{label} needs `{key}`" + (", which is empty" if empty else "")
    span = finding.tree.key_span(key) if empty else finding.place()
    edit = "give it a value" if empty else f"add `{key}`"
    return Diagnostic("missing-key", message, span, help=edits(edit, example(key, known.get(key, {}))))


def _needs_one(finding: _Finding) -> Diagnostic:
    keys = [form["required"][0] for form in finding.limit]
    named = either(f"`{key}`" for key in keys)
    given = [key for key in keys if finding.value.get(key, ABSENT) is not ABSENT]
    if given:
        message = f"{finding.name} takes only one of {named}"
        return Diagnostic("bad-value", message, finding.tree.key_span(given[1]), help="remove all but one of them")
    return Diagnostic("missing-key", f"{finding.name} needs one of {named}", finding.place(), help=f"add {named}")


def _needs_other(finding: _Finding) -> Diagnostic:
    key, other = next((key, needs[0]) for key, needs in finding.limit.items() if key in finding.value)
    message = f"{finding.name} has `{key}`, which needs `{other}`"
    return Diagnostic("missing-key", message, finding.tree.key_span(key), help=f"add `{other}`, or remove `{key}`")


def _wrong_type(finding: _Finding) -> Diagnostic:
    value, schema = finding.value, finding.schema
    message = f"{finding.name} takes {takes(schema)}, not {found(value)}"
    edit = "write a value, or remove the key" if is_empty(value) else ""
    written = cast(value, schema) or example(finding.key, schema)
    return Diagnostic("wrong-type", message, finding.tree.span, help=edits(edit, written))


def _bad_value(finding: _Finding) -> Diagnostic:
    value, schema = finding.value, finding.schema
    shown = quoted(value) if isinstance(value, str) else found(value)
    message = f"{finding.name} takes {takes(schema)}, not {shown}"
    return Diagnostic("bad-value", message, finding.tree.span, help=nearest(value, schema) or cast(value, schema))


def _no_form(finding: _Finding) -> Diagnostic:
    """None of the concise and long forms of a value."""
    is_word = isinstance(finding.value, str) and is_of_type(finding.value, finding.schema)
    return _bad_value(finding) if is_word else _wrong_type(finding)


def _out_of_range(finding: _Finding) -> Diagnostic:
    limit, schema = finding.limit, finding.schema
    word = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}[finding.keyword]
    numbers = {**schema, "type": [name for name in types(schema) if name in ("integer", "number")]}
    message = f"{finding.name} takes {takes(numbers, bounds=True)}, not {found(finding.value)}"
    return Diagnostic("out-of-range", message, finding.tree.span, help=f"use {word} {limit:.15g}")


def _wrong_length(finding: _Finding) -> Diagnostic:
    schema, count = finding.schema, len(finding.value)
    low, high = schema.get("minItems", 0), schema.get("maxItems", 0)
    wanted = str(low) if low == high else f"at least {low}" if count < low else f"at most {high}"
    message = f"{finding.name} takes a list of {wanted}, not of {count}"
    return Diagnostic("out-of-range", message, finding.tree.span, help=example(finding.key, schema))


def _empty(finding: _Finding) -> Diagnostic:
    edit = edits("add at least one entry", example(finding.key, finding.schema))
    return Diagnostic("missing-key", f"{finding.name} is empty", finding.place(), help=edit)


def _bad_text(finding: _Finding) -> Diagnostic:
    """A text of the wrong form: a name if the schema says so, else a value."""
    text, schema = finding.value, finding.schema
    span = finding.tree.key_span(text) if finding.is_key else finding.tree.span
    if schema.get("pattern") == names.PATTERN:
        return bad_name(text, span)
    if finding.keyword == "maxLength":
        message = f"{finding.name} takes at most {finding.limit} characters"
        return Diagnostic("out-of-range", message, span, help="shorten it")
    message = f"{finding.name} cannot {'have a key' if finding.is_key else 'be'} {quoted(text)}"
    return Diagnostic("bad-value", message, span, help=example(finding.key, schema))


def bad_name(name: str, span: Span) -> Diagnostic:
    """A name of the wrong form."""
    form = "names begin with a lower-case letter and go on with lower-case letters, digits and `_`"
    short = f", at most {names.LONGEST} in all" if len(name) > names.LONGEST else ""
    edit = edits(f"{form}{short}", f"for example `{names.similar(name)}`")
    return Diagnostic("bad-name", f"{quoted(name)} cannot be a name", span, help=edit)


def _reserved(finding: _Finding) -> Diagnostic:
    name, use = finding.value, finding.limit
    span = finding.tree.key_span(name) if finding.is_key else finding.tree.span
    thing = "an input port" if use == "placeholder" else f"an {use}" if use in ("input", "output") else f"a {use}"
    message = f"{thing} cannot be called `{name}`: {names.reserved(name, use)}"
    edit = f"call it `{names.similar(name)}`" + ("" if use == "graph" else ", also where it is referred to")
    return Diagnostic("bad-name", message, span, help=edit)


_MESSAGES: dict[str, Callable[[_Finding], Diagnostic]] = {
    "required": _missing_key,
    "type": _wrong_type,
    "anyOf": _no_form,
    "enum": _bad_value,
    "minimum": _out_of_range,
    "maximum": _out_of_range,
    "exclusiveMinimum": _out_of_range,
    "minItems": _wrong_length,
    "maxItems": _wrong_length,
    "minProperties": _empty,
    "oneOf": _needs_one,
    "dependentRequired": _needs_other,
    "pattern": _bad_text,
    "minLength": _bad_text,
    "maxLength": _bad_text,
    "x-identifier": _reserved,
}
