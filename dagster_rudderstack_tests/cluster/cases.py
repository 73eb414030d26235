"""The cases that leave the shared services alone, and so run at the same time."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dagster_rudderstack.testing import SyncScript
from dagster_rudderstack_tests.cluster.cluster import Cluster
from dagster_rudderstack_tests.cluster.project import (
    GROUPS,
    PARTITIONED,
    PARTITIONS,
    VISIBILITY_SECONDS,
)
from dagster_rudderstack_tests.cluster.result import CASE_TAG, Case
from dagster_rudderstack_tests.cluster.service import frozen
from dagster_rudderstack_tests.processes.harness import (
    Run,
    process_of,
    signal_process,
    wait_for,
)

OUTLIVING_SECONDS = 2.5 * VISIBILITY_SECONDS
"""A step that takes this long is delivered twice more while it runs."""

OTHER_SYNC_SECONDS = 45.0
"""So long that the run and its retry both begin to wait for it, on a busy machine too."""
CANCELED_SYNC_SECONDS = 90.0
"""If it is not stopped, it ends by itself before it could occupy a worker for the later cases."""


@dataclass(frozen=True)
class Scenario:
    """Something that happens to the cluster, and the cases that it is tried with.

    Attributes:
        name: Its name on the command line.
        play: Launches the runs of the cases, and breaks something.
        cases: The cases.
    """

    name: str
    play: Callable[[Cluster, Scenario], None]
    cases: Sequence[Case]

    def launch(self, cluster: Cluster) -> list[Run]:
        """Launch one run for each case."""
        return [cluster.launch(case.name, *case.seconds) for case in self.cases]

    def launch_and_wait(self, cluster: Cluster) -> list[Run]:
        """Launch one run for each case, and wait until all syncs are started and recorded."""
        runs = self.launch(cluster)
        for case, run in zip(self.cases, runs, strict=True):
            for connection in case.seconds:
                run.wait_for_sync_start(connection)
        return runs

    def check_running(self, cluster: Cluster) -> None:
        """Fail if a case has no running sync left, so that what is broken cannot affect it."""
        for case in self.cases:
            syncs = [sync for name in case.seconds for sync in cluster.server.syncs(name)]
            assert any(sync.running for sync in syncs), f"All syncs of {case.name} have ended"


def group(name: str, title: str, early: float, late: float) -> Case:
    """Return the case of a group whose first sync ends before the others."""
    first, *others = GROUPS[name]
    return Case(name, title, {first: early, **dict.fromkeys(others, late)})


def single(name: str, title: str, seconds: float) -> Case:
    """Return the case of one sync."""
    return Case(name, title, {name: seconds})


def wait_for_first(case: Case, run: Run) -> None:
    """Wait until a group has reported the sync that ends before the others."""
    first, *others = case.seconds
    if others:
        run.wait_for_log(f"Materialized value {first}")


# --- what happens


def nothing(cluster: Cluster, scenario: Scenario) -> None:
    """Nothing is broken."""
    scenario.launch(cluster)


def killed_step(cluster: Cluster, scenario: Scenario) -> None:
    """The process of a step is killed. Celery delivers the step again at once."""
    (run,) = scenario.launch_and_wait(cluster)
    wait_for_first(scenario.cases[0], run)
    scenario.check_running(cluster)
    first, *_ = scenario.cases[0].seconds
    signal_process(process_of(cluster.server, first), signal.SIGKILL)


def frozen_step(cluster: Cluster, scenario: Scenario) -> None:
    """The process of a step stands still until another delivery of the step has ended."""
    (run,) = scenario.launch_and_wait(cluster)
    (connection,) = scenario.cases[0].seconds
    scenario.check_running(cluster)
    with frozen(process_of(cluster.server, connection)):
        run.wait_for_end()


def killed_run_worker(cluster: Cluster, scenario: Scenario) -> None:
    """The run worker is killed while its step waits for another client's sync."""
    (connection,) = scenario.cases[0].seconds
    (run,) = scenario.launch(cluster)
    # The process of the run still has to load its job before it sends the step to Celery.
    wait_for(lambda: run.has_logged("Started process for run"), f"the process of {run.run_id}")
    script = SyncScript(duration_seconds=OTHER_SYNC_SECONDS)
    other = cluster.server.start_sync(connection, "dashboard", script=script)
    run.wait_for_log(f"Sync {other} of connection {connection} is already running")
    started = re.search(r"Started process for run \(pid: (\d+)\)", run.log)
    assert started is not None, run.log
    signal_process(int(started[1]), signal.SIGKILL)


def cancel(cluster: Cluster, scenario: Scenario) -> None:
    """A person cancels the run."""
    (run,) = scenario.launch_and_wait(cluster)
    cluster.dagster.cancel(run)


def cancel_by_force(cluster: Cluster, scenario: Scenario) -> None:
    """A person cancels the run by force."""
    (run,) = scenario.launch_and_wait(cluster)
    cluster.dagster.cancel(run, force=True)


def race(cluster: Cluster, scenario: Scenario) -> None:
    """Two runs of the same asset are launched at the same time."""
    scenario.launch(cluster)
    scenario.launch(cluster)


def backfill(cluster: Cluster, scenario: Scenario) -> None:
    """A backfill of all partitions, each of which is a sync of the same connection."""
    params = {
        "selector": None,
        "partitionNames": list(PARTITIONS),
        "assetSelection": [{"path": [PARTITIONED]}],
        "tags": [{"key": CASE_TAG, "value": scenario.cases[0].name}],
    }
    answer = cluster.dagster.query(_BACKFILL, params=params)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", json.dumps(answer, indent=1)


_BACKFILL = """
mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on PythonError { message }
  }
}
"""

# In the order in which they are launched: those that take longest come first.
TOGETHER = [
    Scenario(
        "orphan",
        killed_run_worker,
        [single("orphan", "run worker killed, its step waits for another sync", 5)],
    ),
    Scenario(
        "long",
        nothing,
        [
            single("long", "sync outlives the visibility timeout", OUTLIVING_SECONDS),
            group("long_group", "- group", 3, OUTLIVING_SECONDS),
        ],
    ),
    Scenario(
        "frozen",
        frozen_step,
        [single("frozen", "step frozen, and delivered again", VISIBILITY_SECONDS + 5)],
    ),
    Scenario("plain", nothing, [single("plain", "plain run", 3)]),
    Scenario("killed", killed_step, [single("killed", "step killed, and delivered again", 10)]),
    Scenario("killed_group", killed_step, [group("killed_group", "- group", 2, 12)]),
    Scenario(
        "cancel",
        cancel,
        [
            Case(
                "canceled", "canceled", {"canceled": CANCELED_SYNC_SECONDS}, end="CANCELED", stops=1
            )
        ],
    ),
    Scenario(
        "force",
        cancel_by_force,
        [
            Case(
                "forced",
                "canceled by force",
                {"forced": CANCELED_SYNC_SECONDS},
                end="CANCELED",
                stops=1,
            )
        ],
    ),
    Scenario(
        "race",
        race,
        [Case("raced", "two runs race for a connection", {"raced": 4}, runs=2, syncs=2)],
    ),
    Scenario(
        "backfill",
        backfill,
        [Case("backfill", "backfill of five partitions", {PARTITIONED: 2}, runs=5, syncs=5)],
    ),
]
