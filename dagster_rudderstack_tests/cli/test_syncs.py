"""`syncs` and `stop`."""

import pytest

from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.cli.conftest import CommandLine


@pytest.fixture
def ids(us: LocalRudderStack) -> list[str]:
    """Three syncs: one that succeeded, one that failed, and one that runs."""
    assert isinstance(us.clock, ManualClock)
    scripts = (
        SyncScript(duration_seconds=250, rows_total=50_000, rows_changed=1200, rows_failed=2),
        SyncScript(status="failed", error="relation\n\x1b[31m is gone", metrics="missing"),
        SyncScript(never_ends=True, rows_total=10, rows_changed=5),
    )
    ids = []
    for script in scripts:
        ids.append(us.start_sync("crm-contacts", script=script))
        us.clock.advance(3600)
    return ids


def test_syncs(cli: CommandLine, ids: list[str]) -> None:
    """It lists the syncs, newest first. An unknown value is a question mark."""
    result = cli("syncs", "crm-contacts")

    first, second, third = ids
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "ID                           STATUS     STARTED (UTC)     DURATION    DELIVERED  REJECTED"
        "  CHANGED  TOTAL   ERROR\n"
        f"{third}  running    2026-01-05 02:00  ?           4          0         5        10\n"
        f"{second}  failed     2026-01-05 01:00  0 s         ?          ?         ?        ?"
        "       relation [31m is gone\n"
        f"{first}  succeeded  2026-01-05 00:00  4 min 10 s  1,198      2         1,200    50,000\n"
    )


def test_syncs__limit_and_status(cli: CommandLine, ids: list[str]) -> None:
    """Their number can be limited, and they can be filtered by status."""
    newest = cli("syncs", "crm-contacts", "--limit", "1").out
    failed = cli("syncs", "crm-contacts", "--status", "failed").out

    assert [line.split()[0] for line in newest.splitlines()] == ["ID", ids[2]]
    assert [line.split()[0] for line in failed.splitlines()] == ["ID", ids[1]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Connection crm-contacts has no sync.\n"),
        (["--status", "failed"], "Connection crm-contacts has no failed sync.\n"),
    ],
)
def test_syncs__none(cli: CommandLine, arguments: list[str], said: str) -> None:
    """If there is no sync, it says so."""
    assert cli("syncs", "crm-contacts", *arguments).out == said


def test_syncs__json(cli: CommandLine, ids: list[str]) -> None:
    """For programs, null is an unknown value."""
    result = cli("syncs", "crm-contacts", "--json")

    assert result.json["connection_id"] == "crm-contacts"
    assert [sync["id"] for sync in result.json["syncs"]] == ids[::-1]
    assert result.json["syncs"][1] == {
        "id": ids[1],
        "status": "failed",
        "started_at": "2026-01-05T01:00:00+00:00",
        "finished_at": "2026-01-05T01:00:00+00:00",
        "duration_seconds": 0.0,
        "rows_succeeded": None,
        "rows_failed": None,
        "rows_changed": None,
        "rows_total": None,
        "error": "relation\n\x1b[31m is gone",
    }
    assert result.json["syncs"][0]["finished_at"] is None


@pytest.mark.parametrize("command", ["syncs", "stop"])
def test_unknown_connection(cli: CommandLine, command: str) -> None:
    """For an unknown connection it names the one with the nearest id."""
    result = cli(command, "crm-contact")

    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "error: RudderStack answered 404 to GET /retl-connections/crm-contact/syncs. RudderStack "
        "says: connection crm-contact not found. Check the id, and that the access token belongs "
        "to the workspace that owns it. Check also that api.rudderstack.com is the right address "
        "(RUDDERSTACK_API_URL). Did you mean crm-contacts? `dagster-rudderstack connections` lists "
        "the ids.\n"
    )


def test_ctrl_c(cli: CommandLine, us: LocalRudderStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the command without a traceback, also in the document."""
    us.add_fault(Fault("status", operation="list_syncs", status=503, times=None))

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "sleep", interrupt)

    result = cli("syncs", "crm-contacts")
    as_json = cli("syncs", "crm-contacts", "--json")

    assert (result.code, result.out) == (130, "")
    assert result.err.endswith("error: Interrupted.\n")
    assert as_json.json == {"error": {"type": "Interrupted", "message": "Interrupted."}}


def test_stop(cli: CommandLine, us: LocalRudderStack, ids: list[str]) -> None:
    """It stops the running sync and names it."""
    result = cli("stop", "crm-contacts")

    assert (result.code, result.err) == (0, "")
    assert result.out == (
        f"RudderStack was asked to stop 1 sync of connection crm-contacts: {ids[2]}. It still "
        "delivers the rows that are under way.\n"
    )
    assert len(us.stops("crm-contacts")) == 1
    assert not us.syncs("crm-contacts")[2].running


def test_stop__nothing_runs(cli: CommandLine, us: LocalRudderStack) -> None:
    """If no sync runs, no stop is sent."""
    result = cli("stop", "crm-contacts")

    assert (result.code, result.err, us.stops()) == (0, "", [])
    assert result.out == (
        "No sync of connection crm-contacts is running. One that was started some seconds ago may "
        "not be listed yet.\n"
    )


def test_stop__json(cli: CommandLine, ids: list[str]) -> None:
    """For programs it lists the syncs that it has stopped."""
    assert cli("stop", "crm-contacts", "--json").json == {
        "connection_id": "crm-contacts",
        "stop_requested": [ids[2]],
    }
    assert cli("stop", "crm-contacts", "--json").json["stop_requested"] == []


def test_stop__answer_lost(cli: CommandLine, us: LocalRudderStack, ids: list[str]) -> None:
    """If the answer to a stop is lost, it is not repeated once another client's sync runs."""
    us.add_fault(Fault("reset", operation="stop", effect=True))
    us.add_fault(Fault("scheduled_sync", operation="list_syncs", skip=1))

    result = cli("stop", "crm-contacts")

    assert result.code == 0
    assert f": {ids[2]}. It still" in result.out
    assert len(us.stops("crm-contacts")) == 1
    assert us.syncs("crm-contacts")[-1].origin == "schedule"
    assert us.syncs("crm-contacts")[-1].stop_requested_at is None
