"""`sync`: its progress, its result and its exit code."""

import io
import re
import signal
import threading
import time
from collections.abc import Callable

import pytest

from dagster_rudderstack.cli import sync as sync_module
from dagster_rudderstack.cli.access import Surroundings
from dagster_rudderstack.cli.main import main
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.cli.conftest import CommandLine

ROWS = SyncScript(duration_seconds=100, rows_total=2000, rows_changed=20, rows_failed=3)


def test_success(cli: CommandLine, us: LocalRudderStack) -> None:
    """It says which sync it started, how far it is, and which rows it has delivered."""
    script = SyncScript(duration_seconds=100, rows_total=2000, rows_changed=20)
    us.set_script("crm-contacts", script)

    result = cli("sync", "crm-contacts")

    (sync,) = us.syncs()
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == f"Started sync {sync.id} of connection crm-contacts (incremental)."
    assert lines[-1] == (
        f"Sync {sync.id} succeeded after 1 min 40 s. Rows: 20 delivered, 0 rejected, 20 changed, "
        "2,000 in the source."
    )
    progress = lines[1:-1]
    assert len(progress) >= 2
    for line in progress:
        assert line.startswith(f"Sync {sync.id}: running (")
        assert "% of the changed rows done" in line
    assert sync.sync_type == "incremental"


def test_rejected_rows(cli: CommandLine, us: LocalRudderStack) -> None:
    """Rejected rows do not fail the command. It says how to find them."""
    us.set_script("crm-contacts", SyncScript(rows_total=2000, rows_changed=20, rows_failed=3))

    result = cli("sync", "crm-contacts")

    (sync,) = us.syncs()
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        f"Started sync {sync.id} of connection crm-contacts (incremental).\n"
        f"Sync {sync.id} succeeded after 0 s. Rows: 17 delivered, 3 rejected, 20 changed, 2,000 in "
        "the source.\n"
        'RudderStack\'s dashboard calls this sync "failed", since it has rejected rows. To see '
        f"them: dagster-rudderstack failed-rows crm-contacts {sync.id}\n"
    )


def test_full(cli: CommandLine, us: LocalRudderStack) -> None:
    """With --full, all rows are synced."""
    assert cli("sync", "crm-contacts", "--full").code == 0

    assert [sync.sync_type for sync in us.syncs()] == ["full"]


def test_failure(cli: CommandLine, us: LocalRudderStack) -> None:
    """A failed sync has RudderStack's reason once, and the command fails."""
    us.set_script("crm-contacts", SyncScript(status="failed", error="relation is gone"))

    result = cli("sync", "crm-contacts")

    (sync,) = us.syncs()
    assert result.code == 1
    assert result.out == f"Started sync {sync.id} of connection crm-contacts (incremental).\n"
    assert result.err == (
        f"error: Sync {sync.id} of connection crm-contacts failed (the dashboard shows it "
        "as aborted). RudderStack says: relation is gone. Fix the source or the destination, then "
        "sync again.\n"
    )


def test_failure_of_another_sync(cli: CommandLine, us: LocalRudderStack) -> None:
    """A sync of another client that is waited for and fails is a warning: the own one may not."""
    failing = SyncScript(status="failed", error="relation is gone", duration_seconds=60)
    us.start_sync("crm-contacts", "dashboard", script=failing)

    result = cli("sync", "crm-contacts")

    assert result.code == 0
    assert result.err.endswith("RudderStack says: relation is gone.\n")


def test_unknown_counts(cli: CommandLine, us: LocalRudderStack) -> None:
    """An unknown count is a question mark, and not 0."""
    us.set_script("crm-contacts", SyncScript(metrics="missing"))

    result = cli("sync", "crm-contacts")

    assert result.out.endswith("Rows: ? delivered, ? rejected, ? changed, ? in the source.\n")


def test_disabled(cli: CommandLine, us: LocalRudderStack) -> None:
    """No sync of a disabled connection is started."""
    us.update_connection("crm-contacts", enabled=False)

    result = cli("sync", "crm-contacts")

    assert (result.code, result.out, us.starts()) == (1, "", [])
    assert result.err.startswith("error: Connection crm-contacts is disabled in RudderStack")


def test_unknown_connection(cli: CommandLine, us: LocalRudderStack) -> None:
    """For an unknown connection it names the one with the nearest id."""
    result = cli("sync", "crm-contact")

    assert (result.code, result.out, us.starts()) == (1, "", [])
    assert result.err.endswith(
        " Did you mean crm-contacts? `dagster-rudderstack connections` lists the ids.\n"
    )


