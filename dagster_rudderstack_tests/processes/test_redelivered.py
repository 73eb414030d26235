"""A step whose worker is killed, and which another worker executes again in the same run.

Celery with late acknowledgement does this. Dagster's retry number is 0 both times.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.processes import redelivered_project
from dagster_rudderstack_tests.processes.harness import Home, end_group, wait_for

pytestmark = pytest.mark.processes

HOUR = SyncScript(duration_seconds=3600)


@pytest.fixture
def own_home(
    tmp_path: Path, server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Home]:
    """An instance on disk without any service."""
    home = Home(tmp_path / "home", server)
    for name, text in home.variables.items():
        monkeypatch.setenv(name, text)
    yield home
    home.close()


def execute(home: Home, run: dg.DagsterRun) -> subprocess.Popen[bytes]:
    """Execute the step of a run in a process of its own."""
    command = [sys.executable, "-m", redelivered_project.__name__, run.job_name, run.run_id]
    return home.start(command, "step")


def new_run(home: Home, job: str) -> dg.DagsterRun:
    return home.instance.create_run_for_job(redelivered_project.defs.resolve_job_def(job))


def materialized(home: Home, run: dg.DagsterRun) -> list[str]:
    """Return the assets that a run materialized, in order."""
    entries = home.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    found = [entry.asset_materialization for entry in entries]
    return [each.asset_key.to_user_string() for each in found if each is not None]


@pytest.mark.parametrize(
    ("job", "until", "assets"),
    [
        ("single_job", "Started sync", ["single"]),
        ("group_job", "Started sync", ["short", "long"]),
        ("deferred_job", "Started sync", []),
        ("body_job", "Sync", ["body"]),
        ("code_job", "of connection code succeeded", ["code"]),
        ("op_job", "Started sync", ["op"]),
    ],
)
def test_redelivered(
    own_home: Home,
    server: LocalRudderStack,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    job: str,
    until: str,
    assets: list[str],
) -> None:
    """Each sync is started once and reported once, wherever the first execution was killed."""
    for name in ("single", "long", "deferred", "op"):
        server.add_connection(name, script=HOUR)
    for name in ("short", "body", "code", "code2"):
        server.add_connection(name, script=SyncScript(duration_seconds=0))
    run = new_run(own_home, job)

    killed = execute(own_home, run)
    wait_for(lambda: _has_logged(own_home, run, until), f"{until!r} in the log")
    expected = assets[:1] if job in ("group_job", "body_job") else []
    wait_for(lambda: materialized(own_home, run) == expected or None, "the materialization")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    clock.advance(3600)
    monkeypatch.setenv("REDELIVERED", "1")
    again = execute(own_home, run)
    code = again.wait(120)
    end_group(again)

    assert code == 0, own_home.printed("step")
    syncs = [request.connection_id for request in server.starts()]
    assert len(syncs) == len(set(syncs))
    assert materialized(own_home, run) == assets


def test_redelivered__downstream(
    own_home: Home, server: LocalRudderStack, clock: ManualClock
) -> None:
    """An asset that the killed execution has materialized is materialized again, from the same
    sync, if another step of the run waits for it: the process of the run has not got the first
    one."""
    server.add_connection("first", script=SyncScript(duration_seconds=0))
    server.add_connection("second", script=HOUR)
    run = new_run(own_home, "upstream_job")

    killed = execute(own_home, run)
    wait_for(lambda: materialized(own_home, run), "the first materialization")
    wait_for(lambda: server.starts("second"), "the second start")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    clock.advance(3600)
    again = execute(own_home, run)
    assert again.wait(120) == 0, own_home.printed("step")
    end_group(again)

    assert materialized(own_home, run) == ["first", "first", "second"]
    assert len(server.starts()) == 2


def _has_logged(home: Home, run: dg.DagsterRun, text: str) -> bool:
    entries = home.instance.all_logs(run.run_id)
    return any(text in entry.message for entry in entries)
