"""The runs whose results the pages show: good, failed and canceled ones, in this process."""

import contextlib
import os
import signal
from dataclasses import dataclass

import dagster as dg

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.browser import project
from dagster_rudderstack_tests.step.world import resource_of, run, when

RUDDERSTACK_SAYS = 'relation "users" does not exist'
DASHBOARD = "https://app.rudderstack.com/connections/{connection_id}/syncs/{sync_id}"

GOOD = (
    SyncScript(duration_seconds=0.3, rows_total=1000),
    SyncScript(duration_seconds=0.5, rows_total=1400, rows_failed=2),
    SyncScript(duration_seconds=0.4, rows_total=1600, rows_failed=4),
)
FAILED = SyncScript(
    duration_seconds=0.2, rows_total=900, rows_failed=300, status="failed", error=RUDDERSTACK_SAYS
)
ENDLESS = SyncScript(never_ends=True, duration_seconds=1, rows_total=1200)


@dataclass(frozen=True)
class History:
    """The runs of `crm_contacts`, from the oldest to the newest.

    The failed and the canceled run are between good ones. If a plot has no point for one of them,
    its line is in pieces.
    """

    first: str
    failed: str
    second: str
    canceled: str
    third: str


@dataclass(frozen=True)
class Materializer:
    """Runs assets in this process, in an instance that a webserver shows."""

    server: LocalRudderStack
    instance: dg.DagsterInstance
    rudderstack: RudderStackResource

    def run(
        self,
        asset: dg.AssetsDefinition,
        connection_id: str,
        script: SyncScript,
        partition_key: str | None = None,
    ) -> str:
        """Run an asset, whether its sync succeeds or not, and return the id of the run."""
        self.server.script_next(connection_id, script)
        result = run([asset], self.rudderstack, self.instance, partition_key=partition_key)
        return result.run_id

    def run_and_cancel(
        self, asset: dg.AssetsDefinition, connection_id: str, script: SyncScript
    ) -> str:
        """Run an asset, cancel the run while its sync runs, and return the id of the run."""
        with (
            when(self._is_sync_running, self._cancel),
            contextlib.suppress(dg.DagsterExecutionInterruptedError, KeyboardInterrupt),
        ):
            self.run(asset, connection_id, script)
        return self._newest.run_id

    @property
    def _newest(self) -> dg.DagsterRun:
        (newest,) = self.instance.get_runs(limit=1)
        return newest

    def _is_sync_running(self) -> bool:
        """Whether the step has seen its sync running, which is so when it asks again."""
        newest = self.server.syncs()[-1]
        polls = [each for each in self.server.requests if each.operation == "get_sync"]
        return newest.running and [each.sync_id for each in polls].count(newest.id) > 1

    def _cancel(self) -> None:
        """Cancel the run as the UI does: mark it, then interrupt its process."""
        self.instance.report_run_canceling(self._newest)
        os.kill(os.getpid(), signal.SIGINT)


def make_history(server: LocalRudderStack, instance: dg.DagsterInstance) -> History:
    """Run the assets of the project, except `survey`, and return the runs of `crm_contacts`."""
    for connection_id in (project.CRM, project.ADS, project.MAIL):
        server.add_connection(connection_id)
    rudderstack = resource_of(server, dashboard_url=DASHBOARD)
    materializer = Materializer(server, instance, rudderstack)
    for script in (GOOD[0], FAILED):
        materializer.run(project.ad_audience, project.ADS, script)
    for day, script in zip(project.DAYS, (GOOD[0], FAILED, GOOD[1]), strict=True):
        materializer.run(project.mail_by_day, project.MAIL, script, partition_key=day)
    crm, connection_id = project.crm_contacts, project.CRM
    return History(
        first=materializer.run(crm, connection_id, GOOD[0]),
        failed=materializer.run(crm, connection_id, FAILED),
        second=materializer.run(crm, connection_id, GOOD[1]),
        canceled=materializer.run_and_cancel(crm, connection_id, ENDLESS),
        third=materializer.run(crm, connection_id, GOOD[2]),
    )
