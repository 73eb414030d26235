"""Models read the API's objects. A missing value is unknown, not 0."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from dagster_rudderstack.api.fields import ApiModel
from dagster_rudderstack.api.models import (
    Connection,
    Destination,
    Mapping,
    Paging,
    Schedule,
    Source,
    Sync,
    SyncState,
    sync_state,
)

UTC = timezone.utc


def a_sync(**fields: Any) -> Sync:
    return Sync.model_validate({"id": "s1", "status": "running", **fields})


def a_connection(**fields: Any) -> Connection:
    return Connection.model_validate(
        {"id": "c1", "sourceId": "src", "destinationId": "dst", **fields}
    )


# --- times


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-05T10:00:00Z", datetime(2026, 1, 5, 10, tzinfo=UTC)),
        ("2026-01-05T10:00:00.123Z", datetime(2026, 1, 5, 10, 0, 0, 123_000, tzinfo=UTC)),
        ("2026-01-05T10:00:00.123456789Z", datetime(2026, 1, 5, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-01-05T12:30:00+02:30", datetime(2026, 1, 5, 10, tzinfo=UTC)),
        ("2026-01-05t10:00:00z", datetime(2026, 1, 5, 10, tzinfo=UTC)),
        (" 2026-01-05T10:00:00Z ", datetime(2026, 1, 5, 10, tzinfo=UTC)),
        ("2026-01-05T10:00:00", datetime(2026, 1, 5, 10, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2016-12-31T23:59:60.5Z", datetime(2016, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)),
        (1_767_607_200, datetime(2026, 1, 5, 10, tzinfo=UTC)),
    ],
)
def test_timestamp(text: object, moment: datetime) -> None:
    """A time in any notation becomes an aware datetime in UTC."""
    started_at = a_sync(startedAt=text).started_at

    assert started_at == moment
    assert started_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "yesterday",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        "2026-13-45T99:99:99Z",
        float("nan"),
        [],
        {},
    ],
)
def test_timestamp__unusable(text: object) -> None:
    """A value that is not the time of a sync is unknown, such as the zero time of Go services."""
    assert a_sync(startedAt=text, finishedAt=text).started_at is None
    assert a_sync(startedAt=text, finishedAt=text).finished_at is None


# --- rows


@pytest.mark.parametrize(
    ("metrics", "rows"),
    [
        (None, (None, None, None, None)),
        ({}, (None, None, None, None)),
        ({"succeeded": None, "failed": {}, "total": None}, (None, None, None, None)),
        ({"succeeded": {"total": None}}, (None, None, None, None)),
        (
            {
                "succeeded": {"total": 7},
                "failed": {"total": 0},
                "changed": {"total": 7.0},
                "total": 9,
            },
            (9, 7, 7, 0),
        ),
        ({"succeeded": {"total": 2**63 - 1}}, (None, None, 2**63 - 1, None)),
        ({"succeeded": {"total": 2**63}, "total": 1e300}, (None, None, None, None)),
        ({"succeeded": {"total": -1}, "total": 1.5}, (None, None, None, None)),
        ({"succeeded": {"total": True}, "total": "9"}, (None, None, None, None)),
        ({"succeeded": 7, "failed": [1], "changed": "x"}, (None, None, None, None)),
        ({"total": float("nan")}, (None, None, None, None)),
        ({"total": float("inf")}, (None, None, None, None)),
        ("many", (None, None, None, None)),
        ([], (None, None, None, None)),
    ],
)
def test_rows(metrics: object, rows: tuple[int | None, ...]) -> None:
    """A count that is missing, null or not a count is unknown. It is neither 0 nor an error."""
    sync = a_sync(metrics=metrics)

    assert (sync.rows_total, sync.rows_changed, sync.rows_succeeded, sync.rows_failed) == rows


@pytest.mark.parametrize(
    ("succeeded", "failed", "ratio"),
    [(3, 1, 0.75), (0, 0, None), (5, 0, 1.0), (0, 5, 0.0), (None, 1, None), (1, None, None)],
)
def test_success_ratio(succeeded: int | None, failed: int | None, ratio: float | None) -> None:
    """The ratio is of the sent rows. It is unknown if a count is unknown or no row was sent."""
    sync = a_sync(metrics={"succeeded": {"total": succeeded}, "failed": {"total": failed}})

    assert sync.success_ratio == ratio


@pytest.mark.parametrize(
    ("started", "finished", "seconds"),
    [
        ("2026-01-05T10:00:00Z", "2026-01-05T10:01:00.5Z", 60.5),
        ("2026-01-05T10:01:00Z", "2026-01-05T10:00:00Z", 0.0),
        (None, "2026-01-05T10:00:00Z", None),
        ("2026-01-05T10:00:00Z", None, None),
    ],
)
def test_duration(started: str | None, finished: str | None, seconds: float | None) -> None:
    """A duration is never negative. It is unknown if the start or the end is unknown."""
    sync = a_sync(status="succeeded", startedAt=started, finishedAt=finished)

    assert sync.duration_seconds == seconds


@pytest.mark.parametrize("status", ["running", "Running", "warming up"])
@pytest.mark.parametrize(
    "finished",
    [
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "2026-01-05T09:59:59Z",
        "2999-01-01T00:00:00Z",
    ],
)
def test_finished_at__impossible(status: str, finished: str) -> None:
    """An end time that cannot be one is unknown, so that the sync counts as running: the zero time,
    one before the start, one in the future."""
    sync = a_sync(status=status, startedAt="2026-01-05T10:00:00Z", finishedAt=finished)

    assert (sync.finished_at, sync.is_over) == (None, False)


@pytest.mark.parametrize(
    ("finished", "is_over"),
    [
        ("2999-01-01T00:00:00Z", True),
        ("2026-01-05T09:59:59Z", False),
        ("1970-01-01T00:00:00Z", False),
    ],
)
def test_finished_at__aborted(finished: str, is_over: bool) -> None:
    """A sync that is aborted has ended, also if RudderStack's clock is ahead of ours."""
    sync = a_sync(status="aborted", startedAt="2026-01-05T10:00:00Z", finishedAt=finished)

    assert sync.is_over is is_over


