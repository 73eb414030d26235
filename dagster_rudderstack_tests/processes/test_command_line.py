"""A signal to a `dagster` command while its sync runs."""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Any

import pytest

from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.processes.harness import (
    ASSET_JOB,
    MAX_WAIT_SECONDS,
    PROJECT,
    Deployment,
    Home,
    Run,
    dagster_command,
    end_group,
    executor,
    wait_for,
)
from dagster_rudderstack_tests.processes.project import POLL_SECONDS

pytestmark = pytest.mark.processes

HOUR = SyncScript(duration_seconds=3600, rows_total=10)


@dataclass
class Command:
    """A command that was started, and its run."""

    process: "subprocess.Popen[bytes]"
    run: Run

    def interrupt(self, what: signal.Signals) -> float:
        """Send a signal, wait for the end, and return the seconds until the step failed.

        Ctrl-C reaches all processes of the command, SIGTERM only the first one.
        """
        sent_at = time.time()
        if what is signal.SIGINT:
            os.killpg(self.process.pid, what)
        else:
            self.process.send_signal(what)
        assert self.process.wait(MAX_WAIT_SECONDS) != 0
        return self.run.step_failed_at - sent_at


def start_command(home: Home, kind: str, asset: str, config: dict[str, Any]) -> Command:
    """Start a command and wait for the start of its sync."""
    before = home.newest_run()
    name = f"{kind}-{asset}"
    if kind == "job":
        path = home.path / f"{name}.json"
        path.write_text(json.dumps(config))
        what = ("job", "execute", "--module-name", PROJECT, "--job", f"{asset}_job")
        command = dagster_command("dagster", *what, "--config", str(path))
    else:
        what = ("asset", "materialize", "--module-name", PROJECT, "--select", asset)
        command = dagster_command("dagster", *what, "--config-json", json.dumps(config))
    process = home.start(command, name)
    try:
        run = wait_for(lambda: home.newest_run([before] if before else []), f"the run of {name}")
        run.wait_for_log("Started sync")
    except AssertionError as error:
        end_group(process)
        raise AssertionError(f"{error}\n{home.printed(name)}") from None
    return Command(process, run)


@pytest.mark.parametrize(
    ("kind", "what", "executor_name"),
    [  # each pair of values occurs once
        ("job", signal.SIGTERM, "in_process"),
        ("job", signal.SIGINT, "multiprocess"),
        ("asset", signal.SIGINT, "in_process"),
        ("asset", signal.SIGTERM, "multiprocess"),
    ],
)
def test_interrupt(
    home: Home,
    dagster: Deployment,
    server: LocalRudderStack,
    clock: ManualClock,
    kind: str,
    what: signal.Signals,
    executor_name: str,
) -> None:
    """The run fails at once, its sync keeps running, and a re-execution reports it."""
    server.add_connection("crm", script=HOUR)
    command = start_command(home, kind, "crm", executor(executor_name))

    took = command.interrupt(what)
    assert command.run.wait_for_end() == "FAILURE", command.run.log

    assert took < POLL_SECONDS / 3
    [sync] = server.syncs("crm")
    assert sync.running
    assert server.stops() == []
    assert command.run.has_logged(f"Sync {sync.id} of connection crm is left running")
    assert command.run.step_starts == 1
    assert command.run.materializations == []

    clock.advance(3600)
    reexecution = dagster.reexecute_job(
        command.run, "crm", job="crm_job" if kind == "job" else ASSET_JOB
    )
    assert reexecution.wait_for_end() == "SUCCESS", reexecution.log

    assert len(server.starts("crm")) == 1
    assert reexecution.origins == {"crm": "resumed"}


def test_interrupt__always_stop(home: Home, server: LocalRudderStack) -> None:
    """With `stop_on_termination="always"` a signal stops the sync."""
    server.add_connection("crm_always", script=HOUR)
    command = start_command(home, "asset", "crm_always", executor("in_process"))

    command.interrupt(signal.SIGTERM)
    assert command.run.wait_for_end() == "FAILURE", command.run.log

    [sync] = server.syncs("crm_always")
    assert not sync.running
    assert len(server.starts("crm_always")) == len(server.stops("crm_always")) == 1
    assert command.run.has_logged(
        f"Sync {sync.id} of connection crm_always: RudderStack was asked to"
    )
