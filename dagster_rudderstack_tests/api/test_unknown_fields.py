"""Fields that RudderStack does not document are kept, apart from the facts of the library."""

import copy
import pickle
import pprint
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from dagster_rudderstack.api import fields
from dagster_rudderstack.api.fields import CREDENTIALS, ApiModel
from dagster_rudderstack.api.models import (
    Connection,
    Destination,
    Source,
    Sync,
    SyncMetrics,
    SyncState,
    Workspace,
)
from dagster_rudderstack.errors import SyncFailedError, UnexpectedResponseError
from dagster_rudderstack.sync.request import SyncReport
from dagster_rudderstack_tests.api.contract import DOCUMENT
from dagster_rudderstack_tests.api.raw_server import exchange, in_json
from dagster_rudderstack_tests.api.test_client_fuzz import ANY_JSON

SYNC = {
    "id": "s1",
    "status": "succeeded",
    "startedAt": "2026-01-05T10:00:00Z",
    "finishedAt": "2026-01-05T10:01:00Z",
    "error": None,
    "metrics": {"succeeded": {"total": 3}, "failed": {"total": 1}, "total": 9},
}
HOSTILE = dict.fromkeys(
    (
        *("", "_x", "__x__", "x" * 1000, "é", "a b", "\n", "a.b", "self", "cls", "data", "from"),
        *("state", "is_over", "has_usable_id", "rows_failed", "rowsFailed", "success_ratio"),
        *("copy", "json", "dict", "of", "unknown_in", "without_unknown", "model_extra"),
        *("model_config", "model_fields", "model_fields_set", "model_dump", "model_post_init"),
        *("__class__", "__dict__", "__doc__", "__init__", "__getattr__", "__reduce__", "__slots__"),
        *("__getstate__", "__setstate__", "__deepcopy__", "__pydantic_extra__", "_repr_html_"),
        *("__pydantic_fields_set__", "__pydantic_private__", "__pydantic_validator__"),
        *("env_var_name", "retryable", "connection", "destination_config"),
    ),
    "hush-hush",
)
OF_A_REPORT = dict.fromkeys(
    (
        *("connection_id", "connectionId", "sync_type", "syncType", "origin"),
        *("failed_rows_sql", "failedRowsSql", "failed_rows_note", "failedRowsNote"),
    ),
    "hush-hush",
)
PYTHON_NAMES = {"started_at": "1999-01-01T00:00:00Z", "finished_at": "hush-hush"}


def a_sync(**more: Any) -> Sync:
    return Sync.model_validate({**SYNC, **more})


def a_report(sync: Sync) -> SyncReport:
    return SyncReport.of(sync, "crm", "full", "started")


# --- where they are


def test_model_extra() -> None:
    """Unknown fields of an object and of the objects in it are in `model_extra`."""
    batches = [{"id": 1}, None, 1.5]
    sync = a_sync(batches=batches, triggeredBy="me", metrics={"total": 9, "skipped": {"total": 2}})
    connection = Connection.model_validate(
        {
            "id": "c",
            "sourceId": "s",
            "destinationId": "d",
            "owner": "me",
            "schedule": {"type": "cron", "timeZone": "UTC"},
            "syncSettings": {"a": 1, "syncLogsConfig": {"b": 2}},
            "mappings": [{"from": "a", "to": "b", "isKey": True}],
            "event": {"c": 3},
        }
    )

    assert sync.model_extra == {"batches": batches, "triggeredBy": "me"}
    assert sync.metrics
    assert sync.metrics.model_extra == {"skipped": {"total": 2}}
    assert connection.model_extra == {"owner": "me"}
    assert connection.schedule
    assert connection.schedule.model_extra == {"timeZone": "UTC"}
    assert connection.sync_settings
    assert connection.sync_settings.model_extra == {"a": 1}
    assert connection.sync_logs.model_extra == {"b": 2}
    assert connection.mappings[0].model_extra == {"isKey": True}
    assert connection.event
    assert connection.event.model_extra == {"c": 3}


def test_model_extra__none() -> None:
    """An object with documented fields only has an empty `model_extra`."""
    assert a_sync().model_extra == {}
    assert SyncMetrics().model_extra == {}


@pytest.mark.parametrize("more", [{}, HOSTILE, OF_A_REPORT, PYTHON_NAMES, {"metrics": HOSTILE}])
def test_facts(more: dict[str, Any]) -> None:
    """No unknown field changes what a sync says, or how it is handled."""
    sync, plain = a_sync(**more), a_sync(metrics=more.get("metrics", SYNC["metrics"]))

    assert type(sync) is Sync
    assert (sync.id, sync.status, sync.state) == ("s1", "succeeded", SyncState.SUCCEEDED)
    assert (sync.is_over, sync.duration_seconds) == (True, 60.0)
    assert (sync.started_at, sync.finished_at) == (plain.started_at, plain.finished_at)
    assert (sync.rows_total, sync.rows_failed) == (plain.rows_total, plain.rows_failed)
    assert hash(sync) == hash(plain)
    assert sync.without_unknown() == plain.without_unknown()


