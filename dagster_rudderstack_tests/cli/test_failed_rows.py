"""`failed-rows`: the SQL goes to the output, so that it can be piped into a client."""

import pytest

from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.cli.conftest import CommandLine


@pytest.fixture
def sync_id(us: LocalRudderStack) -> str:
    """A sync with rejected rows."""
    us.add_source(
        "src-1", name="Customers", definition="snowflake", config={"primaryKey": "CUSTOMER_ID"}
    )
    script = SyncScript(rows_total=100, rows_failed=3)
    us.add_connection("crm-contacts", "src-1", "dst-1", script=script, sync_behaviour="mirror")
    return us.start_sync("crm-contacts")


def test_failed_rows(cli: CommandLine, sync_id: str) -> None:
    """The output is the SQL for the warehouse of the connection, and nothing else."""
    result = cli("failed-rows", "crm-contacts", sync_id)

    assert (result.code, result.err) == (
        0,
        "Run this SQL in snowflake to list the rejected rows.\n",
    )
    assert result.out == (
        f"-- The rows that the destination rejected in sync {sync_id}.\n"
        "-- RudderStack keeps the snapshots of the last syncs only (5 by default). If this one\n"
        "-- is gone, leave out sn.* and the join.\n"
        "SELECT sl.primary_key, sl.operation, sl.error_reason, sn.*\n"
        'FROM "_RUDDERSTACK"."SYNC_LOG" AS sl\n'
        f'LEFT JOIN "_RUDDERSTACK"."SNAPSHOT_CRM-CONTACTS_{sync_id.upper()}" AS sn\n'
        '  ON CAST(sn."CUSTOMER_ID" AS VARCHAR) = sl.primary_key\n'
        f"WHERE sl.sync_run_id = '{sync_id}' AND sl.status = 'failed'\n"
        "ORDER BY sl.primary_key\n"
    )


def test_json(cli: CommandLine, sync_id: str) -> None:
    """For programs, the SQL, the note and the count are in one document."""
    result = cli("failed-rows", "crm-contacts", sync_id, "--json")

    content = result.json
    assert content.pop("sql").endswith("\nORDER BY sl.primary_key")
    assert content == {
        "connection_id": "crm-contacts",
        "sync_id": sync_id,
        "rows_failed": 3,
        "note": "Run this SQL in snowflake to list the rejected rows.",
    }


def test_no_sync_log(cli: CommandLine, us: LocalRudderStack, sync_id: str) -> None:
    """If the connection writes no sync log, it says why and how to turn it on."""
    settings = {"syncLogsConfig": {"enabled": False}}
    us.add_connection("crm-contacts", "src-1", "dst-1", syncSettings=settings)

    result = cli("failed-rows", "crm-contacts", sync_id)
    as_json = cli("failed-rows", "crm-contacts", sync_id, "--json")

    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: The rejected rows cannot be listed, since the connection")
    assert (as_json.code, as_json.json["sql"]) == (1, None)
    assert "Retain sync logs" in as_json.json["note"]


def test_unreadable_source(cli: CommandLine, us: LocalRudderStack, sync_id: str) -> None:
    """If the kind of warehouse is not known, the SQL is a general one, and a warning says why."""
    us.deny("no source", operation="get_source")

    result = cli("failed-rows", "crm-contacts", sync_id)

    assert result.code == 0
    assert "FROM _rudderstack.sync_log AS sl\n" in result.out
    assert result.err.startswith(
        "warning: The kind of warehouse is not known, so the SQL is a general one. RudderStack "
        "answered 403 to GET /retl-sources"
    )


def test_unknown_sync(cli: CommandLine) -> None:
    """For a sync that RudderStack does not know, there is no SQL. The error says where ids are."""
    result = cli("failed-rows", "crm-contacts", "a-sync")

    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: RudderStack answered 404 to GET /retl-connections/crm-con")
    assert "`dagster-rudderstack syncs crm-contacts` lists the ids of the syncs." in result.err


def test_unreadable_sync(cli: CommandLine, us: LocalRudderStack, sync_id: str) -> None:
    """If the sync cannot be read, the SQL is printed with a warning."""
    us.add_fault(Fault("status", operation="get_sync", status=500, times=None))

    result = cli("failed-rows", "crm-contacts", sync_id)

    assert result.code == 0
    assert f"WHERE sl.sync_run_id = '{sync_id}'" in result.out
    assert "warning: The sync cannot be read, so its id may be wrong, and the SQL " in result.err
    assert "`dagster-rudderstack syncs crm-contacts` lists the ids of the syncs." in result.err
    assert "RudderStack answered 500 to GET" in result.err


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (SyncScript(rows_total=5), "warning: RudderStack counts no rejected row in sync "),
        (SyncScript(never_ends=True), " is still running, so its log is not complete.\n"),
    ],
)
def test_nothing_to_list(
    cli: CommandLine, us: LocalRudderStack, script: SyncScript, said: str
) -> None:
    """A warning says if there may be nothing to list."""
    result = cli("failed-rows", "crm-contacts", us.start_sync("crm-contacts", script=script))

    assert result.code == 0
    assert said in result.err


def test_unknown_connection(cli: CommandLine) -> None:
    """For an unknown connection it names the one with the nearest id."""
    result = cli("failed-rows", "crm-contact", "a-sync")

    assert (result.code, result.out) == (1, "")
    assert "Did you mean crm-contacts?" in result.err


def test_wrong_id(cli: CommandLine, us: LocalRudderStack) -> None:
    """A text that would need quotes in SQL is refused."""
    result = cli("failed-rows", "crm-contacts", "x' OR '1'='1")

    assert (result.code, result.out, us.requests) == (2, "", [])
    assert result.err.startswith("error: SYNC \"x' OR '1'='1\" is not an id of RudderStack")
