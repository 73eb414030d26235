"""One complete sample per model, as in the reference. Ids and values are made up."""

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from dagster_rudderstack.api import models
from dagster_rudderstack.api.fields import CREDENTIALS, ApiModel
from dagster_rudderstack.api.models import Connection, Destination, Mapping, Source, Sync, SyncState
from dagster_rudderstack.api.source_runs import SourceRun, SourceRunTask
from dagster_rudderstack_tests.api.contract import DOCUMENT, is_allowed

FOLDER = Path(__file__).parents[1] / "sample_data"
MODELS = {model.__name__: model for model in ApiModel.__subclasses__()}
SCHEMA_NAMES = {
    "Connection": "RetlConnection",
    "Source": "RetlSource",
    "Sync": "RetlSync",
}
INNER_SCHEMAS = {
    "Event": ("RetlConnection", "event"),
    "SyncLogsConfig": ("RetlConnection", "syncSettings", "syncLogsConfig"),
    "SyncMetrics": ("RetlSync", "metrics"),
    "SyncSettings": ("RetlConnection", "syncSettings"),
}
UNKNOWN = {"Destination": {"externalId", "version"}, "SyncSettings": {"failedKeysConfig"}}
"""Documented fields that the library does not use. They are in `model_extra`."""
RUNS = {"SourceRun", "SourceRunTask"}
"""Models whose fields come in two spellings."""


def sample(name: str) -> Any:
    """Read a sample."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def schema_of(name: str) -> dict[str, Any]:
    outer, *path = INNER_SCHEMAS.get(name, (SCHEMA_NAMES.get(name, name),))
    schema: dict[str, Any] = DOCUMENT["components"]["schemas"][outer]
    for inner in path:
        schema = schema["properties"][inner]
    return schema


def test_every_model_has_a_sample() -> None:
    """Every model has a sample."""
    exported = {name for name in models.__all__ if name in MODELS} | RUNS

    assert {path.stem for path in FOLDER.glob("*.json")} == exported


@pytest.mark.parametrize("name", sorted(MODELS.keys() - RUNS))
def test_sample(name: str) -> None:
    """A sample is valid, has every documented field, and all are read but for credentials."""
    content, schema = sample(name), schema_of(name)
    read = MODELS[name].model_validate(content)

    assert is_allowed(content, schema)
    assert set(content) == set(schema["properties"])
    written = json.loads(read.model_dump_json(by_alias=True))
    assert set(written) == set(content) - (CREDENTIALS - MODELS[name].model_fields.keys())
    assert set(read.model_extra or {}) == UNKNOWN.get(name, set())


def test_sync() -> None:
    """A sync has numbers and aware times."""
    sync = Sync.model_validate(sample("Sync"))

    assert sync.started_at == datetime(2026, 1, 5, 10, 0, 0, 123_000, tzinfo=timezone.utc)
    assert sync.duration_seconds == 245.5
    assert (sync.rows_total, sync.rows_changed) == (50_000, 1_200)
    assert (sync.rows_succeeded, sync.rows_failed) == (1_198, 2)
    assert sync.success_ratio == 1_198 / 1_200
    assert sync.is_over
    assert sync.error is None


def test_sync_goes_round() -> None:
    """A sync that was written as JSON is read again unchanged."""
    sync = Sync.model_validate(sample("Sync"))

    assert Sync.model_validate_json(sync.model_dump_json()) == sync
    assert sync.model_dump(mode="json", by_alias=True)["metrics"] == sample("Sync")["metrics"]


def test_source_run() -> None:
    """The sample of a run has every documented field, and each is read in either spelling."""
    content = sample("SourceRun")
    run = SourceRun.model_validate(content)

    assert is_allowed(content, schema_of("SourceRun"))
    assert set(content) == set(schema_of("SourceRun")["properties"])
    assert (run.id, run.job_id, run.error) == (content["id"], content["jobId"], None)
    assert (run.state, run.duration_seconds) == (SyncState.SUCCEEDED, 245.5)
    assert run.model_extra == {"jobRunId": content["id"]}
    (task,) = run.tasks
    assert (task.task_id, task.status, task.error) == ("models/user_features", "finished", None)


def test_source_run_task() -> None:
    """A task has its times and its error."""
    task = SourceRunTask.model_validate(sample("SourceRunTask"))

    assert (task.task_id, task.status) == ("models/user_features", "failed")
    assert (task.started_at, task.finished_at) == (
        datetime(2026, 1, 5, 10, 0, 1, tzinfo=timezone.utc),
        datetime(2026, 1, 5, 10, 4, 5, tzinfo=timezone.utc),
    )
    assert task.error == 'relation "users" does not exist'
    assert not task.model_extra


def test_connection() -> None:
    """A connection has its mappings."""
    connection = Connection.model_validate(sample("Connection"))

    assert connection.mappings[0] == Mapping(
        source_column="first_name", destination_field="firstname"
    )
    assert connection.schedule is not None
    assert connection.schedule.type == "manual"
    assert connection.constants == ({"key": "origin", "value": "warehouse"},)
    assert connection.sync_logs.snapshots_to_retain == 5
    assert "never read" not in connection.model_dump_json()


def test_source_and_destination() -> None:
    """A source has its table. A destination does not show its credentials."""
    source = Source.model_validate(sample("Source"))
    destination = Destination.model_validate(sample("Destination"))

    assert source.config["table"] == "CUSTOMER_360"
    assert destination.type == "HS"
    assert "never read" not in destination.model_dump_json()
