"""Plain JSON into the objects of this package, checked key by key.

A configuration file has what Source, Destination, Connection, Project and Fault have:

    {
      "sources": [{"id": "warehouse", "definition": "snowflake"}],
      "destinations": [{"id": "hubspot", "type": "HUBSPOT"}],
      "connections": [
        {
          "id": "crm",
          "source_id": "warehouse",
          "destination_id": "hubspot",
          "script": {"duration_seconds": 5},
          "table": {
            "warehouse": "warehouse.duckdb",
            "table": "analytics.customers",
            "primary_key": "customer_id",
            "destination": "crm.duckdb",
            "destination_table": "contacts",
            "required": ["email"]
          }
        }
      ],
      "faults": [{"kind": "status", "status": 503, "every": 5}]
    }
"""

import contextlib
import json
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from dagster_rudderstack.testing.faults import Fault
from dagster_rudderstack.testing.objects import Connection, Destination, Source
from dagster_rudderstack.testing.scripts import RunScript

T = TypeVar("T")


class ConfigError(ValueError):
    """A value is missing, unknown or wrong; the message names its place, as in `a[0].b`."""


def build(kind: Callable[..., T], content: Any, where: str) -> T:
    """Make a dataclass of a JSON object. Raises ConfigError naming the key that is wrong."""
    _require(isinstance(content, Mapping), where, "must be an object")
    known = {each.name: each for each in fields(kind) if each.init}  # type: ignore[arg-type]
    for key in content:
        hint = f"is unknown. Known: {', '.join(known)}"
        _require(key in known, f"{where}.{key}", hint)
    for name, each in known.items():
        _require(name in content or not _is_required(each), f"{where}.{name}", "is missing")
    hints = get_type_hints(kind)
    values = {key: _value(value, hints[key], f"{where}.{key}") for key, value in content.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _is_required(each: "Field[Any]") -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _require(holds: bool, where: str, problem: str) -> None:
    if not holds:
        raise ConfigError(f"{where.lstrip('.')} {problem}")


def _value(value: Any, hint: Any, where: str) -> Any:
    """Check a value against an annotation, and make what it wants."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    # Where only one of several can be meant, its own complaint is the best one.
    meant = [each for each in options if _has_shape(value, each)]
    if len(meant) == 1:
        return _option(value, meant[0], where)
    for option in options:
        with contextlib.suppress(ConfigError):
            return _option(value, option, where)
    wanted = " or ".join(_describe(option) for option in options)
    raise ConfigError(f"{where.lstrip('.')} must be {wanted}, not {value!r}")


def _has_shape(value: Any, option: Any) -> bool:
    origin = get_origin(option) or option
    if isinstance(value, Mapping):
        return is_dataclass(option) or _is_a(origin, Mapping)
    return isinstance(value, list) and _is_a(origin, Collection) and not _is_a(origin, Mapping)


def _is_a(kind: Any, parent: type) -> bool:
    return isinstance(kind, type) and kind is not str and issubclass(kind, parent)


def _option(value: Any, option: Any, where: str) -> Any:
    origin = get_origin(option) or option
    if is_dataclass(option):
        return build(option, value, where)  # type: ignore[arg-type]
    if origin is Literal:
        _require(value in get_args(option), where, f"must be {_describe(option)}")
        return value
    if _is_a(origin, Mapping):
        return _mapping(value, get_args(option), where)
    if _is_a(origin, Collection):
        return _sequence(value, get_args(option)[0], where)
    _require(_is_scalar(value, option), where, f"must be {_describe(option)}")
    return value


def _mapping(value: Any, arguments: tuple[Any, ...], where: str) -> Mapping[str, Any]:
    _require(isinstance(value, Mapping), where, "must be an object")
    return {key: _value(each, arguments[1], f"{where}.{key}") for key, each in value.items()}


def _sequence(value: Any, item: Any, where: str) -> Sequence[Any]:
    _require(isinstance(value, (list, tuple)), where, "must be a list")
    return [_value(each, item, f"{where}[{index}]") for index, each in enumerate(value)]


def _is_scalar(value: Any, wanted: Any) -> bool:
    if wanted is Any:
        return True
    if wanted is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(wanted, type) and isinstance(value, wanted)


_NAMES_OF_TYPES = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _describe(wanted: Any) -> str:
    origin = get_origin(wanted) or wanted
    if origin is Literal:
        return "one of " + ", ".join(repr(each) for each in get_args(wanted))
    if wanted in _NAMES_OF_TYPES:
        return _NAMES_OF_TYPES[wanted]
    return "a list" if _is_a(origin, Collection) and not _is_a(origin, Mapping) else "an object"


@dataclass(frozen=True)
class Project:
    """A Profiles project or ETL source, and how its runs go."""

    id: str
    script: RunScript = field(default_factory=RunScript)


@dataclass(frozen=True)
class WorkspaceConfig:
    """What a configuration file declares."""

    sources: Sequence[Source] = ()
    destinations: Sequence[Destination] = ()
    connections: Sequence[Connection] = ()
    projects: Sequence[Project] = ()
    faults: Sequence[Fault] = ()


def read_config(path: Path) -> WorkspaceConfig:
    """Read a configuration file; relative paths in it are taken from where it lies.

    Raises ConfigError, which says where the mistake is.
    """
    config = build(WorkspaceConfig, _read_json(path), "")
    _check_unique("connections", [each.id for each in config.connections])
    _check_unique("sources", [each.id for each in config.sources])
    _check_unique("destinations", [each.id for each in config.destinations])
    connections = [_from_folder(path.parent, each) for each in config.connections]
    return replace(config, connections=connections)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error


def _check_unique(where: str, ids: Sequence[str]) -> None:
    for index, each in enumerate(ids):
        _require(each not in ids[:index], f"{where}[{index}].id", f"{each!r} was used before")


def _from_folder(folder: Path, connection: Connection) -> Connection:
    if connection.table is None:
        return connection
    return replace(connection, table=connection.table.in_folder(folder))
