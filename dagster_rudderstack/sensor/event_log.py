"""What Dagster knows about the syncs of a connection: reports, and records of runs.

The asset's own events say which syncs were reported. Only if a sync is not among them are the
records of runs read: of the runs that were to materialize the asset, and of the runs that were
active when the sync began. Each run is read once per tick.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import dagster as dg

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.dagster_internals import planned_run_ids
from dagster_rudderstack.metadata import STOPPED, Metadata, MetadataKey, text_of
from dagster_rudderstack.sensor.detect import History, RecordedSync
from dagster_rudderstack.sensor.limits import (
    EVENTS_PER_SYNC,
    EVENTS_READ,
    MOST_EVENTS,
    PAGE_SIZE,
    RUNS_READ,
)
from dagster_rudderstack.step.records import (
    UNFINISHED,
    RecordKind,
    SyncRecord,
    active_run_ids,
    read_records,
)

__all__ = ["EventLog"]

CLOCK_SLACK = timedelta(hours=1)
"""How far RudderStack's clock and Dagster's may differ."""

RETRY_PATIENCE_SECONDS = 3600.0
"""How long a retry that Dagster has promised may take to begin. After that, the run is
treated as not retried."""

WILL_RETRY_TAG, RETRY_RUN_TAG = "dagster/will_retry", "dagster/auto_retry_run_id"
ROOT_RUN_TAG = "dagster/root_run_id"


@dataclass
class EventLog:
    """Reads Dagster's storage for one tick. Each run is read once."""

    instance: dg.DagsterInstance
    _began_at: float = field(default_factory=time.time, init=False)
    _will_report: dict[str, bool] = field(default_factory=dict, init=False)
    _records: dict[str, list[SyncRecord]] = field(default_factory=dict, init=False)
    _planned: dict[str, set[dg.AssetKey | None]] = field(default_factory=dict, init=False)

    def history(
        self,
        connection_id: str,
        key: dg.AssetKey,
        syncs: Iterable[Sync],
        *,
        ends: int = 0,
        all_deferred: bool = False,
    ) -> History:
        """Return what Dagster knows about the syncs of a connection.

        Args:
            connection_id: The connection.
            key: The asset that stands for it.
            syncs: The syncs to find.
            ends: How many syncs have ended that the sensor has not handled yet.
            all_deferred: Whether to find further deferred syncs, however long ago they began.
        """
        depth = EVENTS_READ + EVENTS_PER_SYNC * ends
        observations = list(_newest(self.instance.fetch_observations, key, depth))
        materializations = _newest(self.instance.fetch_materializations, key, depth)
        reported = {
            *_reported(connection_id, materializations),
            *_reported(connection_id, observations),
        }
        unreported = [sync for sync in syncs if sync.id not in reported]
        began = [sync.started_at for sync in unreported]
        if all_deferred:
            began.append(None)
        stopped = frozenset(_stopped(connection_id, observations))
        if not began:
            return History(frozenset(reported), stopped)
        records = [
            record
            for run_id in self._runs(key, began)
            for record in self._records_of(run_id)
            if record.connection_id == connection_id
        ]
        reported.update(self._returned(key, records))
        timed_out = set(_timed_out(connection_id, observations))
        waiting = _waiting(records)
        of_asset = {
            sync.id
            for sync in unreported
            if any(self._is_of_asset(each.run_id, key) for each in waiting.get(sync.id, ()))
        }
        return History(
            reported=frozenset(reported),
            stopped=stopped,
            recorded={
                sync_id: replace(
                    self._recorded(key, found),
                    timed_out=sync_id in timed_out,
                    of_asset=sync_id in of_asset,
                )
                for sync_id, found in waiting.items()
                if sync_id not in reported
            },
            may_have_started=any(
                self._is_reporting(record.run_id)
                for record in _last_of_each_step(records)
                if record.kind is RecordKind.STARTING
            ),
        )

    # --- the records of runs

    def _runs(self, key: dg.AssetKey, began: Iterable[datetime | None]) -> list[str]:
        """Return the runs that may have recorded syncs which began at these times."""
        since = _earliest(began)
        found = planned_run_ids(self.instance, key, since.timestamp() if since else None, RUNS_READ)
        found += active_run_ids(self.instance, since, RUNS_READ)
        return list(dict.fromkeys(found))

    def _records_of(self, run_id: str) -> list[SyncRecord]:
        if run_id not in self._records:
            self._records[run_id] = read_records(self.instance, run_id)
        return self._records[run_id]

    def _returned(self, key: dg.AssetKey, records: Sequence[SyncRecord]) -> Iterator[str]:
        """Yield the syncs whose results the code of a step has.

        That of an op does not materialize the asset which left the sync to the sensor.
        """
        deferred = {record.sync_id for record in records if record.is_deferred}
        for record in records:
            if record.kind is not RecordKind.RETURNED or record.sync_id is None:
                continue
            if record.sync_id not in deferred or self._is_of_asset(record.run_id, key):
                yield record.sync_id

    def _recorded(self, key: dg.AssetKey, waiting: Sequence[SyncRecord]) -> RecordedSync:
        """Return what steps have recorded about a sync that they wait for or have deferred.

        A deferred sync remains deferred when another step waits for it, too. The sensor does not
        stop it meanwhile.
        """
        deferred = [record for record in waiting if record.is_deferred]
        record = _merged(deferred or waiting)
        run_ids = [each.run_id for each in waiting if not each.is_deferred]
        awaited_by = [run_id for run_id in run_ids if self._is_reporting(run_id)]
        return RecordedSync(
            # A step that is not of the asset does not report a deferred sync on its page.
            will_be_reported=any(
                not deferred or self._is_of_asset(run_id, key) for run_id in awaited_by
            ),
            deferred=bool(deferred),
            owned=record.owned and not (deferred and awaited_by),
            sync_type=record.sync_type,
            partitions=_partitions(deferred or [record]),
            deadline=None if awaited_by else record.deadline,
            run_id=_first_run(deferred or waiting),
        )

    def _is_of_asset(self, run_id: str, key: dg.AssetKey) -> bool:
        """Whether a run was to materialize the asset."""
        if run_id not in self._planned:
            planned = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
            found = self.instance.get_records_for_run(run_id, of_type=planned).records
            events = [record.event_log_entry.dagster_event for record in found]
            self._planned[run_id] = {event.asset_key for event in events if event}
        return key in self._planned[run_id]

    def _is_reporting(self, run_id: str) -> bool:
        """Whether a run, or a retry of it, may still report what it has begun."""
        if run_id not in self._will_report:
            self._will_report[run_id] = self._find_reporting(run_id)
        return self._will_report[run_id]

    def _find_reporting(self, run_id: str) -> bool:
        record = self.instance.get_run_record_by_id(run_id)
        if record is None:
            return False
        run = record.dagster_run
        if not run.is_finished:
            return True
        is_promised = run.tags.get(WILL_RETRY_TAG) == "true" and RETRY_RUN_TAG not in run.tags
        ended_at = record.end_time or record.update_timestamp.timestamp()
        if ended_at >= self._began_at:
            # What it reported at its end may be missing from the events that were read before.
            return True
        if is_promised and time.time() - ended_at < RETRY_PATIENCE_SECONDS:
            return True
        root = run.root_run_id or run_id
        retries = dg.RunsFilter(tags={ROOT_RUN_TAG: root}, statuses=UNFINISHED)
        return bool(self.instance.get_run_records(retries, limit=1))


