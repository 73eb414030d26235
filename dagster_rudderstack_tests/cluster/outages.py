"""The cases that kill a service which all runs share, and so run one after the other."""

from __future__ import annotations

import time

from dagster_rudderstack_tests.cluster.cases import Scenario, group, single, wait_for_first
from dagster_rudderstack_tests.cluster.cluster import Cluster
from dagster_rudderstack_tests.cluster.project import DEFERRED
from dagster_rudderstack_tests.cluster.result import Case, materialized_syncs
from dagster_rudderstack_tests.processes.harness import process_of, wait_for

DATABASE_OUTAGE_SECONDS = 30.0
REDIS_OUTAGE_SECONDS = 5.0
SENSOR_SECONDS = 60.0
"""How long the sensor may take to report the syncs that ended while the daemon was away."""


def killed_workers(cluster: Cluster, scenario: Scenario) -> None:
    """The Celery workers that execute the steps are killed with all their processes.

    Their steps are delivered again after the visibility timeout.
    """
    for case, run in zip(scenario.cases, scenario.launch_and_wait(cluster), strict=True):
        wait_for_first(case, run)
    scenario.check_running(cluster)
    processes = {
        process_of(cluster.server, connection)
        for case in scenario.cases
        for connection in case.seconds
    }
    workers = {worker.name: worker for worker in map(cluster.worker_of, processes)}
    for worker in workers.values():
        worker.kill()
    for worker in workers.values():
        worker.restart()


def killed_control(cluster: Cluster, scenario: Scenario) -> None:
    """The code server and the daemon are killed.

    The run workers live on. While the daemon is away, deferred syncs end.
    """
    runs = scenario.launch_and_wait(cluster)
    deferred = runs[1]
    deferred.wait_for_end()
    scenario.check_running(cluster)
    cluster["daemon"].kill()
    cluster["code-server"].kill(with_children=False)
    wait_for(
        lambda: all(not sync.running for name in DEFERRED for sync in cluster.server.syncs(name)),
        "the end of the deferred syncs",
    )
    cluster["code-server"].restart()
    cluster["daemon"].restart()
    wait_for(
        lambda: all(materialized_syncs(cluster.home.instance, name) for name in DEFERRED),
        "the materializations of the deferred syncs",
        SENSOR_SECONDS,
    )


def redis_outage(cluster: Cluster, scenario: Scenario) -> None:
    """Redis is killed, and comes back with its data."""
    scenario.launch_and_wait(cluster)
    scenario.check_running(cluster)
    cluster["redis"].kill()
    time.sleep(REDIS_OUTAGE_SECONDS)
    cluster["redis"].restart()


def database_outage(cluster: Cluster, scenario: Scenario) -> None:
    """PostgreSQL is killed. While it is away, the syncs end."""
    scenario.launch_and_wait(cluster)
    scenario.check_running(cluster)
    cluster["postgres"].kill()
    time.sleep(DATABASE_OUTAGE_SECONDS)
    cluster["postgres"].restart()


ONE_BY_ONE = [
    Scenario(
        "workers",
        killed_workers,
        [
            single("lost", "Celery workers killed", 25),
            group("lost_group", "- group", 3, 25),
        ],
    ),
    Scenario(
        "control",
        killed_control,
        [
            single("restarted", "code server and daemon killed", 20),
            Case("deferred", "- deferred syncs", dict.fromkeys(DEFERRED, 10)),
        ],
    ),
    Scenario(
        "redis",
        redis_outage,
        [
            single("redis", "Redis killed", 20),
            group("redis_group", "- group", 3, 20),
        ],
    ),
    Scenario(
        "database",
        database_outage,
        [
            single("database", "PostgreSQL away for 30 s", 20),
            group("database_group", "- group", 8, 20),
        ],
    ),
]
