"""Builds dataclasses from JSON and checks each key and value."""

import contextlib
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class ConfigError(ValueError):
    """A value is missing, unknown or invalid. The message names its place, such as `a[0].b`."""


def build(kind: Callable[..., T], content: Any, where: str) -> T:
    """Build a dataclass from a JSON object. Raises ConfigError, which names the invalid key."""
    require(isinstance(content, Mapping), where, "must be an object")
    known = {each.name: each for each in fields(kind) if each.init}  # type: ignore[arg-type]
    for key in content:
        hint = f"is unknown. Known: {', '.join(known)}"
        require(key in known, f"{where}.{key}", hint)
    for name, each in known.items():
        require(name in content or not _is_required(each), f"{where}.{name}", "is missing")
    hints = get_type_hints(kind)
    values = {key: _value(value, hints[key], f"{where}.{key}") for key, value in content.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        place = where.lstrip(".")
        raise ConfigError(f"{place}: {error}" if place else str(error)) from error


def _is_required(each: "Field[Any]") -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def require(holds: bool, where: str, problem: str) -> None:
    """Raise ConfigError unless the condition holds."""
    if not holds:
        raise ConfigError(f"{_place(where)} {problem}")


def _place(where: str) -> str:
    return where.lstrip(".") or "The JSON"


def _value(value: Any, hint: Any, where: str) -> Any:
    """Check a value against an annotation and convert it."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    # If the value fits only one option by its shape, the error of that option helps most.
    meant = [each for each in options if _has_shape(value, each)]
    if len(meant) == 1:
        return _option(value, meant[0], where)
    for option in options:
        with contextlib.suppress(ConfigError):
            return _option(value, option, where)
    wanted = " or ".join(_describe(option) for option in options)
    raise ConfigError(f"{_place(where)} must be {wanted}, not {value!r}")


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
        require(value in get_args(option), where, f"must be {_describe(option)}")
        return value
    if _is_a(origin, Mapping):
        return _mapping(value, get_args(option), where)
    if _is_a(origin, Collection):
        return _sequence(value, get_args(option)[0], where)
    require(_is_scalar(value, option), where, f"must be {_describe(option)}")
    return value


def _mapping(value: Any, arguments: tuple[Any, ...], where: str) -> Mapping[str, Any]:
    require(isinstance(value, Mapping), where, "must be an object")
    return {key: _value(each, arguments[1], f"{where}.{key}") for key, each in value.items()}


def _sequence(value: Any, item: Any, where: str) -> Sequence[Any]:
    require(isinstance(value, (list, tuple)), where, "must be a list")
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
    str: "a string",
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
