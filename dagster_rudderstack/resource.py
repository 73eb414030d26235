"""`RudderStackResource`: Dagster's config in, typed syncs out."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import dagster as dg
from dagster import get_dagster_logger
from pydantic import PrivateAttr

from dagster_rudderstack.api.profiles import ProfilesParameters, api_parameters
from dagster_rudderstack.api.validation import (
    checked_id,
    checked_sync_type,
)
from dagster_rudderstack.errors import InvalidSettingError, RudderStackError
from dagster_rudderstack.metadata import failure_from
from dagster_rudderstack.resource_client import ResourceClient
from dagster_rudderstack.resource_settings import address_options
from dagster_rudderstack.settings import (
    DEFAULT_SYNC_TYPE,
    OnDisabled,
    OnLostStart,
    OnRunningRun,
    OnRunningSync,
    SyncPolicy,
)
from dagster_rudderstack.step.dagster_step import AnyContext, DagsterStep, current_step
from dagster_rudderstack.step.interrupts import StopSettings
from dagster_rudderstack.step.results import StepSync, SyncResult
from dagster_rudderstack.step.runner import Runner
from dagster_rudderstack.sync.attempt import SyncApi
from dagster_rudderstack.sync.choices import RunChoices, SyncChoices
from dagster_rudderstack.sync.failed_rows import SyncLog
from dagster_rudderstack.sync.request import (
    Report,
    RunRequest,
    SourceRunReport,
    SyncReport,
    SyncRequest,
)
from dagster_rudderstack.sync.source_runs import SourceRunApi
from dagster_rudderstack.sync.sync_logs import PATIENCE_SECONDS, SyncLogs
from dagster_rudderstack.sync.watchers import Watcher, choose_watcher

__all__ = ["RudderStackResource"]

STOP_PATIENCE = 5
"""Seconds that a request of a stop waits for an answer. Several must fit into the grace time."""


class RudderStackResource(ResourceClient):
    """A RudderStack workspace: starts Reverse ETL syncs, and runs of Profiles and ETL, and waits.

    Use it in assets and ops, or outside Dagster:

    ```python
    from dagster import EnvVar

    from dagster_rudderstack import RudderStackResource

    with RudderStackResource(access_token=EnvVar("RUDDERSTACK_ACCESS_TOKEN")) as rudderstack:
        report = rudderstack.sync_and_poll("2hkeBOp0lGJpMPyur0oXUxxIDhw")
    ```

    Strings and whole numbers can come from an `EnvVar`, and are checked when it is read. An
    invalid value or an unknown setting is a `pydantic.ValidationError` that names the setting, the
    value and what would be right.
    """

    # Requests share kept-alive connections, which are closed when nothing refers to the resource
    # any more. It has no Dagster teardown on purpose: a resource that has one cannot be used with a
    # plain `build_asset_context` in a test.

    _found_logs: dict[str, SyncLog] = PrivateAttr(default_factory=dict)

    @property
    def stop_settings(self) -> StopSettings:
        """When and how an interrupt stops the syncs of a step."""
        return StopSettings(
            self.stop_on_termination,
            lambda: self._new_client(STOP_PATIENCE),
            address_options(self.region, self.api_url),
        )

    @property
    def sync_logs(self) -> SyncLogs:
        """Where the rejected rows of the connections are listed. Each is asked for once."""
        # With a client of its own, so that no result of a sync waits long for an answer.
        return SyncLogs(lambda: self._new_client(PATIENCE_SECONDS), _LOG, self._found_logs)

    # --- syncs

    def sync_and_poll(  # noqa: PLR0913 - what a call may choose
        self,
        connection_id: str,
        sync_type: str = DEFAULT_SYNC_TYPE,
        *,
        context: AnyContext | None = None,
        on_running_sync: OnRunningSync | None = None,
        timeout_seconds: int | None = None,
        poll_interval_seconds: float | None = None,
        show_progress: bool | None = None,
    ) -> SyncReport:
        """Start a sync, wait until it ends and return its report.

        In a Dagster step the sync is recorded, so that a retry of the step or of the run resumes it
        instead of starting another. It is stopped when a person cancels the run.

        Args:
            connection_id: The connection.
            sync_type: `incremental` or `full`.
            context: Context of the asset or op. None finds it, in the step's own thread.
            on_running_sync: What to do when a sync is already running. None uses the resource's
                choice.
            timeout_seconds: Seconds that the sync may take. None uses the resource's.
            poll_interval_seconds: Seconds between two polls. None uses the resource's settings,
                with which the wait grows.
            show_progress: Whether to show each change on standard error, or a bar in a notebook.
                None shows it if a person is watching. In a Dagster step, the log has it instead.

        Raises:
            dagster.Failure: In a Dagster step, with the reason, and the facts as metadata. Its
                `__context__` is the error below.
            RudderStackError: Outside Dagster.
        """
        with self._failures(connection_id, in_dagster=bool(current_step(context) or context)):
            _check_no_context(connection_id)
            choices = SyncChoices(
                checked_sync_type(sync_type),
                on_running_sync,
                timeout_seconds,
                poll_interval_seconds,
            )
        (report,) = self.syncs_in_step(
            context, [connection_id], choices, show_progress=show_progress
        )
        return report

    def poll_sync(  # noqa: PLR0913 - what a call may choose
        self,
        connection_id: str,
        sync_id: str,
        *,
        context: AnyContext | None = None,
        timeout_seconds: int | None = None,
        poll_interval_seconds: float | None = None,
        show_progress: bool | None = None,
    ) -> SyncReport:
        """Wait for the end of a running sync and return its report.

        If this resource's `start_sync` has started it, it is stopped when a person cancels the run
        and when it takes too long. Otherwise it is left alone. A sync that RudderStack does not
        show is looked for during `start_settling_seconds`, since it may be new.

        Args:
            connection_id: The connection.
            sync_id: The sync.
            context: Context of the asset or op. None finds it, in the step's own thread.
            timeout_seconds: Seconds that the sync may take. None uses the resource's.
            poll_interval_seconds: Seconds between two polls. None uses the resource's settings,
                with which the wait grows.
            show_progress: Whether to show each change on standard error, or a bar in a notebook.
                None shows it if a person is watching. In a Dagster step, the log has it instead.

        Raises:
            dagster.Failure: In a Dagster step, if the sync did not succeed.
            RudderStackError: Outside Dagster.
        """
        step = current_step(context)
        with self._failures(connection_id, in_dagster=bool(step or context)):
            checked_id(sync_id, "sync_id")
            started_type = self._started.get(sync_id)
            request = SyncRequest(connection_id, started_type or DEFAULT_SYNC_TYPE)
            choices = SyncChoices(
                timeout_seconds=timeout_seconds, poll_interval_seconds=poll_interval_seconds
            )
            policy = self.sync_policy(choices)
            runner = self.runner(step, [StepSync(request)], policy)
            runner.watcher = _watcher(step, show_progress)
            by_connection = {request.connection_id: sync_id}
            report = _only_report(runner.attach(by_connection, owned=started_type is not None))
            assert isinstance(report, SyncReport)  # noqa: S101 - what was started is not skipped
            return report

    def syncs_in_step(  # noqa: PLR0913 - what a call may choose
        self,
        context: AnyContext | None,
        connection_ids: Sequence[str],
        choices: SyncChoices,
        *,
        observed_key: dg.AssetKey | None = None,
        on_disabled: OnDisabled = "fail",
        show_progress: bool | None = False,
    ) -> list[SyncReport]:
        """Sync connections at once for code that reports the results itself, as ops do.

        A disabled connection that is skipped has no report.

        Args:
            context: Context of the asset or op. None finds it, in the step's own thread.
            connection_ids: The connections.
            choices: What was chosen for all of them. What is open is the resource's choice.
            observed_key: The asset whose page shows a failed sync, if there is one connection. None
                means the step's asset, if it has exactly one.
            on_disabled: `skip` leaves out disabled connections.
            show_progress: Whether to show the progress outside Dagster. See `sync_and_poll`.

        Raises:
            dagster.Failure: In a Dagster step.
            RudderStackError: Outside Dagster.
        """
        step = current_step(context)
        with self._failures(connection_ids[0], in_dagster=bool(step or context)):
            sync_type = choices.sync_type or DEFAULT_SYNC_TYPE
            requests = [SyncRequest(each, sync_type) for each in connection_ids]
            key = observed_key or (step.only_asset if step else None)
            syncs = [StepSync(each, key if len(requests) == 1 else None) for each in requests]
            runner = self.runner(step, syncs, self.sync_policy(choices))
            runner.is_returned = True
            runner.watcher = _watcher(step, show_progress)
            runner.on_disabled = on_disabled
            return [report for report in _reports(runner) if isinstance(report, SyncReport)]

    # --- runs of Profiles projects and of ETL sources

    def run_source_and_poll(  # noqa: PLR0913 - what a call may choose
        self,
        source_id: str,
        parameters: ProfilesParameters | None = None,
        *,
        context: AnyContext | None = None,
        on_running_run: OnRunningRun | None = None,
        on_lost_start: OnLostStart | None = None,
        timeout_seconds: int | None = None,
        poll_interval_seconds: float | None = None,
        show_progress: bool | None = None,
    ) -> SourceRunReport:
        """Start a run of a Profiles project or an ETL source, wait until it ends, and report it.

        In a Dagster step the run is recorded, so that a retry of the step or of the Dagster run
        resumes it instead of starting another. RudderStack offers no way to stop a run: it goes on
        when a person cancels the Dagster run, or when the timeout passes.

        Args:
            source_id: The project or source.
            parameters: What a run of a Profiles project builds. None builds everything. An ETL
                source has no parameters.
            context: Context of the asset or op. None finds it, in the step's own thread.
            on_running_run: What to do when a run of the source is already running: `wait` until it
                ends and then start a new one, or `fail`. None means `wait`.
            on_lost_start: What to do when the answer to the start was lost and RudderStack does not
                show whether it runs: `fail`, or `start_again`. None means `fail`.
            timeout_seconds: Seconds that the run may take. None uses `sync_timeout_seconds`.
            poll_interval_seconds: Seconds between two polls. None uses the resource's settings,
                with which the wait grows.
            show_progress: Whether to show each change on standard error, or a bar in a notebook.
                None shows it if a person is watching. In a Dagster step, the log has it instead.

        Raises:
            dagster.Failure: In a Dagster step, with the reason, and the facts as metadata. Its
                `__context__` is the error below.
            RudderStackError: Outside Dagster.
        """
        in_dagster = bool(current_step(context) or context)
        with self._failures(in_dagster=in_dagster, source_id=source_id):
            request = RunRequest(source_id, api_parameters(parameters))
            choices = RunChoices(
                on_running_run, on_lost_start, timeout_seconds, poll_interval_seconds
            )
        (report,) = self.runs_in_step(context, [request], choices, show_progress=show_progress)
        return report

    def runs_in_step(
        self,
        context: AnyContext | None,
        requests: Sequence[RunRequest],
        choices: RunChoices,
        *,
        observed_keys: Sequence[dg.AssetKey] = (),
        show_progress: bool | None = False,
    ) -> list[SourceRunReport]:
        """Run sources at once for code that reports the results itself, as ops do.

        Args:
            context: Context of the asset or op. None finds it, in the step's own thread.
            requests: The sources and their parameters.
            choices: What was chosen for all of them.
            observed_keys: The assets whose pages show a failed run, if there is one source. Empty
                means the step's asset, if it has exactly one.
            show_progress: Whether to show the progress outside Dagster. See `sync_and_poll`.

        Raises:
            dagster.Failure: In a Dagster step.
            RudderStackError: Outside Dagster.
        """
        step = current_step(context)
        in_dagster = bool(step or context)
        with self._failures(in_dagster=in_dagster, source_id=requests[0].source_id):
            only = step.only_asset if step else None
            keys = tuple(observed_keys) or ((only,) if only else ())
            shown = keys if len(requests) == 1 else ()
            runs = [StepSync.of(request, shown) for request in requests]
            runner = self.runner(step, runs, self.sync_policy(choices))
            runner.is_returned = True
            runner.watcher = _watcher(step, show_progress)
            return [report for report in _reports(runner) if isinstance(report, SourceRunReport)]

    def runner(
        self, step: DagsterStep | None, syncs: Sequence[StepSync], policy: SyncPolicy
    ) -> Runner:
        """Return what makes the syncs of a step, or the runs of sources."""
        runs = [each.request for each in syncs if isinstance(each.request, RunRequest)]
        api: SyncApi = self.get_client()
        if runs:
            api = SourceRunApi(self.get_client(), {run.source_id: run.parameters for run in runs})
        return Runner(
            api,
            policy,
            syncs,
            step,
            self.stop_settings,
            log=step.log if step else _LOG,
            max_concurrent=self.max_concurrent_requests,
            link_template=self._link_template_of("run" if runs else "sync"),
            sync_logs=self.sync_logs,
        )

    def _link_template_of(self, noun: str) -> str | None:
        """The address of a page, read from its variable where Dagster has not done so."""
        link = self.run_dashboard_url if noun == "run" else self.dashboard_url
        return link.get_value() if isinstance(link, dg.EnvVar) else link

    @contextlib.contextmanager
    def _failures(
        self, connection_id: str | None = None, *, in_dagster: bool, source_id: str | None = None
    ) -> Iterator[None]:
        """Turn our errors into Dagster's Failure, in a step."""
        try:
            yield
        except RudderStackError as error:
            if not in_dagster:
                raise
            link = self._link_template_of("sync" if source_id is None else "run")
            ids = [each if isinstance(each, str) else None for each in (connection_id, source_id)]
            raise failure_from(error, ids[0], link, source_id=ids[1]) from None


_LOG = get_dagster_logger("rudderstack")


def _watcher(step: DagsterStep | None, show_progress: bool | None) -> Watcher | None:
    """Return what shows the progress to a person. None in a step, whose log has it."""
    return None if step else choose_watcher(show_progress, is_logged=_LOG.hasHandlers())


def _check_no_context(connection_id: object) -> None:
    """Raise for Dagster's context in the place of the connection, as in other integrations."""
    if isinstance(connection_id, (dg.AssetExecutionContext, dg.OpExecutionContext)):
        raise InvalidSettingError(
            "sync_and_poll takes the id of a connection: sync_and_poll('2hke…', context=context). "
            "In a function of @rudderstack_assets, use `yield from sync()`."
        )


def _reports(runner: Runner) -> list[Report | None]:
    """Return the reports of all syncs, or raise: the error of the only one, or one for many."""
    if len(runner.syncs) == 1:
        return [_only_report(runner.run())]
    reports = [result.report for result in runner.run()]
    runner.raise_failures()
    return reports


def _only_report(results: Iterable[SyncResult]) -> Report | None:
    """Return the report of the only sync, or raise its error. None if it was skipped."""
    (result,) = results
    if result.error is not None:
        raise result.error
    return result.report