def test_finished_at__running() -> None:
    """While a sync is running, no end time means anything."""
    sync = a_sync(startedAt="2026-01-05T10:00:00Z", finishedAt="2026-01-05T10:00:05Z")

    assert (sync.finished_at, sync.duration_seconds) == (None, None)


def test_finished_at__zero_time_of_a_success() -> None:
    """The zero time is no end time, also if the status says that the sync is over."""
    sync = a_sync(status="succeeded", finishedAt="1970-01-01T00:00:00Z")

    assert (sync.finished_at, sync.is_over) == (None, True)


# --- statuses


@pytest.mark.parametrize(
    ("status", "finished", "state"),
    [
        ("running", False, SyncState.RUNNING),
        ("running", True, SyncState.RUNNING),
        ("succeeded", True, SyncState.SUCCEEDED),
        ("succeeded", False, SyncState.SUCCEEDED),
        ("Succeeded ", True, SyncState.SUCCEEDED),
        ("failed", True, SyncState.FAILED),
        ("FAILED", False, SyncState.FAILED),
        ("Aborted", True, SyncState.ABORTED),
        ("cancelled", True, SyncState.ABORTED),
        ("Aborted", False, SyncState.UNKNOWN_RUNNING),
        ("Completed, with failures", True, SyncState.UNKNOWN_OVER),
        ("completed", True, SyncState.UNKNOWN_OVER),
        ("success", True, SyncState.UNKNOWN_OVER),
        ("queued", False, SyncState.UNKNOWN_RUNNING),
        ("", True, SyncState.UNKNOWN_OVER),
        ("", False, SyncState.UNKNOWN_RUNNING),
    ],
)
def test_sync_state(status: str, finished: bool, state: SyncState) -> None:
    """Only `succeeded` is a success. An unknown status is over if the sync has an end time."""
    assert sync_state(status, finished=finished) is state
    ended = "2026-01-05T10:00:00Z" if finished else None
    assert a_sync(status=status, finishedAt=ended).state is state


def test_is_over() -> None:
    """Every state is over or not, and a sync agrees with its state."""
    going_on = {state for state in SyncState if not state.is_over}

    assert going_on == {SyncState.RUNNING, SyncState.UNKNOWN_RUNNING}
    assert not a_sync().is_over
    assert a_sync(status="failed").is_over


def test_status__hostile() -> None:
    """A status is one clean short line, since it is logged."""
    status = a_sync(status="run\nning\x1b[2J" + "x" * 500).status

    assert status.startswith("run ning [2Jxxx")
    assert len(status) == 100


# --- ids and texts


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2hkeBOp0lGJpMPyur0oXUxxIDhw", "2hkeBOp0lGJpMPyur0oXUxxIDhw"),
        ("", ""),
        ("a\nb", "a\ufffdb"),
        ("a\x00", "a\ufffd"),
        ("a\ud800", "a\ufffd"),
        ("x" * 128, "x" * 128),
        ("x" * 129, "x" * 128 + "…"),
    ],
)
def test_id(given: str, shown: str) -> None:
    """An id is safe to log, and an unusable id stays unusable."""
    assert a_sync(id=given).id == shown


def test_texts__half_an_emoji() -> None:
    """A sync whose error text is cut inside a character can be read."""
    body = '{"id": "s1", "status": "failed", "error": "row 7: \\ud83d"}'

    assert Sync.model_validate(json.loads(body)).error == "row 7: \ufffd"


