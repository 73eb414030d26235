"""The checks on the rows of the source: none at all, and none that has changed."""

from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey, NoRowsCheck, NothingChangedCheck, Sync, SyncMetrics

KEY = dg.AssetKey("contacts")


def sync(total: int | None = None, **counts: int | None) -> Sync:
    """Return a sync that succeeded with these numbers of rows."""
    given: Any = {name: {"total": count} for name, count in counts.items()}
    return Sync(id="s", status="succeeded", metrics=SyncMetrics(total=total, **given))


@pytest.mark.parametrize(
    ("total", "passed", "text"),
    [
        (0, False, "The source has no rows."),
        (1, True, "The source has 1 row."),
        (2260, True, "The source has 2,260 rows."),
        (None, True, "RudderStack does not report how many rows the source has."),
    ],
)
def test_no_rows(total: int | None, passed: bool, text: str) -> None:
    """The check fails if the source has no rows. An unknown number fails no sync."""
    result = NoRowsCheck().result(KEY, sync(total))

    assert (result.passed, result.description) == (passed, text)
    shown = {} if total is None else {MetadataKey.ROWS_TOTAL: total}
    assert {key: value.value for key, value in result.metadata.items()} == shown


@pytest.mark.parametrize(
    ("counts", "passed", "text"),
    [
        ({"changed": 0}, False, "Nothing had changed since the last sync."),
        (
            {"changed": 0, "succeeded": 0, "failed": 0},
            False,
            "Nothing had changed since the last sync.",
        ),
        ({"changed": 1}, True, "1 row had changed since the last sync."),
        ({"changed": 2260}, True, "2,260 rows had changed since the last sync."),
        (
            {"changed": 0, "succeeded": 3},
            True,
            "No row had changed since the last sync, but rows were sent.",
        ),
        ({"succeeded": 0}, True, "RudderStack does not report how many rows had changed."),
        ({}, True, "RudderStack does not report how many rows had changed."),
    ],
)
def test_nothing_changed(counts: dict[str, int], passed: bool, text: str) -> None:
    """The check fails if nothing was sent because nothing had changed. An unknown number fails no
    sync."""
    result = NothingChangedCheck().result(KEY, sync(100, **counts))

    assert (result.passed, result.description) == (passed, text)
    shown = {MetadataKey.ROWS_CHANGED: counts["changed"]} if "changed" in counts else {}
    assert {key: value.value for key, value in result.metadata.items()} == shown


def test_description() -> None:
    """The descriptions say what the checks are about."""
    assert NoRowsCheck().spec(KEY).description == "Whether the source had rows at the last sync."
    assert NothingChangedCheck().spec(KEY).description == (
        "Whether the last sync had anything to send."
    )
