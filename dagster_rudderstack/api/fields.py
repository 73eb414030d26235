"""The fields of the API's models, and what a value that does not fit becomes.

A broken optional field never fails a good sync: a value that cannot be read is None, which means
unknown. A timestamp is an aware UTC datetime.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from dagster_rudderstack.text import one_line, well_formed

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "CREDENTIALS",
    "ApiModel",
    "Flag",
    "Id",
    "Objects",
    "OrNone",
    "RequiredText",
    "Rows",
    "Status",
    "SyncId",
    "Text",
    "Timestamp",
    "WholeNumber",
    "is_usable_id",
]

MAX_STATUS_LENGTH = 100
"""The longest known status has 24 characters."""

MAX_ID_LENGTH = 128
"""RudderStack's ids have about 27 characters. A longer one is cut, so that it does not fill a log,
and is not usable, so that it does not fill the cursor of a sensor."""

_ID = re.compile(rf"[A-Za-z0-9_~:.\-]{{1,{MAX_ID_LENGTH}}}")

MAX_COUNT = 2**63 - 1
"""No warehouse has more rows, and Dagster's databases store no larger number."""

_DATETIME = TypeAdapter(datetime)
_BOOLEAN = TypeAdapter(bool)


def _timestamp(value: object) -> datetime | None:
    """Return an aware UTC datetime. None if the value cannot be the time of a sync.

    Go services write "0001-01-01T00:00:00Z" for null. RFC 3339 allows leap seconds (":60"), but
    Python's datetime does not.
    """
    if isinstance(value, str):
        value = value.strip().replace(":60", ":59", 1) if ":60" in value[15:] else value.strip()
    try:
        parsed = _DATETIME.validate_python(value)
    except ValidationError:
        return None
    if parsed.year <= 1:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=timezone.utc)
    try:
        return parsed.astimezone(timezone.utc)
    except OverflowError:
        return None


