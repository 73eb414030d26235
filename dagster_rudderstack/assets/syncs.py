"""`sync`: what a function of the user calls to sync the connections of its step."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.settings import OnRunningSync, SyncType
from dagster_rudderstack.sync.choices import SyncChoices
from dagster_rudderstack.sync.request import SyncReport
from dagster_rudderstack.text import MAX_EXAMPLES, shown

__all__ = ["RudderStackSyncs"]

_Results = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]
_Start = Callable[[Mapping[str, dg.AssetKey], SyncChoices], _Results]


class RudderStackSyncs:
    """Syncs the connections of a step, for a function of your own.

        @rudderstack_assets(connection_id="2hkeBOp0lGJpMPyur0oXUxxIDhw", spec="crm_contacts")
        def crm_contacts(sync: RudderStackSyncs):
            is_sunday = date.today().weekday() == 6
            yield from sync(sync_type="full" if is_sunday else "incremental")

    Call it to start or resume the syncs of the selected assets, wait for them, and get their
    results as they come: a `MaterializeResult` for each sync that succeeded, followed by the
    results of its checks. The function must yield a result for each of these assets. It may change
    a result, or yield its own instead, and gets the numbers from `reports`:

            for result in sync():
                if isinstance(result, dg.MaterializeResult):
                    report = sync.reports[result.asset_key]
                    cost = (report.rows_succeeded or 0) * 0.01
                    result = dg.MaterializeResult(result.asset_key, metadata={"cost": cost})
                yield result

    A materialization also gets the metadata of its sync. Where both have a key, that of the
    function stays, but for the ids of the sync and the connection. The results of checks that the
    function does not yield are added at its end.

    With `wait=False`, the syncs are only started: there are no results and no reports.

    Attributes:
        connections: The selected assets by connection id.
        reports: The reports of the syncs that succeeded, by asset. They come with the results.
    """

    def __init__(
        self,
        start: _Start,
        connections: Mapping[str, dg.AssetKey],
        known: Iterable[str],
        reports: Mapping[dg.AssetKey, SyncReport],
    ) -> None:
        self.connections = connections
        # The key of a result is None to a type checker, though never here.
        self.reports: Mapping[Any, SyncReport] = reports
        self._start = start
        self._known = list(known)

    def __repr__(self) -> str:
        return f"RudderStackSyncs({dict(self.connections)!r})"

    def __call__(
        self,
        connections: str | Iterable[str] | None = None,
        *,
        sync_type: SyncType | None = None,
        on_running_sync: OnRunningSync | None = None,
        timeout_seconds: int | None = None,
        poll_interval_seconds: float | None = None,
    ) -> _Results:
        """Sync connections at once, and return their results as they come.

        The config of the run takes precedence over what is given here, and this over the options of
        the definition. A connection whose result the function has yielded is not synced again.

        Args:
            connections: The ids of the connections. Those whose assets are not selected in this run
                are left out. None means all that are selected.
            sync_type: `incremental` or `full`. None uses the definition's.
            on_running_sync: What to do when a sync of the connection is already running. None uses
                the definition's choice.
            timeout_seconds: Seconds that a sync may take. None uses the definition's.
            poll_interval_seconds: Seconds between two polls. None uses the definition's.

        Raises:
            InvalidSettingError: If a value is invalid, or the step has no such connection.
            dagster.Failure: While the results are read: at the end, if syncs have failed.
        """
        choices = SyncChoices(sync_type, on_running_sync, timeout_seconds, poll_interval_seconds)
        return self._start(self._chosen(connections), choices)

    def _chosen(self, given: str | Iterable[str] | None) -> Mapping[str, dg.AssetKey]:
        if given is None:
            return self.connections
        if not isinstance(given, Iterable):
            raise InvalidSettingError(f"sync() takes ids of connections, not {shown(given)}.")
        ids = [given] if isinstance(given, str) else list(given)
        for each in ids:
            if each not in self._known:
                some = ", ".join(map(repr, self._known[:MAX_EXAMPLES]))
                more = ", …" if len(self._known) > MAX_EXAMPLES else ""
                raise InvalidSettingError(
                    f"The step has no connection {shown(each)}. It has {some}{more}."
                )
        return {id_: key for id_, key in self.connections.items() if id_ in ids}
