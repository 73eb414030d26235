"""Checks of a request that a user writes: its method, path, query and JSON.

The access token is sent with it, so nothing in it may name another host or leave the API's version.
A message never shows the JSON or the query, which may have secrets.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote

from dagster_rudderstack.api.validation import check_no_env_var
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.text import one_line, shown

__all__ = [
    "SAFE_METHODS",
    "Params",
    "checked_json",
    "checked_method",
    "checked_params",
    "checked_path",
]

SAFE_METHODS = frozenset({"GET", "HEAD"})
"""They have no effect, so they can be repeated. They have no body."""

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

Scalar = str | int | float | bool
Params = Mapping[str, Scalar | Sequence[Scalar] | None]
"""A query. None leaves a parameter out, and a list repeats it."""

_EXPECTED_PATH = (
    "expected a path as in RudderStack's reference, such as '/retl-sources', without host and query"
)
_PATH = re.compile(r"(/(?:[A-Za-z0-9._~:\-]|%[0-9A-Fa-f]{2})+)+/?")
_MAX_PATH_LENGTH = 8_000
"""More than a server accepts, and less than httpx refuses."""
_DECODED_SEGMENT = re.compile(r"(?!\.$)(?!.*\.\.)[^/\\?#%]+")
_VERSION = re.compile(r"/(v[0-9]+)(?=/|$)", re.IGNORECASE)


def checked_method(method: object) -> str:
    """Return an HTTP method in upper case.

    Raises:
        InvalidSettingError: If it is not one of those that the API uses.
    """
    name = method.upper() if isinstance(method, str) else method
    if name not in _METHODS:
        raise InvalidSettingError(
            f"method {shown(method)} is unknown: expected one of {', '.join(_METHODS)}."
        )
    return str(name)


def checked_path(path: object) -> str:
    """Return a path that stays below the API's version, also if a server decodes it.

    Raises:
        InvalidSettingError: If it is not one. The message names what is wrong.
    """
    check_no_env_var(path, "path")
    if not isinstance(path, str):
        raise InvalidSettingError(f"path must be a string, got {type(path).__name__}.")
    # A password in front of an @, or a parameter, may be a secret.
    name = "path" if "@" in path else f"path {shown(re.split('[?#]', path)[0])}"
    if "?" in path:
        raise InvalidSettingError(f"{name} has a query behind it: give it as params.")
    if not path.startswith("/") or path.startswith("//"):
        raise InvalidSettingError(f"{name} does not begin with a single '/': {_EXPECTED_PATH}.")
    if not _PATH.fullmatch(path):
        raise InvalidSettingError(
            f"{name} has a character that a path cannot have, or an empty part: "
            f"{_EXPECTED_PATH}. Other characters in an id are written with "
            "urllib.parse.quote(text, safe='')."
        )
    if not all(map(_stays_in_place, path.strip("/").split("/"))):
        raise InvalidSettingError(
            f"{name} has a part with '..', or an escaped character that could change the path: "
            f"{_EXPECTED_PATH}."
        )
    if len(path) > _MAX_PATH_LENGTH:
        raise InvalidSettingError(
            f"{name} has {len(path):,} characters: expected at most {_MAX_PATH_LENGTH:,}."
        )
    if version := _VERSION.match(path):
        raise InvalidSettingError(
            f"{name} begins with a version of the API, which the library adds: leave "
            f"'/{version[1]}' out."
        )
    return path


def _stays_in_place(segment: str) -> bool:
    try:
        decoded = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return False
    return decoded.isprintable() and _DECODED_SEGMENT.fullmatch(decoded) is not None


def checked_params(params: object) -> dict[str, list[str]]:
    """Return a query as texts.

    Raises:
        InvalidSettingError: If it is not a mapping of names to texts, numbers, flags and lists of
            them.
    """
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise InvalidSettingError(
            f"params must be a mapping such as {{'per_page': 10}}, got {type(params).__name__}."
        )
    query = {}
    for name, value in params.items():
        if not isinstance(name, str):
            raise InvalidSettingError(f"params has the name {shown(name)}: expected a string.")
        if value is not None:
            values = value if isinstance(value, (list, tuple)) else (value,)
            key = _text_of(name, f"The name {shown(name)} in params")
            query[key] = [_text_of(each, f"params[{shown(name)}]") for each in values]
    return query


def _text_of(value: object, what: str) -> str:
    check_no_env_var(value, what)
    if isinstance(value, (str, int, float)):
        with contextlib.suppress(ValueError):
            is_text = isinstance(value, str)
            text = str.__str__(value) if is_text else json.dumps(value, allow_nan=False)
            text.encode()
            return text
    raise InvalidSettingError(
        f"{what} is a {type(value).__name__} that cannot be sent: expected a string, a finite "
        "number, True, False, a list of them, or None to leave it out."
    )


def checked_json(content: object, method: str) -> object:
    """Return what a request is to have as JSON. None means no body.

    Raises:
        InvalidSettingError: If strict JSON cannot hold it, or if the method has no body.
    """
    if content is None:
        return None
    if method in SAFE_METHODS:
        raise InvalidSettingError(f"A {method} request has no json: use params.")
    try:
        json.dumps(content, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        # Not chained, since such an error holds the JSON.
        raise InvalidSettingError(f"json cannot be sent: {one_line(str(error))}.") from None
    for value in _values_in(content):
        check_no_env_var(value, "A value of json")
    return content


def _values_in(content: object) -> Iterator[object]:
    left = [content]
    while left:
        value = left.pop()
        yield value
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, (list, tuple)):
            left += value