def test_hostile_names() -> None:
    """A field with any name is kept under this name."""
    assert a_sync(**HOSTILE).model_extra == HOSTILE


@pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning")
@pytest.mark.parametrize("name", [*OF_A_REPORT, *HOSTILE, "never_sent"])
def test_no_attribute(name: str) -> None:
    """An unknown field is no attribute, so that it is never taken for one of the library."""
    sync = a_sync(**OF_A_REPORT, **HOSTILE)

    assert hasattr(sync, name) == hasattr(Sync(id="s1", status="succeeded"), name)
    assert getattr(sync, name, None) != "hush-hush"


def test_python_names() -> None:
    """A field with the Python name of a field that is there as well is dropped."""
    sync = a_sync(**PYTHON_NAMES, x=1)

    assert sync.model_extra == {"x": 1}
    assert sync.model_fields_set <= set(Sync.model_fields)
    assert Sync.model_validate(sync.model_dump()) == sync


# --- credentials


def documented(schema: Any) -> set[str]:
    """Return the names of all fields in a part of the contract."""
    if isinstance(schema, list):
        return {name for each in schema for name in documented(each)}
    if not isinstance(schema, dict):
        return set()
    inner = {name for each in schema.values() for name in documented(each)}
    return inner.union(schema.get("properties", ()))


def test_credentials__documented() -> None:
    """Each name in the list of fields that may hold credentials is one of the contract."""
    assert documented(DOCUMENT["components"]["schemas"]) >= CREDENTIALS


@pytest.mark.parametrize("name", sorted(CREDENTIALS))
@pytest.mark.parametrize("value", ["hush-hush", {"apiKey": "hush-hush"}, ["hush-hush"]])
def test_credentials(name: str, value: Any) -> None:
    """A documented field that may hold credentials is dropped from every object."""
    secret = {name: value, "x": 1}
    found: list[BaseModel] = [
        Destination.model_validate({"id": "d", "name": "n", "type": "HS", **secret}),
        Connection.model_validate(
            {"id": "c", "sourceId": "s", "destinationId": "d", "schedule": secret, **secret}
        ),
        Workspace.model_validate({"id": "w", "name": "n", **secret}),
        a_sync(metrics=secret, **secret),
    ]

    for each in found:
        assert each.model_extra == {"x": 1}
        assert "hush-hush" not in each.model_dump_json()


# --- where they are not


@pytest.mark.parametrize("more", [HOSTILE, {"x": {"apiKey": "hush-hush"}}])
def test_repr(more: dict[str, Any]) -> None:
    """No text of an object has an unknown field: it may be a secret."""
    connection = Connection.model_validate(
        {
            "id": "c",
            "sourceId": "s",
            "destinationId": "d",
            "mappings": [{"from": "a", "to": "b"}],
            **more,
            "schedule": {"type": "cron", **more},
        }
    )
    sync = a_sync(metrics={"total": 1, **more}, **more)
    shown = [
        text
        for each in (connection, sync, a_report(sync))
        for text in (repr(each), str(each), f"{each}", pprint.pformat(each), pprint.pformat([each]))
    ]

    assert [text for text in shown if "hush-hush" in text or "apiKey" in text] == []
    assert repr(sync) == repr(a_sync(metrics={"total": 1}))
    assert "origin='started'" in repr(a_report(sync))


def test_error() -> None:
    """No error about an object shows an unknown field."""
    broken = {"id": 7, "status": {}, **HOSTILE}
    with pytest.raises(ValidationError):
        Workspace.model_validate(broken)
    with (
        exchange(in_json({"workspace": broken})) as (_, client),
        pytest.raises(UnexpectedResponseError) as caught,
    ):
        client.get_workspace()

    assert "hush-hush" not in str(caught.value)


# --- copies


@pytest.mark.parametrize("more", [{}, HOSTILE, OF_A_REPORT, {"x": [{"y": None}]}])
def test_copies(more: dict[str, Any]) -> None:
    """An object with unknown fields can be pickled and copied, also in an error."""
    sync = a_sync(metrics={"total": 1, **more}, **more)
    error = SyncFailedError("It failed.", connection_id="crm", sync=sync)

    for each in (sync, a_report(sync)):
        for made in (
            pickle.loads(pickle.dumps(each)),  # noqa: S301 - our own
            copy.copy(each),
            copy.deepcopy(each),
            each.model_copy(update={"status": each.status}),
            type(each).model_validate(each),
        ):
            assert made == each
            assert type(made) is type(each)
            assert made.model_extra == each.model_extra
    assert pickle.loads(pickle.dumps(error)).sync == sync  # noqa: S301


