"""Converts DuckDB's values: to compare them, and to write them where their type is unknown."""

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

Value = Any
"""A value that DuckDB's Python client returns: null, a number, text, a date, a list, ..."""

_LARGEST_INTEGER = 2**63 - 1


def bindable(value: Value) -> Value:
    """Return a value as a parameter. Integers beyond 64 bits are text: DuckDB 1.1 rounds them."""
    is_huge = isinstance(value, int) and abs(value) > _LARGEST_INTEGER
    return str(value) if is_huge else value


def plain(value: Value) -> Value:
    """Convert a value to null, bool, number, text or bytes. Lists and structs become JSON text.

    Times become ISO 8601. A decimal becomes a float if the float is exact, and text if not.
    Integers beyond 64 bits, infinity and NaN become text.
    """
    if value is None or isinstance(value, (bool, str, bytes)):
        return value
    if isinstance(value, int):
        return bindable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, Decimal):
        return _plain_decimal(value)
    return _plain_text(value)


def _plain_decimal(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else str(value)


def _plain_text(value: Value) -> str:
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.total_seconds()} seconds"
    if isinstance(value, UUID):
        return str(value)
    return json.dumps(_jsonable(value), ensure_ascii=False)


def _jsonable(value: Value) -> Any:
    """Convert lists and structs of any depth to values that JSON can store."""
    if isinstance(value, Mapping):
        return {str(plain(key)): _jsonable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_jsonable(each) for each in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if value is None or isinstance(value, (bool, int, str, float, Decimal, date, time)):
        return plain(value)
    if isinstance(value, (datetime, timedelta, UUID)):
        return plain(value)
    return str(value)


def canonical_text(value: Value) -> str:
    """Return a text that is equal for equal values and different for different values.

    The text of a key does not change when its plain form is stored and read back.
    """
    value = plain(value)
    if isinstance(value, bytes):
        return f"bytes {value.hex()}"
    return json.dumps(value, ensure_ascii=False)