def _whole_number(value: object) -> int | None:
    """Return a count. None for anything else, since an unknown count must not fail a good sync."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not (math.isfinite(value) and value.is_integer()):
        return None
    return int(value) if 0 <= value <= MAX_COUNT else None


def _rows(value: object) -> int | None:
    """Return a count of rows, which the API wraps in an object. None if unknown."""
    return _whole_number(value.get("total")) if isinstance(value, dict) else None


def _rows_on_the_wire(rows: int | None) -> dict[str, int | None]:
    return {"total": rows}


def _flag(value: object) -> bool:
    """Return a flag. A value that is neither true nor false counts as true, like a missing one."""
    try:
        return _BOOLEAN.validate_python(value)
    except ValidationError:
        return True


def _text(value: object) -> object:
    return well_formed(value) if isinstance(value, str) else value


def _text_or_none(value: object) -> str | None:
    return well_formed(value) if isinstance(value, str) and value else None


def _status(value: object) -> object:
    # It is logged and compared, so it must be one clean line.
    return one_line(value, MAX_STATUS_LENGTH) if isinstance(value, str) else value


def _id(value: object) -> object:
    """Return an id that is safe to log. An unusable id stays unusable."""
    if not isinstance(value, str):
        return value
    shown = "".join(char if char.isprintable() else "\ufffd" for char in value[:MAX_ID_LENGTH])
    return shown if len(value) <= MAX_ID_LENGTH else f"{shown}…"


def _sync_id(value: object) -> str:
    """Return the id of a sync. Anything but a text becomes an unusable id."""
    return str(_id(value if isinstance(value, str) else "(no id)"))


def is_usable_id(text: str) -> bool:
    """Whether a text can be an id, and cannot change the path of a URL."""
    return bool(_ID.fullmatch(text)) and ".." not in text and text != "."


def _or_none(value: object, parse: ValidatorFunctionWrapHandler) -> Any:
    try:
        return parse(value)
    except ValidationError:
        return None


def _usable(value: object, parse: ValidatorFunctionWrapHandler) -> Any:
    """Parse a list, and leave out the items that do not fit."""
    items = value if isinstance(value, (list, tuple)) else ()
    return tuple(parsed for item in items for parsed in _or_none((item,), parse) or ())


_T = TypeVar("_T")
Id = Annotated[str, BeforeValidator(_id)]
SyncId = Annotated[str, BeforeValidator(_sync_id)]
Text = Annotated[str | None, BeforeValidator(_text_or_none)]
RequiredText = Annotated[str, BeforeValidator(_text)]
Status = Annotated[str, BeforeValidator(_status)]
Timestamp = Annotated[datetime | None, BeforeValidator(_timestamp)]
WholeNumber = Annotated[int | None, BeforeValidator(_whole_number)]
Rows = Annotated[int | None, BeforeValidator(_rows), PlainSerializer(_rows_on_the_wire)]
Flag = Annotated[bool, BeforeValidator(_flag)]
OrNone = Annotated[_T | None, WrapValidator(_or_none)]
Objects = Annotated[tuple[_T, ...], WrapValidator(_usable)]


MAX_UNKNOWN_BYTES = 16 * 1024
"""Memory of the unknown fields of one object. A list may have many thousands of objects, and an
answer has room for hundreds of unknown fields in each of them."""

MAX_UNKNOWN_LEVELS = 20
"""How deeply the values of unknown fields may be nested. Python copies and pickles recursively."""

CREDENTIALS = frozenset({"config", "destinationConfig", "transformation"})
"""Documented fields that may hold credentials: the settings of a destination, and the code of its
transformation. A model without such a field drops it. The `config` of a source names its rows."""


class ApiModel(BaseModel):
    """Base of all models. They use camelCase in JSON and are immutable.

    The fields of an answer that a model does not have are in `model_extra`, by their names in JSON.
    They may be secrets, so no repr shows them. They are no attributes, so that none is taken for a
    fact of this library. A model drops `CREDENTIALS`, fields with the Python name of another one,
    and what exceeds `MAX_UNKNOWN_BYTES` or `MAX_UNKNOWN_LEVELS`.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True
    )

    @model_validator(mode="after")
    def _limit_unknown(self) -> Self:
        if unknown := self.model_extra:
            kept = _within_limits(self.unknown_in(unknown))
            unknown.clear()
            unknown.update(kept)
            self.model_fields_set.intersection_update(type(self).model_fields)
        return self

    @classmethod
    def unknown_in(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that this model does not know, by their names in JSON."""
        known = _known_names(cls)
        return {name: value for name, value in fields.items() if name not in known}

    def without_unknown(self) -> Self:
        """Return a copy without unknown fields. The models in it have none either."""
        known = {name: _without_unknown(getattr(self, name)) for name in self.model_fields_set}
        copied = self.model_copy(update=known)
        if copied.model_extra:
            copied.model_extra.clear()
        return copied

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        known = type(self).model_fields
        return (shown for shown in super().__repr_args__() if shown[0] in known)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # pydantic would look among the unknown fields.
            return object.__getattribute__(self, name)


@cache
def _known_names(model: type[ApiModel]) -> frozenset[str]:
    """Return the names that an unknown field cannot have."""
    fields = model.model_fields
    return frozenset({*fields, *(str(info.alias) for info in fields.values()), *CREDENTIALS})


def _within_limits(unknown: Mapping[str, Any]) -> dict[str, Any]:
    """Return unknown fields without those that do not fit behind the ones before them."""
    kept = {}
    left: float = MAX_UNKNOWN_BYTES
    for name, value in unknown.items():
        size = sys.getsizeof(name) + _size(value, left)
        if size <= left:
            kept[name] = value
            left -= size
    return kept


def _size(value: Any, limit: float) -> float:
    """Return how many bytes of memory a value takes, or a number above the limit."""
    if not isinstance(value, (dict, list)):
        return sys.getsizeof(value)
    size, level = 0, [value]
    for _ in range(MAX_UNKNOWN_LEVELS):
        size += sum(map(sys.getsizeof, level))
        if not level or size > limit:
            return size
        level = [inner for each in level for inner in _inner(each)]
    return math.inf


def _inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return (*value, *value.values())
    return value if isinstance(value, list) else ()


def _without_unknown(value: Any) -> Any:
    if isinstance(value, ApiModel):
        return value.without_unknown()
    return tuple(map(_without_unknown, value)) if isinstance(value, tuple) else value