@pytest.mark.parametrize("error", [None, "", 7, ["no"], {"message": "no"}])
def test_error__not_a_text(error: object) -> None:
    """An error that is not a text is ignored."""
    assert a_sync(error=error).error is None


@pytest.mark.parametrize("missing", ["id", "status"])
def test_sync__required(missing: str) -> None:
    """A sync without an id or a status is refused."""
    fields = {"id": "s1", "status": "running"}
    del fields[missing]

    with pytest.raises(ValidationError, match=missing):
        Sync.model_validate(fields)


# --- connections, sources, destinations


def test_connection__least() -> None:
    """A connection needs three ids and nothing else."""
    connection = a_connection()

    assert connection.enabled
    assert connection.schedule is None
    assert (connection.identifiers, connection.mappings, connection.constants) == ((), (), ())


@pytest.mark.parametrize(
    ("enabled", "means"),
    [(True, True), (False, False), ("false", False), (None, True), ({}, True), ("maybe", True)],
)
def test_connection__enabled(enabled: object, means: bool) -> None:
    """Only a flag that is false disables a connection."""
    assert a_connection(enabled=enabled).enabled is means


def test_connection__mappings() -> None:
    """Broken mappings are left out. The others stay in order."""
    connection = a_connection(
        mappings=[
            {"from": "a", "to": "A"},
            None,
            {"from": "b"},
            7,
            {"from": "c", "to": "C"},
        ],
        identifiers=None,
        constants=[{"key": "k"}, "no"],
    )

    assert connection.mappings == (
        Mapping(source_column="a", destination_field="A"),
        Mapping(source_column="c", destination_field="C"),
    )
    assert connection.constants == ({"key": "k"},)


@pytest.mark.parametrize("schedule", [None, {}, [], "cron", {"type": 7}])
def test_connection__broken_schedule(schedule: object) -> None:
    """A schedule that cannot be read is unknown. The connection is read."""
    assert a_connection(schedule=schedule).schedule is None


def test_connection__schedule() -> None:
    """A schedule is read without its broken values."""
    schedule = a_connection(
        schedule={"type": "basic", "everyMinutes": 30.0, "cronExpression": None}
    ).schedule

    assert schedule == Schedule(type="basic", every_minutes=30)
    assert Schedule(type="basic", every_minutes=1e300).every_minutes is None


@pytest.mark.parametrize(
    ("settings", "means"),
    [
        (None, True),
        ({}, True),
        ("broken", True),
        ({"syncLogsConfig": None}, True),
        ({"syncLogsConfig": ["broken"]}, True),
        ({"syncLogsConfig": {"enabled": None}}, True),
        ({"syncLogsConfig": {"enabled": True}}, True),
        ({"syncLogsConfig": {"enabled": False}}, False),
        ({"syncLogsConfig": {"enabled": False, "snapshotsToRetain": "many"}}, False),
    ],
)
def test_connection__sync_logs(settings: object, means: bool) -> None:
    """Only a flag that is false switches the sync logs off."""
    assert a_connection(syncSettings=settings).sync_logs.enabled is means


@pytest.mark.parametrize("config", [None, [], "x", 7])
def test_source__broken_config(config: object) -> None:
    """A config that is not an object is empty."""
    source = Source.model_validate(
        {"id": "s", "name": "n", "sourceType": "table", "config": config}
    )

    assert source.config == {}


def test_no_model_keeps_credentials() -> None:
    """The configurations that may hold credentials are not read."""
    secret = {"config": {"apiKey": "hush-hush"}, "destinationConfig": {"apiKey": "hush-hush"}}
    destination = Destination.model_validate({"id": "d", "name": "n", "type": "WEBHOOK", **secret})
    settings = {"syncLogsConfig": secret, **secret}
    connection = a_connection(**secret, syncSettings=settings, event=secret)

    assert "hush-hush" not in destination.model_dump_json() + connection.model_dump_json()


def test_source__repr() -> None:
    """The repr of a source does not show its configuration, which holds the SQL."""
    source = Source.model_validate(
        {"id": "s", "name": "n", "sourceType": "model", "config": {"sql": "select hush"}}
    )

    assert "hush" not in repr(source)


def test_immutable() -> None:
    """Models are immutable."""
    with pytest.raises(ValidationError):
        a_sync().id = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("paging", "following"),
    [({"next": "?page=2"}, "?page=2"), ({"next": ""}, None), ({"next": None}, None), ({}, None)],
)
def test_paging(paging: dict[str, str], following: str | None) -> None:
    """An empty `next` is None."""
    assert Paging.model_validate(paging).next == following


@pytest.mark.parametrize("model", ApiModel.__subclasses__())
def test_aliases(model: type[ApiModel]) -> None:
    """Every field of every model is camelCase in JSON."""
    for name, info in model.model_fields.items():
        assert info.alias is not None
        assert "_" not in info.alias, name