def test_without_unknown() -> None:
    """A copy without unknown fields has them nowhere, and the object keeps its own."""
    connection = Connection.model_validate(
        {
            "id": "c",
            "sourceId": "s",
            "destinationId": "d",
            "x": "hush-hush",
            "mappings": [{"from": "a", "to": "b", "x": "hush-hush"}],
            "syncSettings": {"syncLogsConfig": {"x": "hush-hush"}, "x": "hush-hush"},
            "schedule": {"type": "cron", "x": "hush-hush"},
            "constants": [{"key": "k", "value": "v"}],
        }
    )
    written = connection.model_dump_json()
    known = connection.without_unknown()

    assert "hush-hush" not in known.model_dump_json()
    assert known.mappings[0].source_column == "a"
    assert known.constants == ({"key": "k", "value": "v"},)
    assert known.model_fields_set == connection.model_fields_set
    assert connection.model_dump_json() == written
    assert written.count("hush-hush") == 5


# --- reports


@pytest.mark.parametrize(
    "more", [{}, HOSTILE, OF_A_REPORT, PYTHON_NAMES, {**HOSTILE, **OF_A_REPORT}]
)
def test_report__facts(more: dict[str, Any]) -> None:
    """No unknown field of a sync changes a fact of its report."""
    report = a_report(a_sync(**more))

    assert (report.connection_id, report.sync_type, report.origin) == ("crm", "full", "started")
    assert (report.failed_rows_sql, report.failed_rows_note) == (None, None)
    assert (report.id, report.state, report.rows_failed) == ("s1", SyncState.SUCCEEDED, 1)
    assert dict(report)["origin"] == report.model_dump()["origin"] == "started"
    assert report.model_dump(by_alias=True)["connectionId"] == "crm"
    assert report.without_unknown() == a_report(a_sync())


def test_report__unknown_fields() -> None:
    """A report has the unknown fields of its sync, except those with the name of its own fields."""
    sync = a_sync(**HOSTILE, **OF_A_REPORT, metrics={"total": 1, "skipped": 2})
    report = a_report(sync)

    assert sync.model_extra == {**HOSTILE, **OF_A_REPORT}
    assert report.model_extra == HOSTILE
    assert report.metrics
    assert report.metrics.model_extra == {"skipped": 2}
    noted = report.model_copy(update={"failed_rows_sql": "SELECT 1", "failed_rows_note": "Run it."})
    assert (noted.failed_rows_sql, noted.model_extra) == ("SELECT 1", HOSTILE)


# --- limits


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_limit__nesting() -> None:
    """A value that is nested too deeply is dropped, since Python could not copy the object."""
    most = fields.MAX_UNKNOWN_LEVELS
    sync = a_sync(a=nested(900), b=nested(most - 2), c=nested(most), d=1)

    assert sync.model_extra == {"b": nested(most - 2), "d": 1}


@pytest.mark.parametrize(
    "large",
    ["x" * 20_000, [0] * 3_000, {str(number): 0 for number in range(500)}, [[]] * 400, 2**150_000],
    ids=["text", "list", "object", "lists", "number"],
)
def test_limit__large_value(large: Any) -> None:
    """A value that is too large is dropped, and costs no other field."""
    assert a_sync(a=1, b=large, c=[large], d={"e": large}, f=2).model_extra == {"a": 1, "f": 2}


def test_limit__many_fields() -> None:
    """Of very many fields, the first ones are kept."""
    many = {f"field{number}": f"value {number}" for number in range(1_000)}

    kept = a_sync(**many).model_extra or {}

    assert 50 < len(kept) < 200
    assert list(kept) == list(many)[: len(kept)]


def test_limit__memory() -> None:
    """However many unknown fields a sync has, they take less than 20 KB."""

    def memory(**more: Any) -> int:
        content = [
            {**SYNC, **{k: f"{v} {number}" for k, v in more.items()}} for number in range(50)
        ]
        tracemalloc.start()
        syncs = [Sync.model_validate(each) for each in content]
        del content
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return taken // len(syncs)

    assert memory(**{f"field{number}": "value" for number in range(800)}) - memory() < 20_000


@given(st.dictionaries(st.text(max_size=12), ANY_JSON, max_size=6))
def test_any_fields(more: dict[str, Any]) -> None:
    """With any unknown fields, a sync can be read, copied, reported, shown and written."""
    sync = Sync.model_validate({**more, **SYNC})
    report = a_report(sync)

    copied = pickle.loads(pickle.dumps(report))  # noqa: S301 - our own
    # NaN differs from itself.
    assert repr(copied.model_extra) == repr(report.model_extra)
    assert repr(sync) == repr(a_sync())
    assert report.model_dump_json()
    assert (sync.state, report.origin) == (SyncState.SUCCEEDED, "started")


@pytest.mark.parametrize("model", ApiModel.__subclasses__())
def test_every_model(model: type[ApiModel]) -> None:
    """Every model has the same rules."""
    assert model.model_config["extra"] == "allow"
    assert model.__repr_args__ is ApiModel.__repr_args__
    assert model.__getattr__ is ApiModel.__getattr__  # type: ignore[attr-defined]


def test_source__config() -> None:
    """The `config` of a source is a field of its own."""
    source = Source.model_validate(
        {"id": "s", "name": "n", "sourceType": "table", "config": {"table": "t"}, "x": 1}
    )

    assert (source.config, source.model_extra) == ({"table": "t"}, {"x": 1})
