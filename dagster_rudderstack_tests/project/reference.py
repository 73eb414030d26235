"""Makes the tables in the pages of `docs/reference/` from the code.

A table stands between `<!-- table: KIND NAME -->` and `<!-- end -->`. Update all of them with
`python -m dagster_rudderstack_tests.project.reference`.
"""

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

import dagster as dg
from dagster.components import DefsStateConfigArgs

import dagster_rudderstack
from dagster_rudderstack import MetadataKey, RudderStackError, RudderStackMetadataSet, errors
from dagster_rudderstack import options as sync_options
from dagster_rudderstack.components.attributes import PollingSensorAttributes
from dagster_rudderstack.source_runs import options as run_options
from dagster_rudderstack.testing import __main__ as testing_main

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
_PLACE = re.compile(r"(<!-- table: (\w+)(?: (\w+))? -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """Return a page with its tables as the code has them now."""

    def replaced(place: re.Match[str]) -> str:
        begin, kind, name, end = place.groups()
        table = _TABLES[kind](name) if name else _TABLES[kind]()
        return f"{begin}\n{table}\n{end}"

    return _PLACE.sub(replaced, page)


def _table(head: str, rows: Iterator[list[str]]) -> str:
    columns = head.split("|")
    lines = ["|".join(["", *(f" {each} " for each in columns), ""])]
    lines.append("|" + "---|" * len(columns))
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return a text for a cell: without what Markdown or HTML would read as their own."""
    text = re.sub(r"'([\w.]+)'", r"`\1`", text)
    return text.replace("|", "&#124;").replace("<", "&lt;")


def attribute_docs(kind: type[Any]) -> dict[str, str]:
    """Return what the docstrings of a class and its bases say about its attributes."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if each.__module__.startswith("dagster_rudderstack"):
            found |= _section(each.__doc__, "Attributes") | _section(each.__doc__, "Args")
            found |= _docs_below(each)
    return found


def argument_docs(function: Any) -> dict[str, str]:
    """Return what the docstring of a function says about its arguments."""
    return _section(function.__doc__, "Args")


def _section(doc: str | None, heading: str) -> dict[str, str]:
    """Return the entries of a section of a docstring in Google's style."""
    _, _, rest = inspect.cleandoc(doc or "").partition(f"{heading}:\n")
    body = re.split(r"\n(?=\S)", rest)[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", body, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text).strip() for name, text in entries}


def _docs_below(kind: type[Any]) -> dict[str, str]:
    """Return the texts below the attributes of a class."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, SyntaxError):
        return {}
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for statement, below in zip(tree.body, tree.body[1:], strict=False):
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            for target in targets:
                if isinstance(target, ast.Name):
                    found[target.id] = re.sub(r"\s+", " ", str(below.value.value))
    return found


# --- fields of run config, options, attributes of components


def config_table(name: str) -> str:
    """Return the fields of a run config."""
    config = getattr(dagster_rudderstack, name)
    schema = config.model_json_schema()
    return _table("Field|Values|Default|Meaning", _fields(schema, schema["properties"], schema))


def component_table(name: str) -> str:
    """Return the attributes of a component in YAML."""
    component: type[dg.Component] = getattr(dagster_rudderstack, name)
    schema = _schema_of(component)
    described = component_descriptions(component)
    rows = _fields(schema, schema["properties"], schema, described, _defaults(component))
    return _table("Attribute|Values|Default|Meaning", rows)


def model_table(name: str) -> str:
    """Return the fields of an object in the YAML of a component."""
    schema = _schema_of(dagster_rudderstack.RudderStackWorkspaceComponent)
    found = schema["$defs"][name]
    kind = _CLASSES.get(name)
    described = attribute_docs(kind) if kind else {}
    if kind is PollingSensorAttributes:
        described = argument_docs(dagster_rudderstack.build_rudderstack_polling_sensor)
    defaults = _field_defaults(kind) if kind else {}
    rows = _fields(found, found["properties"], schema, described, defaults)
    return _table("Field|Values|Default|Meaning", rows)


def _schema_of(component: type[dg.Component]) -> dict[str, Any]:
    model = component.get_model_cls()
    assert model is not None
    schema: dict[str, Any] = model.model_json_schema()
    return schema


_CLASSES: dict[str, type[Any]] = {
    "RejectedRowsCheckModel": dagster_rudderstack.RejectedRowsCheck,
    "DurationCheckModel": dagster_rudderstack.DurationCheck,
    "NoRowsCheckModel": dagster_rudderstack.NoRowsCheck,
    "PollingSensorModel": PollingSensorAttributes,
    "RudderStackConnectionSelectorModel": dagster_rudderstack.RudderStackConnectionSelector,
}


def _field_defaults(kind: type[Any]) -> dict[str, Any]:
    return {
        each.name: each.default
        for each in dataclasses.fields(kind)
        if each.default is not dataclasses.MISSING
    }


def component_descriptions(component: type[Any]) -> dict[str, str]:
    """Return what the attributes of a component mean."""
    # Dagster does not take all of them over into the model of the YAML.
    fields = component.model_fields
    given = {name: field.description for name, field in fields.items() if field.description}
    return {**given, **_described(_schema_of(component)["properties"])}


def _described(properties: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: each["description"] for name, each in properties.items() if each.get("description")
    }


def _defaults(component: type[Any]) -> dict[str, Any]:
    return {name: field.default for name, field in component.model_fields.items()}


def _fields(
    owner: Mapping[str, Any],
    properties: Mapping[str, Any],
    schema: Mapping[str, Any],
    described: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Iterator[list[str]]:
    for name, field in properties.items():
        default = "required"
        if name not in owner.get("required", ()):
            default = _shown((defaults or {}).get(name, field.get("default")))
        description = {**(described or {}), **_described({name: field})}.get(name, "")
        yield [f"`{name}`", _values(field, schema), default, description]


def _shown(default: Any) -> str:
    if default is None or default in ({}, [], "", ()):
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, (str, int, float)) and not str(default).startswith("__"):
        return f"`{default}`"
    if isinstance(default, dagster_rudderstack.SyncChecks):
        return "`{rejected_rows: true}`"
    assert isinstance(default, DefsStateConfigArgs), default
    return f"`{{management_type: {default.management_type.value}}}`"


_KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true`, `false`",
    "array": "list",
    "object": "mapping",
}


def _values(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return the allowed values. Each may also be a template, which is not repeated."""
    # Any object or list is in the union, since another part of the schema says which are right.
    hidden = [{"type": kind} for kind in ("null", "object", "array")]
    choices = [each for each in field.get("anyOf", [field]) if each not in hidden]
    # A template is a text, so that a text is an allowed value only if nothing else is.
    found = dict.fromkeys(_value(each, schema) for each in choices)
    others = [each for each in found if each and each != "text"]
    return " or ".join(others or ["text"])


def _value(choice: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "$ref" in choice:
        return _value(schema["$defs"][choice["$ref"].rpartition("/")[2]], schema)
    if "enum" in choice or "const" in choice:
        values = choice.get("enum", [choice.get("const")])
        return ", ".join(f"`{each}`" for each in values)
    if choice.get("type") == "array":
        return "list of " + {"text": "texts"}.get(_values(choice["items"], schema), "mappings")
    if choice.get("format") == "date-time":
        return "time"
    return _KINDS[choice.get("type", "object")]


def options_table(name: str) -> str:
    """Return the options of factories."""
    module = sync_options if hasattr(sync_options, name) else run_options
    hints = get_type_hints(getattr(module, name), include_extras=True)
    return _table(
        "Option|Default|Meaning",
        (
            [f"`{option}`", _option_default(module._DEFAULTS[option]), hint.__metadata__[0]]
            for option, hint in hints.items()
        ),
    )


def _option_default(default: Any) -> str:
    if isinstance(default, dagster_rudderstack.SyncChecks):
        return "`SyncChecks()`"
    if default is None or default in ((), frozenset()):
        return "none"
    return f"`{default!r}`" if isinstance(default, bool) else f"`{default}`"


# --- metadata keys, errors, command line

_METADATA_KINDS = {
    int: "whole number",
    float: "number",
    bool: "true or false",
    str: "text",
    datetime: "time",
}
_STORED_AS = {
    "rudderstack/link": "URL",
    "rudderstack/failed_rows_sql": "Markdown",
    "rudderstack/failed_syncs": "table",
    "dagster/row_count": "whole number",
}


def keys_table() -> str:
    """Return all metadata keys."""
    meanings = attribute_docs(RudderStackMetadataSet)
    hints = get_type_hints(RudderStackMetadataSet)
    below = _docs_below(MetadataKey)

    def row(name: str, key: str) -> list[str]:
        attribute = key.removeprefix("rudderstack/")
        kind: Any = get_args(hints[attribute])[0] if attribute in hints else None
        stored = _STORED_AS.get(key) or _METADATA_KINDS.get(kind, "JSON")
        return [f"`{key}`", f"`{name}`", stored, meanings.get(attribute) or below[name]]

    keys = {name: key for name, key in vars(MetadataKey).items() if not name.startswith("_")}
    return _table("Key|`MetadataKey`|Type|Meaning", (row(name, key) for name, key in keys.items()))


def errors_table() -> str:
    """Return whether a retry may succeed, of all errors."""
    # In the order of the module, which is that of the tree.
    kinds: list[type[RudderStackError]] = [
        kind for name, kind in vars(errors).items() if name in errors.__all__
    ]

    def row(kind: type[RudderStackError]) -> list[str]:
        bases = [each.__name__ for each in kind.__mro__[1:] if each.__module__ == errors.__name__]
        may = "yes" if kind.retryable else "no"
        if kind is errors.StatusError:
            may = "for 401, 408, 409, 425, 429 and 5xx"
        return [f"`{kind.__name__}`", f"`{bases[0]}`" if bases else "`Exception`", may]

    return _table("Error|Is a|A retry may succeed", (row(kind) for kind in kinds))


def arguments_table() -> str:
    """Return the arguments of the local RudderStack as a process."""
    actions = [each for each in testing_main._parser()._actions if each.dest != "help"]
    return _table(
        "Argument|Meaning",
        ([f"`{each.option_strings[0]}`", (each.help or "") % vars(each)] for each in actions),
    )


_TABLES: dict[str, Callable[..., str]] = {
    "arguments": arguments_table,
    "component": component_table,
    "config": config_table,
    "errors": errors_table,
    "keys": keys_table,
    "model": model_table,
    "options": options_table,
}


def pages() -> list[Path]:
    return sorted(FOLDER.glob("*.md"))


if __name__ == "__main__":
    for each in pages():
        each.write_text(with_tables(each.read_text()))
