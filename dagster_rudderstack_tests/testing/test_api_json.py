"""The JSON of syncs, connections and runs, also in unusual shapes."""

import httpx
import pytest

from dagster_rudderstack.testing import (
    LocalRudderStack,
    RunScript,
    SyncScript,
    TableSync,
)

FULL = {"succeeded": {"total": 5}, "failed": {"total": 0}, "changed": {"total": 5}, "total": 5}


def sync_json(server: LocalRudderStack, api: httpx.Client, script: SyncScript) -> dict[str, object]:
    server.add_connection("crm", script=script)
    sync_id = server.start_sync("crm")
    content = api.get(f"/retl-connections/crm/syncs/{sync_id}").json()
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize(
    ("script", "metrics"),
    [
        (SyncScript(rows_total=5), FULL),
        (SyncScript(rows_total=5, metrics="null"), None),
        (SyncScript(rows_total=5, rows_failed=None), {**FULL, "failed": {"total": None}}),
        (
            SyncScript(rows_total=5, metrics="partial"),
            {"succeeded": {"total": 5}, "failed": None, "changed": {}},
        ),
    ],
)
def test_metrics(
    server: LocalRudderStack, api: httpx.Client, script: SyncScript, metrics: object
) -> None:
    """Metrics can be complete, null or partial."""
    assert sync_json(server, api, script)["metrics"] == metrics


def test_metrics__missing(server: LocalRudderStack, api: httpx.Client) -> None:
    """Metrics can be missing."""
    assert "metrics" not in sync_json(server, api, SyncScript(metrics="missing"))


def test_wire_fields(server: LocalRudderStack, api: httpx.Client) -> None:
    """A script can add fields to those that the API returns, and replace them."""
    sync = sync_json(server, api, SyncScript(wire_fields={"error": "no", "batches": [{"id": 1}]}))

    assert (sync["error"], sync["batches"], sync["status"]) == ("no", [{"id": 1}], "succeeded")


def test_no_finish(server: LocalRudderStack, api: httpx.Client) -> None:
    """A sync can have a final status without `finishedAt`."""
    sync = sync_json(server, api, SyncScript(status="Aborted", finished=False))

    assert (sync["status"], sync["finishedAt"]) == ("Aborted", None)
    assert sync["startedAt"] is not None


def test_null_timestamps(server: LocalRudderStack, api: httpx.Client) -> None:
    """A sync can have null for both times."""
    sync = sync_json(server, api, SyncScript(null_timestamps=True))

    assert (sync["startedAt"], sync["finishedAt"]) == (None, None)


def test_connection(server: LocalRudderStack, api: httpx.Client) -> None:
    """A connection has the fields that were set, and the wire fields as they are."""
    server.add_connection(
        "crm",
        "warehouse",
        "hubspot",
        schedule={"type": "cron", "cronExpression": "0 * * * *"},
        identifiers={"id": "Id"},
        mappings=[{"from": "mail", "to": "Email"}],
        constants=[{"key": "origin", "value": "dwh"}],
        object="Contact",
        externalId="x1",
    )

    content = api.get("/retl-connections/crm").json()

    assert content["sourceId"] == "warehouse"
    assert content["destinationId"] == "hubspot"
    assert content["schedule"]["cronExpression"] == "0 * * * *"
    assert content["identifiers"] == [{"from": "id", "to": "Id"}]
    assert content["mappings"] == [{"from": "mail", "to": "Email"}]
    assert content["constants"] == [{"key": "origin", "value": "dwh"}]
    assert (content["object"], content["externalId"]) == ("Contact", "x1")


def test_connection__of_a_table(server: LocalRudderStack, api: httpx.Client) -> None:
    """A connection with a table has the mappings of the table."""
    mappings = {"id": "Id", "mail": "Email"}
    server.add_connection("crm", table=TableSync("w.duckdb", "t", mappings=mappings))
    server.add_connection("ads", table=TableSync("w.duckdb", "t"))

    crm, ads = api.get("/retl-connections").json()["data"]

    assert crm["identifiers"] == [{"from": "id", "to": "Id"}]
    assert crm["mappings"] == [{"from": "mail", "to": "Email"}]
    assert (ads["identifiers"], ads["mappings"]) == ([{"from": "id", "to": "id"}], None)


def test_run__camel_case(server: LocalRudderStack, api: httpx.Client) -> None:
    """A run has camelCase keys by default, a job id of its own, and a task."""
    server.add_project("project")
    run_id = api.post("/sources/project/start").json()["runId"]
    run = api.get(f"/sources/project/runs/{run_id}/status").json()

    assert (run["id"], run["jobRunId"], run["status"]) == (run_id, run_id, "finished")
    assert (len(run_id), len(run["jobId"])) == (20, 27)
    assert run["startedAt"] == run["finishedAt"]
    (task,) = run["tasks"]
    assert (task["status"], task["startedAt"]) == ("finished", run["startedAt"])


@pytest.mark.parametrize("snake_case", [True, False])
def test_run__error_and_end_are_absent(
    server: LocalRudderStack, api: httpx.Client, snake_case: bool
) -> None:
    """A run has no error and no end until they are known."""
    script = RunScript(never_ends=True, error="no credits", snake_case=snake_case)
    server.add_project("project", script)
    run_id = api.post("/sources/project/start").json()["runId"]

    run = api.get(f"/sources/project/runs/{run_id}/status").json()

    for part in (run, *run["tasks"]):
        assert not {"error", "finishedAt", "finished_at"} & set(part)
        assert ("started_at" in part, "startedAt" in part) == (snake_case, not snake_case)


def test_removed_connection(server: LocalRudderStack, api: httpx.Client) -> None:
    """A removed connection is not found."""
    server.add_connection("crm")
    server.remove_connection("crm")

    assert api.get("/retl-connections/crm").status_code == 404
