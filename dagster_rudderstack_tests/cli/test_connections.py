"""`connections`: where newcomers find ids."""

import pytest

from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.cli.conftest import TOKEN, CommandLine


@pytest.fixture
def workspace(us: LocalRudderStack) -> LocalRudderStack:
    """A workspace with three connections."""
    us.add_source(
        "src-2", name="All the orders of the shop, and all returns", definition="bigquery"
    )
    us.add_destination("dst-2", name="Google Ads", type="GOOGLE_ADS")
    schedule = {"type": "basic", "everyMinutes": 60}
    us.add_connection("2hkeBWdTkWWcBlbJyvsrqGdfGbe", "src-2", "dst-2", schedule=schedule)
    cron = {"type": "cron", "cronExpression": "5 * * * *"}
    us.add_connection("ads", "src-1", "dst-2", enabled=False, schedule=cron)
    us.start_sync("crm-contacts")
    us.start_sync("2hkeBWdTkWWcBlbJyvsrqGdfGbe", script=SyncScript(never_ends=True))
    return us


def test_connections(cli: CommandLine, workspace: LocalRudderStack) -> None:
    """It shows ids, names, whether they are enabled, their schedules and their last syncs."""
    result = cli("connections")

    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "ID                           SOURCE                                    DESTINATION  "
        "ENABLED  SCHEDULE          LAST SYNC (UTC)\n"
        "2hkeBWdTkWWcBlbJyvsrqGdfGbe  All the orders of the shop, and all ret…  Google Ads   "
        "yes      every 60 minutes  running 2026-01-05 00:00\n"
        "ads                          Customers                                 Google Ads   "
        "no       cron 5 * * * *    never\n"
        "crm-contacts                 Customers                                 HubSpot      "
        "yes      manual            succeeded 2026-01-05 00:00\n"
    )


def test_few_requests(cli: CommandLine, workspace: LocalRudderStack) -> None:
    """It sends one request for each list, and one for each connection."""
    cli("connections")

    operations = sorted(request.operation for request in workspace.requests)
    assert operations == [
        *("list_connections", "list_destinations", "list_sources"),
        *["list_syncs"] * 3,
    ]


def test_unreadable_syncs(cli: CommandLine, workspace: LocalRudderStack) -> None:
    """A connection whose syncs cannot be read has a question mark, and a warning says why."""
    workspace.deny("no syncs", operation="list_syncs", connection_id="ads")

    result = cli("connections")

    assert result.code == 0
    assert [line.split()[-1] for line in result.out.splitlines()[1:]] == ["00:00", "?", "00:00"]
    assert result.err.startswith("warning: The syncs of 1 connection cannot be read, so their ")


@pytest.mark.parametrize(
    ("operation", "shown"),
    [("list_sources", "src-1 HubSpot yes"), ("list_destinations", "Customers dst-1 yes")],
)
def test_unreadable_names(
    cli: CommandLine, us: LocalRudderStack, operation: str, shown: str
) -> None:
    """Ids stand for names that cannot be read."""
    us.deny("no names", operation=operation)

    result = cli("connections")

    assert result.code == 0
    assert shown in " ".join(result.out.split())
    assert result.err.startswith("warning: RudderStack answered 403 to GET /")


def test_unreadable_list(cli: CommandLine, us: LocalRudderStack) -> None:
    """If the connections may not be listed, the command fails with the reason."""
    us.deny("no list", operation="list_connections")

    result = cli("connections")

    assert (result.code, result.out) == (1, "")
    assert "RudderStack says: no list" in result.err


def test_wrong_token(cli: CommandLine) -> None:
    """A wrong token is an error that names the command that finds out why."""
    result = cli("connections", RUDDERSTACK_ACCESS_TOKEN="rst-not-the-right-one")

    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: RudderStack answered 401 to GET /retl-connections.")
    assert result.err.endswith(" `dagster-rudderstack check` finds out the region.\n")


def test_no_connection(cli: CommandLine, us: LocalRudderStack) -> None:
    """A workspace can be empty."""
    us.remove_connection("crm-contacts")

    assert cli("connections").out == "The workspace has no Reverse ETL connection.\n"
    assert cli("connections", "--json").json == {"connections": []}


def test_retry(cli: CommandLine, us: LocalRudderStack) -> None:
    """A temporary error is retried, and reported."""
    us.add_fault(Fault("status", operation="list_syncs", status=503))

    result = cli("connections")

    assert result.code == 0
    assert result.out.endswith("never\n")
    assert "warning: RudderStack answered 503" in result.err


def test_hostile_name(cli: CommandLine, us: LocalRudderStack) -> None:
    """A name cannot control the terminal or add a line."""
    us.add_source("src-1", name="\x1b[2J\nevil\u202e\x07", definition="snowflake")

    result = cli("connections")

    assert all(char.isprintable() or char == "\n" for char in result.out)
    assert len(result.out.splitlines()) == 2


def test_token_in_a_name(cli: CommandLine, us: LocalRudderStack) -> None:
    """The token is masked wherever the server repeats it."""
    us.add_source("src-1", name=f"a {TOKEN}", definition="snowflake")

    assert "  a ***  " in cli("connections").out
    assert '"a ***"' in cli("connections", "--json").out


def test_json(cli: CommandLine, us: LocalRudderStack) -> None:
    """For programs, each connection has the same facts."""
    sync_id = us.start_sync("crm-contacts")

    result = cli("connections", "--json")

    (connection,) = result.json["connections"]
    assert connection.pop("last_sync")["id"] == sync_id
    assert connection == {
        "id": "crm-contacts",
        "source": {"id": "src-1", "name": "Customers", "type": "snowflake"},
        "destination": {"id": "dst-1", "name": "HubSpot", "type": "HS"},
        "enabled": True,
        "schedule": {"type": "manual", "every_minutes": None, "cron_expression": None},
        "last_sync_error": None,
    }


def test_json__unknown_fields(cli: CommandLine, us: LocalRudderStack) -> None:
    """Unknown fields of RudderStack, which may be secrets, are not shown."""
    us.set_script("crm-contacts", SyncScript(wire_fields={"x": "hush-hush"}))
    us.start_sync("crm-contacts")
    schedule = {"type": "manual", "x": "hush-hush"}
    us.update_connection("crm-contacts", schedule=schedule, wire_fields={"x": "hush-hush"})

    for command in (["connections"], ["syncs", "crm-contacts"], ["check", "crm-contacts"]):
        assert "hush-hush" not in cli(*command, "--json").out
        assert "hush-hush" not in cli(*command).out


def test_json__unreadable(cli: CommandLine, us: LocalRudderStack) -> None:
    """Null stands for a name or a sync that cannot be read."""
    us.deny("no syncs", operation="list_syncs")
    us.deny("no names", operation="list_sources")

    (connection,) = cli("connections", "--json").json["connections"]

    assert connection["source"] == {"id": "src-1", "name": None, "type": None}
    assert connection["last_sync"] is None
    assert "RudderStack says: no syncs" in connection["last_sync_error"]