@pytest.mark.parametrize(
    ("choice", "code", "starts", "said"),
    [
        ("wait", 0, 1, "is already running. Waiting until it ends"),
        ("attach", 0, 0, "Attached to sync"),
        ("fail", 1, 0, "and --on-running-sync is 'fail'"),
    ],
)
def test_running_sync(
    cli: CommandLine, us: LocalRudderStack, choice: str, code: int, starts: int, said: str
) -> None:
    """What happens if a sync is running can be chosen."""
    us.start_sync("crm-contacts", "dashboard", script=ROWS)

    result = cli("sync", "crm-contacts", "--on-running-sync", choice)

    assert (result.code, len(us.starts())) == (code, starts)
    assert said in result.out + result.err


def test_timeout(cli: CommandLine, us: LocalRudderStack) -> None:
    """A sync that takes too long is stopped."""
    us.set_script("crm-contacts", SyncScript(never_ends=True))

    result = cli("sync", "crm-contacts", "--timeout", "60")

    assert result.code == 1
    assert len(us.stops()) == 1
    assert "error: Sync " in result.err


def test_lost_start(cli: CommandLine, us: LocalRudderStack) -> None:
    """If the answer to the start is lost, the sync is found, and no other is started."""
    us.add_fault(Fault("reset", operation="start", effect=True))

    result = cli("sync", "crm-contacts")

    assert (result.code, len(us.starts())) == (0, 1)
    assert "Adopted sync" in result.out
    assert "warning: The answer to the start" in result.err


def test_json(cli: CommandLine, us: LocalRudderStack) -> None:
    """For programs, the output is one document. The progress is not part of it."""
    us.set_script("crm-contacts", SyncScript(rows_total=2000, rows_changed=20, rows_failed=3))

    result = cli("sync", "crm-contacts", "--json")

    (sync,) = us.syncs()
    assert result.code == 0
    assert result.err == f"Started sync {sync.id} of connection crm-contacts (incremental).\n"
    assert result.json == {
        "connection_id": "crm-contacts",
        "sync_type": "incremental",
        "origin": "started",
        "sync_id": sync.id,
        "sync": {
            "id": sync.id,
            "status": "succeeded",
            "started_at": "2026-01-05T00:00:00+00:00",
            "finished_at": "2026-01-05T00:00:00+00:00",
            "duration_seconds": 0.0,
            "rows_succeeded": 17,
            "rows_failed": 3,
            "rows_changed": 20,
            "rows_total": 2000,
            "error": None,
        },
        "error": None,
    }


def test_json__failure(cli: CommandLine, us: LocalRudderStack) -> None:
    """A failure is in the document as well."""
    us.set_script("crm-contacts", SyncScript(status="failed", error="relation is gone"))

    result = cli("sync", "crm-contacts", "--json")

    assert result.code == 1
    assert result.json["error"]["type"] == "SyncFailedError"
    assert "relation is gone" in result.json["error"]["message"]
    assert result.json["sync"]["status"] == "failed"
    assert result.json["sync"]["error"] == "relation is gone"


def test_json__not_started(cli: CommandLine) -> None:
    """If no sync was started, the document has only the error."""
    result = cli("sync", "nope", "--json")

    assert result.code == 1
    assert list(result.json) == ["error"]
    assert result.json["error"]["type"] == "NotFoundError"


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_terminal(cli: CommandLine, us: LocalRudderStack) -> None:
    """On a terminal, one line shows the progress and the time each second, and disappears."""
    us.set_script("crm-contacts", ROWS)
    out = Terminal()
    surroundings = Surroundings(
        environ=cli.environ,
        hosts=cli.urls,
        out=out,
        err=io.StringIO(),
        sleep=cli.sleep,
        monotonic=cli.clock.monotonic,
        columns=lambda: 60,
    )

    assert main(["sync", "crm-contacts"], surroundings) == 0

    shown = [part.rstrip() for part in re.split("[\r\n]", out.getvalue()) if part.strip()]
    assert "0 s: starting" in shown
    running = [part for part in shown if ": running, " in part]
    assert len(running) > 50
    assert running[-1].startswith("1 min ")
    assert all(re.search(r": running, \d+ % of the changed rows", each) for each in running)
    assert max(map(len, running)) <= 59
    assert max(cli.sleeps) <= 1
    # The last line is the result, without a rest of the progress.
    last = out.getvalue().splitlines()[-1]
    assert last.startswith('RudderStack\'s dashboard calls this sync "failed"')


# --- Ctrl-C


