"""What Dagster's event log and runs say about the syncs of an asset."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import dagster as dg

from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.sensor.detect import History, Ours, Wanted
from dagster_rudderstack.step.attempt import CLOSED, FAILED, STARTING
from dagster_rudderstack.step.records import (
    Note,
    in_flight_among,
    note_of,
    still_wanted,
    stops_among,
    text_of,
)

__all__ = ["EventLog"]

RECORDS_READ = 200
"""How far back we read: a sync leaves about three records, and few of them run at once."""

RECORDS_PER_SYNC = 5
"""How much further we read for each sync that has ended since the last tick. After a pause of the
sensor, many may have been reported by runs of Dagster meanwhile."""

MOST_RECORDS = 10_000
PAGE_SIZE = 200

RETRY_PATIENCE_SECONDS = 3600.0
"""How long a retry that Dagster has promised may take to begin before nobody counts on it."""

UNFINISHED = [
    status
    for status in dg.DagsterRunStatus
    if status.name not in ("SUCCESS", "FAILURE", "CANCELED")
]

WILL_RETRY_TAG, RETRY_RUN_TAG = "dagster/will_retry", "dagster/auto_retry_run_id"
ROOT_RUN_TAG = "dagster/root_run_id"


@dataclass
class EventLog:
    """Reads the event log for one tick; asks for each run once."""

    instance: dg.DagsterInstance
    _in_hand: dict[str, bool] = field(default_factory=dict, init=False)

    def history(self, connection_id: str, key: dg.AssetKey, ends: int = 0) -> History:
        """Return what is known about the syncs of a connection.

        Args:
            connection_id: the connection.
            key: the asset that stands for it. What ops and bodies of the user's own have written
                down is found, too.
            ends: how many of its syncs have ended that the sensor has not handled yet.
        """
        depth = RECORDS_READ + RECORDS_PER_SYNC * ends
        reported = set(self._materialized(connection_id, key, depth))
        notes: list[Note] = []
        records = list(self._observations(connection_id, key, depth))
        for record in records:
            note = note_of(record)
            if note is None:
                reported.update(_sync_ids(connection_id, record))
            elif note.connection_id == connection_id:
                notes.append(note)
        told = {note.sync_id for note in notes if note.state in (CLOSED, FAILED)}
        reported.update(sync_id for sync_id in told if sync_id is not None)
        stops = stops_among(records, connection_id)
        return History(
            reported=frozenset(reported),
            ours={
                id_: self._ours(note, stops.get(id_))
                for id_, note in in_flight_among(notes).items()
            },
            may_have_started=any(
                self._is_in_hand(note.run_id)
                for note in _last_of_each_step(notes)
                if note.state == STARTING
            ),
            wanted=[
                Wanted(
                    note.sync_id or "",
                    note.sync_type,
                    note.partition,
                    in_hand=self._is_in_hand(note.run_id),
                )
                for note in still_wanted(notes)
            ],
        )

    def _materialized(self, connection_id: str, key: dg.AssetKey, depth: int) -> Iterator[str]:
        for record in _newest(self.instance.fetch_materializations, key, depth):
            yield from _sync_ids(connection_id, record)

    def _observations(
        self, connection_id: str, key: dg.AssetKey, depth: int
    ) -> Iterator[dg.EventLogRecord]:
        # The second one is `SyncStep.default_key`.
        for each in dict.fromkeys((key, dg.AssetKey(["rudderstack", connection_id]))):
            yield from _newest(self.instance.fetch_observations, each, depth)

    def _ours(self, note: Note, stopped_by: str | None) -> Ours:
        is_deferred = note.deadline is not None
        return Ours(
            in_hand=not is_deferred and self._is_in_hand(note.run_id),
            deferred=is_deferred,
            owned=note.owned,
            sync_type=note.sync_type,
            partition=note.partition,
            deadline=note.deadline,
            stopped_by=stopped_by,
        )

    def _is_in_hand(self, run_id: str) -> bool:
        """Whether a run, or a retry of it, may still report what it has begun."""
        if run_id not in self._in_hand:
            self._in_hand[run_id] = self._find_in_hand(run_id)
        return self._in_hand[run_id]

    def _find_in_hand(self, run_id: str) -> bool:
        record = self.instance.get_run_record_by_id(run_id)
        if record is None:
            return False
        run = record.dagster_run
        if not run.is_finished:
            return True
        is_promised = run.tags.get(WILL_RETRY_TAG) == "true" and RETRY_RUN_TAG not in run.tags
        ended_at = record.end_time or record.update_timestamp.timestamp()
        if is_promised and time.time() - ended_at < RETRY_PATIENCE_SECONDS:
            return True
        root = run.root_run_id or run_id
        retries = dg.RunsFilter(tags={ROOT_RUN_TAG: root}, statuses=UNFINISHED)
        return bool(self.instance.get_run_records(retries, limit=1))


def _newest(
    fetch: Callable[..., dg.EventRecordsResult], key: dg.AssetKey, depth: int
) -> Iterator[dg.EventLogRecord]:
    """Yield so many events of an asset, newest first; those in a row about one sync count as one.

    A sync of many partitions leaves a materialization for each of them.
    """
    before: str | None = None
    for record in _pages(fetch, key):
        event = record.asset_materialization or record.asset_observation
        sync_id = text_of(event.metadata.get(MetadataKey.SYNC_ID)) if event else None
        depth -= sync_id is None or sync_id != before
        if depth < 0:
            return
        before = sync_id
        yield record


def _pages(
    fetch: Callable[..., dg.EventRecordsResult], key: dg.AssetKey
) -> Iterator[dg.EventLogRecord]:
    cursor: str | None = None
    for _ in range(MOST_RECORDS // PAGE_SIZE):
        result = fetch(key, limit=PAGE_SIZE, cursor=cursor)
        yield from result.records
        if not result.has_more:
            return
        cursor = result.cursor


def _sync_ids(connection_id: str, record: dg.EventLogRecord) -> Iterator[str]:
    """Yield the sync whose end a materialization, or an observation of a sensor, tells."""
    event = record.asset_materialization or record.asset_observation
    if event is None or text_of(event.metadata.get(MetadataKey.CONNECTION_ID)) != connection_id:
        return
    sync_id = text_of(event.metadata.get(MetadataKey.SYNC_ID))
    # What carries a deadline tells that a sync takes too long, and not how it ended.
    if sync_id is not None and MetadataKey.DEADLINE not in event.metadata:
        yield sync_id


def _last_of_each_step(notes: Sequence[Note]) -> list[Note]:
    """Return the last note of each step of each run; `notes` is newest first."""
    last: dict[tuple[str, str, str | None], Note] = {}
    for note in notes:
        last.setdefault((note.run_id, note.step, note.partition), note)
    return list(last.values())
