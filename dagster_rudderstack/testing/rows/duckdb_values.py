"""Values of DuckDB: how they are compared, and how they are written where their type is unknown."""

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

Value = Any
"""Whatever DuckDB's Python client returns: null, numbers, text, dates, lists, structs, ..."""

_LARGEST_INTEGER = 2**63 - 1


def bindable(value: Value) -> Value:
    """Make of a value one that a statement takes; DuckDB 1.1 rounds integers beyond 64 bits."""
    is_huge = isinstance(value, int) and abs(value) > _LARGEST_INTEGER
    return str(value) if is_huge else value


def plain(value: Value) -> Value:
    """Make of a value null, bool, number, text, bytes, or JSON text for lists and structs.

    Times become ISO 8601; a decimal a number where a float holds it exactly, and else text; numbers
    beyond 64 bits and not-a-number become text.
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
    """Put lists and structs, however deep, into what JSON knows."""
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
    """Write a text that is the same for the same value, and another for another.

    A key keeps its text when it was stored in its plain form and read back.
    """
    value = plain(value)
    if isinstance(value, bytes):
        return f"bytes {value.hex()}"
    return json.dumps(value, ensure_ascii=False)
