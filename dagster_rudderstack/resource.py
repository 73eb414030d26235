"""`RudderStackResource`: Dagster's config in, typed syncs out."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg
from dagster import get_dagster_logger
from pydantic import PrivateAttr

from dagster_rudderstack.api.models import Connection, Sync
from dagster_rudderstack.api.user_request import SAFE_METHODS, Params, checked_method
from dagster_rudderstack.api.validation import (
    checked_id,
    checked_sync_type,
)
from dagster_rudderstack.errors import InvalidSettingError, RudderStackError
from dagster_rudderstack.metadata import failure_from
from dagster_rudderstack.resource_client import ResourceClient
from dagster_rudderstack.settings import (
    DEFAULT_SYNC_TYPE,
    OnDisabled,
    OnRunningSync,
    SyncPolicy,
    SyncType,
)
from dagster_rudderstack.step.dagster_step import AnyContext, DagsterStep, current_step
from dagster_rudderstack.step.interrupts import StopSettings
from dagster_rudderstack.step.results import StepSync, SyncResult
from dagster_rudderstack.step.runner import Runner
from dagster_rudderstack.sync.choices import SyncChoices
from dagster_rudderstack.sync.failed_rows import SyncLog
from dagster_rudderstack.sync.request import SyncReport, SyncRequest
from dagster_rudderstack.sync.retry import call_with_retries
from dagster_rudderstack.sync.sync_logs import PATIENCE_SECONDS, SyncLogs

if TYPE_CHECKING:
    from dagster_rudderstack.api.client import RudderStackClient

__all__ = ["RudderStackResource"]

STOP_PATIENCE = 5
"""Seconds that a request of a stop waits for an answer. Several must fit into the grace time."""

_T = TypeVar("_T")


class RudderStackResource(ResourceClient):
    """A RudderStack workspace: starts Reverse ETL syncs and waits for them.

    Use it in assets and ops, or outside Dagster:

        with RudderStackResource(access_token=EnvVar("RUDDERSTACK_ACCESS_TOKEN")) as rudderstack:
            report = rudderstack.sync_and_poll("2hkeBOp0lGJpMPyur0oXUxxIDhw")

    Requests share kept-alive connections. The first request opens them, and they are closed with
    the resource, or when nothing refers to it any more. (It has no Dagster teardown on purpose: a
    resource that has one cannot be used with a plain `build_asset_context` in a test.)
    Strings and whole numbers can come from an `EnvVar`, and are checked when it is read.

    Raises:
        pydantic.ValidationError: If a value is invalid, or a setting does not exist. The
            message names the setting, the value and what would be right.
    """

    _found_logs: dict[str, SyncLog] = PrivateAttr(default_factory=dict)
    _started: dict[str, SyncType] = PrivateAttr(default_factory=dict)

    @property
    def stop_settings(self) -> StopSettings:
        """When and how an interrupt stops the syncs of a step."""
        return StopSettings(self.stop_on_termination, lambda: self._new_client(STOP_PATIENCE))

    @property
    def sync_logs(self) -> SyncLogs:
        """Where the rejected rows of the connections are listed. Each is asked for once."""
        # With a client of its own, so that no result of a sync waits long for an answer.
        return SyncLogs(lambda: self._new_client(PATIENCE_SECONDS), _LOG, self._found_logs)

    # --- requests

    def start_sync(self, connection_id: str, sync_type: str = DEFAULT_SYNC_TYPE) -> str:
        """Start a sync and return its id. It does not wait, and the request is never repeated.

        The sync is not recorded, so a retry of the step starts another one. A sync that
        `sync_and_poll` starts is resumed.

        Args:
            connection_id: The connection.
            sync_type: `incremental` or `full`.

        Raises:
            ConflictError: If a sync of the connection is running (409).
            RudderStackError: For any other error. If no answer came, the sync may have been
                started. `sync_and_poll` finds out.
        """
        sync_id = self.get_client().start_sync(connection_id, sync_type)
        self._started[sync_id] = checked_sync_type(sync_type)
        return sync_id

    def stop_sync(self, connection_id: str) -> None:
        """Ask RudderStack to stop the running sync of the connection. It does not wait."""
        self._retried(lambda client: client.stop_sync(connection_id))

    def get_sync(self, connection_id: str, sync_id: str) -> Sync:
        """Return the details of one sync."""
        return self._retried(lambda client: client.get_sync(connection_id, sync_id))

    def list_syncs(
        self,
        connection_id: str,
        *,
        status: str | None = None,
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        limit: int | None = None,
    ) -> list[Sync]:
        """Return the syncs of a connection, newest first.

        Args:
            connection_id: The connection.
            status: Only syncs with this status: `running`, `succeeded` or `failed`.
            started_after: Only syncs started after this time. A naive time is UTC.
            started_before: Only syncs started before this time. A naive time is UTC.
            limit: The largest number of syncs. None returns all.
        """
        return self._retried(
            lambda client: client.list_syncs(
                connection_id,
                status=status,
                started_after=started_after,
                started_before=started_before,
                limit=limit,
            )
        )

    def get_connection(self, connection_id: str) -> Connection:
        """Return one connection."""
        return self._retried(lambda client: client.get_connection(connection_id))

    def list_connections(
        self, *, source_id: str | None = None, destination_id: str | None = None
    ) -> list[Connection]:
        """Return the Reverse ETL connections of the workspace."""
        return self._retried(
            lambda client: client.list_connections(
                source_id=source_id, destination_id=destination_id
            )
        )

    def request(
        self, method: str, path: str, *, params: Params | None = None, json: Any = None
    ) -> Any:
        """Send any request to the API, for what the other methods do not offer.

        It is sent as theirs are: with the token, the proxy and the timeouts of the resource, and
        with the same limits and errors. An answer may have up to 16 MB.

        GET and HEAD are retried after temporary errors. All other methods are sent exactly once. If
        no answer comes to such a request, it is unknown whether it had an effect, unless
        `TransportError.request_sent` is False. A sync that is started like this is not resumed by
        a retry of the step: use `sync_and_poll`.

        Args:
            method: GET, HEAD, POST, PUT, PATCH or DELETE.
            path: The path in RudderStack's reference, without the version: `/retl-sources`.
            params: The query. None leaves a parameter out, and a list repeats it. Like the path, it
                must not hold a secret, since httpx logs addresses.
            json: The body. None sends no body.

        Returns:
            The JSON of the answer: an object, a list or any other value. None if the answer is
            empty, as that to HEAD is.

        Raises:
            InvalidSettingError: If an argument is invalid. No request is sent.
            RudderStackError: For any other answer than 2xx with JSON, and if there is none.
        """

        def call(client: "RudderStackClient") -> Any:
            return client.request(method, path, params=params, json=json)

        is_safe = checked_method(method) in SAFE_METHODS
        return self._retried(call) if is_safe else call(self.get_client())

    def _retried(self, call: Callable[["RudderStackClient"], _T]) -> _T:
        client = self.get_client()
        return call_with_retries(lambda: call(client), self.sync_policy().retry, _LOG)

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

        Raises:
            dagster.Failure: In a Dagster step, with the reason, and the facts as metadata. Its
                `__cause__` is the error below.
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
        (report,) = self.syncs_in_step(context, [connection_id], choices)
        return report

    def poll_sync(
        self,
        connection_id: str,
        sync_id: str,
        *,
        context: AnyContext | None = None,
        timeout_seconds: int | None = None,
        poll_interval_seconds: float | None = None,
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
            by_connection = {request.connection_id: sync_id}
            report = _only_report(runner.attach(by_connection, owned=started_type is not None))
            assert report is not None  # noqa: S101 - a sync that is not started is not skipped
            return report

    def syncs_in_step(
        self,
        context: AnyContext | None,
        connection_ids: Sequence[str],
        choices: SyncChoices,
        *,
        observed_key: dg.AssetKey | None = None,
        on_disabled: OnDisabled = "fail",
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
            runner.on_disabled = on_disabled
            if len(syncs) == 1:
                report = _only_report(runner.run())
                return [report] if report else []
            reports = [result.report for result in runner.run()]
            runner.raise_failures()
            return [report for report in reports if report is not None]

    def runner(
        self, step: DagsterStep | None, syncs: Sequence[StepSync], policy: SyncPolicy
    ) -> Runner:
        """Return what runs the syncs of a step."""
        return Runner(
            self.get_client(),
            policy,
            syncs,
            step,
            self.stop_settings,
            log=step.log if step else _LOG,
            max_concurrent=self.max_concurrent_requests,
            link_template=self._link_template,
            sync_logs=self.sync_logs,
        )

    @property
    def _link_template(self) -> str | None:
        """`dashboard_url`, read from its variable where Dagster has not done so."""
        link = self.dashboard_url
        return link.get_value() if isinstance(link, dg.EnvVar) else link

    @contextlib.contextmanager
    def _failures(self, connection_id: str, *, in_dagster: bool) -> Iterator[None]:
        """Turn our errors into Dagster's Failure, in a step."""
        try:
            yield
        except RudderStackError as error:
            if not in_dagster:
                raise
            known = connection_id if isinstance(connection_id, str) else None
            raise failure_from(error, known, self._link_template) from error


_LOG = get_dagster_logger("rudderstack")


def _check_no_context(connection_id: object) -> None:
    """Raise for Dagster's context in the place of the connection, as in other integrations."""
    if isinstance(connection_id, (dg.AssetExecutionContext, dg.OpExecutionContext)):
        raise InvalidSettingError(
            "sync_and_poll takes the id of a connection: sync_and_poll('2hke…', context=context). "
            "In a function of @rudderstack_assets, use `yield from sync()`."
        )


def _only_report(results: Iterable[SyncResult]) -> SyncReport | None:
    """Return the report of the only sync, or raise its error. None if it was skipped."""
    (result,) = results
    if result.error is not None:
        raise result.error
    return result.report