@pytest.fixture
def ctrl_c(us: LocalRudderStack, cli: CommandLine) -> Callable[[str], None]:
    """Raises KeyboardInterrupt at the first wait after a request of an operation."""

    def press(operation: str) -> None:
        advance = cli.sleep

        def sleep(seconds: float) -> None:
            if any(request.operation == operation for request in us.requests):
                raise KeyboardInterrupt
            advance(seconds)

        cli.sleep = sleep  # type: ignore[method-assign]

    return press


def test_ctrl_c(cli: CommandLine, us: LocalRudderStack, ctrl_c: Callable[[str], None]) -> None:
    """Ctrl-C stops the sync that the command started, and says so."""
    us.set_script("crm-contacts", SyncScript(never_ends=True))
    ctrl_c("get_sync")

    result = cli("sync", "crm-contacts")

    (sync,) = us.syncs()
    assert result.code == 130
    assert result.out == f"Started sync {sync.id} of connection crm-contacts (incremental).\n"
    assert result.err == (
        f"error: Interrupted. Sync {sync.id} of connection crm-contacts: RudderStack was asked to "
        "stop it.\n"
    )
    assert not sync.running
    assert len(us.stops()) == 1


def test_ctrl_c__not_owned(
    cli: CommandLine, us: LocalRudderStack, ctrl_c: Callable[[str], None]
) -> None:
    """A sync of another client is not stopped."""
    sync_id = us.start_sync("crm-contacts", "dashboard", script=SyncScript(never_ends=True))
    ctrl_c("get_sync")

    result = cli("sync", "crm-contacts", "--on-running-sync", "attach")

    assert result.code == 130
    assert result.err == (
        f"error: Interrupted. Sync {sync_id} of connection crm-contacts: it was left running, "
        "since another client started it.\n"
    )
    assert us.stops() == []


def test_ctrl_c__before_the_start(
    cli: CommandLine, us: LocalRudderStack, ctrl_c: Callable[[str], None]
) -> None:
    """Before the start there is nothing to stop."""
    us.start_sync("crm-contacts", "dashboard", script=SyncScript(never_ends=True))
    ctrl_c("get_sync")

    result = cli("sync", "crm-contacts")

    assert (result.code, us.starts(), us.stops()) == (130, [], [])
    assert result.err == "error: Interrupted. No sync was started.\n"


def test_ctrl_c__json(
    cli: CommandLine, us: LocalRudderStack, ctrl_c: Callable[[str], None]
) -> None:
    """The document says that the command was interrupted, and what happened to the sync."""
    us.set_script("crm-contacts", SyncScript(never_ends=True))
    ctrl_c("get_sync")

    result = cli("sync", "crm-contacts", "--json")

    assert result.code == 130
    assert result.json["error"]["type"] == "Interrupted"
    assert "RudderStack was asked to stop it" in result.json["error"]["message"]
    assert result.json["sync"]["status"] == "running"


def test_ctrl_c__twice(
    cli: CommandLine,
    us: LocalRudderStack,
    ctrl_c: Callable[[str], None],
) -> None:
    """A second Ctrl-C does not keep the sync from being stopped."""
    us.set_script("crm-contacts", SyncScript(never_ends=True))
    us.add_fault(Fault("slow", operation="stop", seconds=0.5, effect=True))
    ctrl_c("get_sync")
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def press_again() -> None:
        while not us.stops():
            time.sleep(0.01)
        signal.pthread_kill(main_thread, signal.SIGINT)

    presser = threading.Thread(target=press_again, daemon=True)
    presser.start()
    result = cli("sync", "crm-contacts")
    presser.join(60)

    assert result.code == 130
    assert result.err.endswith("RudderStack was asked to stop it.\n")
    assert len(us.stops()) == 1


def test_ctrl_c__no_time(
    cli: CommandLine,
    us: LocalRudderStack,
    ctrl_c: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the stop takes too long, it says that the sync may be running."""
    us.set_script("crm-contacts", SyncScript(never_ends=True))
    us.add_fault(Fault("slow", operation="stop", seconds=0.2))
    monkeypatch.setattr(sync_module, "STOP_SECONDS", 0.01)
    ctrl_c("get_sync")

    result = cli("sync", "crm-contacts")

    (sync,) = us.syncs()
    assert result.code == 130
    assert result.err == (
        f"error: Interrupted. Sync {sync.id} of connection crm-contacts may be running, since "
        "there was not enough time to stop it. Look in RudderStack's dashboard.\n"
    )
    # The stop continues meanwhile. The test ends after it.
    while not us.stops():
        time.sleep(0.01)
