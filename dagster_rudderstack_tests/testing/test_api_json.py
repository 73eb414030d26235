"""The odd shapes in which a sync can show itself."""

import httpx
import pytest

from dagster_rudderstack.testing import LocalRudderStack, SyncScript, TableSync

FULL = {"succeeded": {"total": 5}, "failed": {"total": 0}, "changed": {"total": 5}, "total": 5}


def shown(server: LocalRudderStack, api: httpx.Client, script: SyncScript) -> dict[str, object]:
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
    """Metrics can be whole, null, or partly there."""
    assert shown(server, api, script)["metrics"] == metrics


def test_metrics__missing(server: LocalRudderStack, api: httpx.Client) -> None:
    """Metrics can be missing altogether."""
    assert "metrics" not in shown(server, api, SyncScript(metrics="missing"))


def test_no_finish(server: LocalRudderStack, api: httpx.Client) -> None:
    """A status can sound like the end though no end is told."""
    sync = shown(server, api, SyncScript(status="Aborted", finished=False))

    assert (sync["status"], sync["finishedAt"]) == ("Aborted", None)
    assert sync["startedAt"] is not None


def test_null_timestamps(server: LocalRudderStack, api: httpx.Client) -> None:
    """A sync can come without any times."""
    sync = shown(server, api, SyncScript(null_timestamps=True))

    assert (sync["startedAt"], sync["finishedAt"]) == (None, None)


def test_connection(server: LocalRudderStack, api: httpx.Client) -> None:
    """A connection shows what it was given, and further fields as they are."""
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

    shows = api.get("/retl-connections/crm").json()

    assert shows["sourceId"] == "warehouse"
    assert shows["destinationId"] == "hubspot"
    assert shows["schedule"]["cronExpression"] == "0 * * * *"
    assert shows["identifiers"] == [{"from": "id", "to": "Id"}]
    assert shows["mappings"] == [{"from": "mail", "to": "Email"}]
    assert shows["constants"] == [{"key": "origin", "value": "dwh"}]
    assert (shows["object"], shows["externalId"]) == ("Contact", "x1")


def test_connection__of_a_table(server: LocalRudderStack, api: httpx.Client) -> None:
    """A connection with a table shows the mappings of the table."""
    mappings = {"id": "Id", "mail": "Email"}
    server.add_connection("crm", table=TableSync("w.duckdb", "t", mappings=mappings))
    server.add_connection("ads", table=TableSync("w.duckdb", "t"))

    crm, ads = api.get("/retl-connections").json()["data"]

    assert crm["identifiers"] == [{"from": "id", "to": "Id"}]
    assert crm["mappings"] == [{"from": "mail", "to": "Email"}]
    assert (ads["identifiers"], ads["mappings"]) == ([{"from": "id", "to": "id"}], None)


def test_run__camel_case(server: LocalRudderStack, api: httpx.Client) -> None:
    """A run of a project shows its times in camelCase unless it is told otherwise."""
    server.add_project("project")
    run_id = api.post("/sources/project/start").json()["runId"]
    run = api.get(f"/sources/project/runs/{run_id}/status").json()

    assert (run["jobRunId"], run["status"], run["error"]) == (run_id, "finished", None)
    assert run["startedAt"] == run["finishedAt"]


def test_removed_connection(server: LocalRudderStack, api: httpx.Client) -> None:
    """A connection that was taken away is not found."""
    server.add_connection("crm")
    server.remove_connection("crm")

    assert api.get("/retl-connections/crm").status_code == 404
