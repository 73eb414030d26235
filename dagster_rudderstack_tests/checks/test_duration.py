"""The check on the duration of a sync."""

from datetime import datetime, timedelta, timezone
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import DurationCheck, InvalidSettingError, MetadataKey, Sync

KEY = dg.AssetKey("contacts")
BEGAN = datetime(2026, 3, 1, 6, tzinfo=timezone.utc)


def sync(seconds: float | None) -> Sync:
    """Return a sync that succeeded after this time. None: its end is unknown."""
    ended = None if seconds is None else BEGAN + timedelta(seconds=seconds)
    return Sync(id="s", status="succeeded", started_at=BEGAN, finished_at=ended)


@pytest.mark.parametrize(
    ("max_seconds", "seconds", "passed", "text"),
    [
        (3600, 3900, False, "The sync took 1 h 5 min; up to 1 h is accepted."),
        (3600, 3600, True, "The sync took 1 h; up to 1 h is accepted."),
        (3600, 3600.2, False, "The sync took 1 h 1 s; up to 1 h is accepted."),
        (3900, 3903, False, "The sync took 1 h 5 min 3 s; up to 1 h 5 min is accepted."),
        (45, 30, True, "The sync took 30 s; up to 45 s is accepted."),
        (1, 0, True, "The sync took 0 s; up to 1 s is accepted."),
        (
            7200,
            4_000_000,
            False,
            "The sync took 1,111 h 6 min 40 s; up to 2 h is accepted.",
        ),
        (1, None, True, "RudderStack does not report how long the sync took."),
    ],
)
def test_duration(max_seconds: int, seconds: float | None, passed: bool, text: str) -> None:
    """The check fails if the sync took longer. An unknown duration fails no sync."""
    result = DurationCheck(max_seconds=max_seconds).result(KEY, sync(seconds))

    assert (result.passed, result.description) == (passed, text)
    shown = {} if seconds is None else {MetadataKey.DURATION: seconds}
    assert {key: value.value for key, value in result.metadata.items()} == shown


def test_duration__whole_number() -> None:
    """A duration that an event has as a whole number counts too."""
    metadata = {MetadataKey.DURATION: dg.MetadataValue.int(61)}

    assert not DurationCheck(max_seconds=60).result_of_metadata(KEY, metadata).passed


def test_description() -> None:
    """The description of the check has its limit."""
    description = DurationCheck(max_seconds=5400).spec(KEY).description

    assert description == "How long the last sync took. Accepted: up to 1 h 30 min."


@pytest.mark.parametrize("seconds", [-1, 0, 1.5, True, "1 h", None])
def test_max_seconds__refused(seconds: Any) -> None:
    """A limit that is not a whole number of seconds is an error, which names it."""
    with pytest.raises(InvalidSettingError) as caught:
        DurationCheck(max_seconds=seconds)

    assert str(caught.value) == (
        f"max_seconds {seconds!r} of a DurationCheck: expected a whole number of seconds from 1."
    )
