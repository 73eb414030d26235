"""The conversion of DuckDB's values to plain values and to canonical texts."""

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from dagster_rudderstack.testing.rows.duckdb_values import canonical_text, plain


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (2**63, str(2**63)),
        (1.5, 1.5),
        (float("inf"), "inf"),
        ("text", "text"),
        (b"\x00", b"\x00"),
        (bytearray(b"a"), b"a"),
        (Decimal("12.30"), 12.3),
        (Decimal("0.1000000000000000000001"), "0.1000000000000000000001"),
        (Decimal("NaN"), "NaN"),
        (date(2026, 1, 5), "2026-01-05"),
        (time(1, 2, 3), "01:02:03"),
        (datetime(2026, 1, 5, tzinfo=timezone.utc), "2026-01-05T00:00:00+00:00"),
        (timedelta(minutes=1), "60.0 seconds"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ([1, None, [b"\xff"]], '[1, null, ["ff"]]'),
        ((1, 2), "[1, 2]"),
        ({"a": {1: UUID(int=1)}}, '{"a": {"1": "00000000-0000-0000-0000-000000000001"}}'),
        ({"é": date(2026, 1, 5), "t": timedelta(1)}, '{"é": "2026-01-05", "t": "86400.0 seconds"}'),
        ([object], "[\"<class 'object'>\"]"),
    ],
)
def test_plain(value: Any, expected: Any) -> None:
    """A value is converted to one that any database can store."""
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


@pytest.mark.parametrize("value", [None, True, 1, "1", 1.5, b"1", "null", "[1]"])
def test_canonical_text(value: Any) -> None:
    """Different values have different texts, and equal values have equal texts."""
    others = [None, True, 1, "1", 1.5, b"1", "null", "[1]"]

    assert [canonical_text(other) for other in others].count(canonical_text(value)) == 1


@pytest.mark.parametrize("value", [Decimal("12.30"), date(2026, 1, 5), UUID(int=1), 2**70])
def test_canonical_text__survives_storage(value: Any) -> None:
    """The text of a value does not change when its plain form is stored."""
    assert canonical_text(plain(value)) == canonical_text(value)
