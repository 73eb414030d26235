"""What a request asks for: its parameters, query and body, read and checked."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl

from dagster_rudderstack.testing.web.api_json import JsonObject

_DIGITS = re.compile(r"[0-9]{1,1000}", re.ASCII)
_DATE_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:)(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


@dataclass(frozen=True)
class ApiRequest:
    """A request whose operation is known."""

    parameters: Mapping[str, str]
    query_string: str
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        """The query parameters. If a key is repeated, its last value counts."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))


class InvalidRequestError(Exception):
    """The request is invalid. The answer is 400."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}")
        self.name = name


def date_time(query: Mapping[str, str], key: str, default: float) -> float:
    """Return a query parameter as epoch seconds. A time without a UTC offset is ambiguous: 400."""
    text = query.get(key)
    if text is None:
        return default
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        hint = "; a + must be sent as %2B" if " " in text else ""
        raise InvalidRequestError(key, f"must be an RFC 3339 date-time with an offset{hint}")
    return _epoch(key, match)


def _epoch(key: str, match: re.Match[str]) -> float:
    day, minutes, seconds, fraction, offset = match.groups()
    leap = 1 if seconds == "60" else 0
    offset = "+00:00" if offset in "Zz" else offset
    try:
        moment = datetime.fromisoformat(f"{day}T{minutes}{int(seconds) - leap:02}{offset}")
    except ValueError as error:
        raise InvalidRequestError(key, f"is not a date-time: {error}") from error
    since = moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return since.total_seconds() + leap + float(f"0.{fraction or 0}")


def whole_number(
    query: Mapping[str, str], key: str, default: int, maximum: int | None = None
) -> int:
    """Return a query parameter as a positive whole number."""
    text = query.get(key)
    if text is None:
        return default
    number = int(text) if _DIGITS.fullmatch(text) else 0
    if number < 1 or (maximum is not None and number > maximum):
        limit = "" if maximum is None else f" and at most {maximum}"
        raise InvalidRequestError(key, f"must be a whole number of at least 1{limit}")
    return number


def json_object(body: bytes) -> JsonObject:
    """Return the JSON object of a body. An empty body is an empty object."""
    if not body.strip():
        return {}
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError("body", "must be JSON") from error
    if not isinstance(content, dict):
        raise InvalidRequestError("body", "must be a JSON object")
    return content