def _waiting(records: Iterable[SyncRecord]) -> dict[str, list[SyncRecord]]:
    """Return the records of syncs that steps wait for or have deferred, the oldest first."""
    found: dict[str, list[SyncRecord]] = {}
    for record in sorted(records, key=lambda each: (each.timestamp, each.position)):
        if record.kind is RecordKind.WAITING and record.sync_id is not None:
            found.setdefault(record.sync_id, []).append(record)
    return found


def _merged(records: Sequence[SyncRecord]) -> SyncRecord:
    """Return the last record of a sync. It remains owned when another run attaches to it."""
    owned = [record for record in records if record.owned]
    last = records[-1]
    return replace(last, owned=True, sync_type=owned[-1].sync_type) if owned else last


def _first_run(records: Sequence[SyncRecord]) -> str:
    """Return the run that started a sync, or the first one that attached to it."""
    return next((each for each in records if each.owned), records[0]).run_id


def _partitions(records: Iterable[SyncRecord]) -> tuple[str, ...]:
    found = [record.partition for record in records if record.partition is not None]
    return tuple(dict.fromkeys(found))


def _earliest(began: Iterable[datetime | None]) -> datetime | None:
    """Return when the first run that matters may have been active. None if a time is unknown."""
    times = list(began)
    known = [when for when in times if when is not None]
    return min(known) - CLOCK_SLACK if len(known) == len(times) else None


