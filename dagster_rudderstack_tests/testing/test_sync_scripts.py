"""The scripts of syncs, without a network and without waiting."""

import pytest

from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SimulatedSync, SyncScript
from dagster_rudderstack.testing.scripts import RowCounts


def run(script: SyncScript, *, after: float) -> SimulatedSync:
    """Return a sync with this script, `after` seconds after its start."""
    clock = ManualClock()
    server = LocalRudderStack(clock=clock)
    server.add_connection("crm", script=script)
    server.start_sync("crm")
    clock.advance(after)
    return server.syncs("crm")[0]


@pytest.mark.parametrize(
    ("script", "total", "changed", "succeeded", "failed"),
    [
        (SyncScript(), 0, 0, 0, 0),
        (SyncScript(rows_total=100), 100, 100, 100, 0),
        (SyncScript(rows_total=100, rows_failed=3), 100, 100, 97, 3),
        (SyncScript(rows_total=100, rows_changed=10), 100, 10, 10, 0),
        (SyncScript(rows_succeeded=98, rows_failed=2), 100, 100, 98, 2),
        (SyncScript(rows_changed=None, rows_succeeded=5), 5, None, 5, 0),
        (SyncScript(rows_changed=None, rows_total=5, rows_failed=1), 5, None, 4, 1),
        (SyncScript(rows_total=None, rows_failed=None), None, 0, 0, None),
    ],
)
def test_rows(
    script: SyncScript,
    total: int | None,
    changed: int | None,
    succeeded: int | None,
    failed: int | None,
) -> None:
    """Counts that are not given are derived from the others. None stays unknown."""
    assert script.rows == RowCounts(total, changed, succeeded, failed)


def test_no_duration() -> None:
    """A sync without a duration ends at once."""
    sync = run(SyncScript(), after=0)

    assert (sync.status, sync.running, sync.finished_at) == ("succeeded", False, sync.started_at)


def test_failed() -> None:
    """A sync fails with the error of its script, which it does not have while it runs."""
    script = SyncScript(duration_seconds=10, status="failed", error="relation does not exist")

    assert run(script, after=9).error is None
    assert run(script, after=10).error == "relation does not exist"


def test_running_status() -> None:
    """A running sync can have another status than `running`."""
    sync = run(SyncScript(duration_seconds=10, running_status="queued"), after=5)

    assert (sync.status, sync.running) == ("queued", True)


def test_never_ends() -> None:
    """The rows of a sync that never ends grow but never reach the total."""
    script = SyncScript(never_ends=True, rows_total=100)
    early, late = run(script, after=60), run(script, after=10**7)

    assert early.running
    assert late.running
    assert (early.rows_succeeded, late.rows_succeeded) == (50, 99)


def test_rows_after_a_stop() -> None:
    """A stopped sync keeps its counts."""
    clock = ManualClock()
    server = LocalRudderStack(clock=clock)
    server.add_connection("crm", script=SyncScript(duration_seconds=100, rows_total=1000))
    server.start_sync("crm")
    clock.advance(25)
    server._workspace.stop("crm")
    clock.advance(50)

    sync = server.syncs("crm")[0]

    assert (sync.status, sync.rows_succeeded) == ("failed", 250)
    assert sync.finished_at == sync.stop_requested_at == sync.started_at + 25


def test_stop__too_late() -> None:
    """A sync that ends before the stop takes effect has its scripted status."""
    clock = ManualClock()
    server = LocalRudderStack(clock=clock)
    server.add_connection("crm", script=SyncScript(duration_seconds=10), stop_delay_seconds=5)
    server.start_sync("crm")
    clock.advance(8)
    server._workspace.stop("crm")
    server._workspace.stop("crm")
    clock.advance(5)

    sync = server.syncs("crm")[0]

    assert (sync.status, sync.finished_at) == ("succeeded", sync.started_at + 10)


def test_script_next() -> None:
    """The queued scripts are used first, then the script of the connection."""
    server = LocalRudderStack()
    server.add_connection("crm", script=SyncScript(status="own"))
    server.script_next("crm", SyncScript(status="one"), SyncScript(status="two"))
    for _ in range(3):
        server.start_sync("crm")
    server.set_script("crm", SyncScript(status="later"))
    server.start_sync("crm")

    assert [sync.status for sync in server.syncs()] == ["one", "two", "own", "later"]


def test_ids() -> None:
    """Ids have the form of real ones, and depend only on the seed."""

    def ids(seed: int) -> list[str]:
        server = LocalRudderStack(seed=seed)
        server.add_connection("crm")
        return [server.start_sync("crm") for _ in range(20)]

    assert ids(1) == ids(1) != ids(2)
    assert len(set(ids(1))) == 20
    assert all(len(each) == 27 and each.isalnum() for each in ids(1))


@pytest.mark.parametrize(
    "settings",
    [
        {"duration_seconds": -1},
        {"duration_seconds": float("nan")},
        {"hidden_for_seconds": -1},
        {"rows_total": -1},
        {"metrics": "some"},
    ],
)
def test_wrong_script(settings: dict[str, object]) -> None:
    """An invalid script is an error, which names the setting."""
    with pytest.raises(ValueError, match=next(iter(settings))):
        SyncScript(**settings)  # type: ignore[arg-type]