def _last_of_each_step(records: Iterable[SyncRecord]) -> list[SyncRecord]:
    """Return the last record of each step of each run."""
    last: dict[tuple[str, str, str | None], SyncRecord] = {}
    for record in records:
        last[record.run_id, record.step, record.partition] = record
    return list(last.values())


def _metadata(record: dg.EventLogRecord) -> dict[str, dg.MetadataValue]:
    event = record.asset_materialization or record.asset_observation
    return dict(event.metadata) if event else {}


def _reported(connection_id: str, events: Iterable[dg.EventLogRecord]) -> Iterator[str]:
    for record in events:
        sync_id, metadata = _sync_id(connection_id, record), _metadata(record)
        # An observation with a deadline says that a sync takes too long, not how it ended.
        is_late = MetadataKey.DEADLINE in metadata
        if sync_id is not None and not is_late and not _is_stopped(metadata):
            yield sync_id


def _stopped(connection_id: str, observations: Iterable[dg.EventLogRecord]) -> Iterator[str]:
    for record in observations:
        sync_id = _sync_id(connection_id, record)
        if sync_id is not None and _is_stopped(_metadata(record)):
            yield sync_id


def _is_stopped(metadata: Metadata) -> bool:
    """Whether an event says that RudderStack was asked to stop a sync.

    The sync may have succeeded before the stop took effect.
    """
    return text_of(metadata, MetadataKey.STATUS) == STOPPED


def _timed_out(connection_id: str, observations: Iterable[dg.EventLogRecord]) -> Iterator[str]:
    for record in observations:
        sync_id = _sync_id(connection_id, record)
        if sync_id is not None and MetadataKey.STOPPED_BY in _metadata(record):
            yield sync_id


def _sync_id(connection_id: str, record: dg.EventLogRecord) -> str | None:
    metadata = _metadata(record)
    if text_of(metadata, MetadataKey.CONNECTION_ID) != connection_id:
        return None
    return text_of(metadata, MetadataKey.SYNC_ID)


def _newest(
    fetch: Callable[..., dg.EventRecordsResult], key: dg.AssetKey, depth: int
) -> Iterator[dg.EventLogRecord]:
    """Yield the newest events of an asset. Several in a row about one sync count as one.

    A sync of many partitions is a materialization of each of them.
    """
    before: str | None = None
    for record in _pages(fetch, key):
        sync_id = text_of(_metadata(record), MetadataKey.SYNC_ID)
        depth -= sync_id is None or sync_id != before
        if depth < 0:
            return
        before = sync_id
        yield record


def _pages(
    fetch: Callable[..., dg.EventRecordsResult], key: dg.AssetKey
) -> Iterator[dg.EventLogRecord]:
    cursor: str | None = None
    for _ in range(MOST_EVENTS // PAGE_SIZE):
        result = fetch(key, limit=PAGE_SIZE, cursor=cursor)
        yield from result.records
        if not result.has_more:
            return
        cursor = result.cursor
