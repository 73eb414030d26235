"""What earlier attempts of a step left behind, read from the logs of their runs.

An earlier attempt is one of the same step: in this run, or in a run that this one retries or
re-executes. Other runs are ignored.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from typing import TypeVar

import dagster as dg

from dagster_rudderstack.metadata import own_id_of, target_id_of
from dagster_rudderstack.step.dagster_step import DagsterStep
from dagster_rudderstack.step.records import (
    RUNS_READ,
    RecordKind,
    SyncRecord,
    active_run_ids,
    read_records,
    started_among,
)
from dagster_rudderstack.sync.attempt import PreviousAttempt
from dagster_rudderstack.sync.decisions import ADOPTION_SECONDS
from dagster_rudderstack.sync.request import Request

__all__ = ["EarlierAttempts", "Materialized"]

LOST = (RecordKind.STARTING, RecordKind.ACCEPTED)
"""The records after which a sync or run may have begun whose id is not known."""

MATERIALIZATIONS_READ = 200
"""How many materializations of an asset are read to find that of a sync which an earlier run left
running. The newest come first."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Materialized:
    """A materialization that an attempt of this step, or of another one, stored.

    Attributes:
        key: The asset.
        run_id: The run.
        position: Its place in the log of the run.
        metadata: Its metadata.
    """

    key: dg.AssetKey
    run_id: str
    position: int
    metadata: Mapping[str, dg.MetadataValue] = field(repr=False)


class _read_once(cached_property[_T]):  # noqa: N801 - a decorator
    """A cached property that is read once, also by many threads at the same time."""

    def __get__(self, earlier: EarlierAttempts, owner: object = None) -> _T:  # type: ignore[override]
        with earlier.lock:
            return super().__get__(earlier, None)


@dataclass(frozen=True)
class EarlierAttempts:
    """Reads what earlier attempts of a step left, with one query per run of its ancestry.

    Materializations are read, with one more query per run, only if there is a record.
    """

    step: DagsterStep
    lock: AbstractContextManager[object] = field(
        default_factory=threading.RLock, init=False, repr=False, compare=False
    )

    @_read_once
    def _last_records(self) -> dict[tuple[str, str | None], SyncRecord]:
        """The last record of this step, by connection and sync type."""
        last: dict[tuple[str, str | None], SyncRecord] = {}
        for run in self.step.ancestry:
            for record in read_records(self.step.instance, run.run_id):
                if (record.step, record.partition) == (self.step.name, self.step.partition):
                    last[record.connection_id, record.sync_type] = record
        return last

    @_read_once
    def _materialized(self) -> list[Materialized]:
        """The materializations of all runs of the ancestry, the oldest first."""
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        return [
            Materialized(event.asset_key, entry.run_id, entry.storage_id, event.metadata)
            for run in self.step.ancestry
            for entry in self.step.instance.get_records_for_run(run.run_id, of_type=kind).records
            if (event := entry.asset_materialization) is not None
        ]

    def last_record(self, request: Request) -> SyncRecord | None:
        """Return the last record of an earlier attempt about what is requested now.

        Only records with the same sync type, or the same parameters of a run, count.
        """
        return self._last_records.get((request.target_id, request.variant))

    def deferred(self, request: Request) -> PreviousAttempt | None:
        """Return the sync that an earlier attempt left to the sensor, whether reported or not."""
        record = self.last_record(request)
        if record is None or record.kind is not RecordKind.WAITING:
            return None
        if record.run_id not in self.step.continued_run_ids:
            return None
        return PreviousAttempt(record.sync_id, owned=record.owned)

    def unfinished(
        self, request: Request, key: dg.AssetKey | None, *others: dg.AssetKey
    ) -> PreviousAttempt | None:
        """Return what an earlier attempt left to resume. None if nothing.

        A sync that was reported does not count. Nor does one that began before a later attempt
        rebuilt the tables that it reads, since it may miss rows.

        Args:
            request: What is requested now.
            key: The asset that reports it. None if none does.
            others: Further assets that report it: a run may build several.
        """
        record = self.last_record(request)
        left = self._left_by(record, key, others) if record else None
        if record is None or left is None:
            return None
        # The lost start of a run is never forgotten: `on_lost_start` decides.
        is_lost_run = record.kind in LOST and not request.can_be_listed
        if not is_lost_run and self.was_rebuilt(None if others else key, record):
            self.step.log.info(
                f"The previous {request.noun} of {request.target} is not resumed, because an "
                "upstream asset was materialized after it began."
            )
            return None
        return left

    def _left_by(
        self, record: SyncRecord, key: dg.AssetKey | None, others: Sequence[dg.AssetKey] = ()
    ) -> PreviousAttempt | None:
        is_same_run = record.run_id == self.step.run.run_id
        if record.kind in LOST:
            return PreviousAttempt(
                is_accepted=record.kind is RecordKind.ACCEPTED,
                known_sync_ids=frozenset(record.known_sync_ids) | self._started_by_others(record),
                recorded_at=_time_if_old(record),
                is_same_run=is_same_run,
            )
        if record.kind is RecordKind.RETURNED and is_same_run and self._has_failed_since(record):
            return PreviousAttempt(record.sync_id, owned=False, is_same_run=True)
        if record.kind is not RecordKind.WAITING or self._was_reported(record, key, others):
            return None
        return PreviousAttempt(record.sync_id, owned=record.owned, is_same_run=is_same_run)

    def _started_by_others(self, record: SyncRecord) -> frozenset[str]:
        """The syncs of the record's connection that runs outside the ancestry have started."""
        return started_among(self._records_of_others, record.connection_id)

    @_read_once
    def _records_of_others(self) -> list[SyncRecord]:
        """The records of other runs since the first start whose result is unknown."""
        lost = [each for each in self._last_records.values() if each.kind in LOST]
        since = datetime.fromtimestamp(min(each.timestamp for each in lost), timezone.utc)
        instance = self.step.instance
        ancestry = {run.run_id for run in self.step.ancestry}
        return [
            record
            for run_id in active_run_ids(instance, since, RUNS_READ)
            if run_id not in ancestry
            for record in read_records(instance, run_id)
        ]

    def _has_failed_since(self, record: SyncRecord) -> bool:
        """Whether the step's own code got the result in an attempt that failed afterwards.

        The next attempt returns the result again. Within one attempt, two calls are two syncs.
        """
        return record.position < self.step.began_at

    def _was_reported(
        self, record: SyncRecord, key: dg.AssetKey | None, others: Sequence[dg.AssetKey]
    ) -> bool:
        """Whether a materialization reports the sync, of an attempt or of the sensor.

        A run that builds several assets is reported once each of them is materialized.
        """
        reported = {
            each.key
            for each in self._materialized
            if own_id_of(each.metadata) == record.sync_id and self._is_after(each, record)
        }
        if others:
            return reported.issuperset([*others, *([key] if key else [])])
        is_reported = bool(reported)
        if is_reported or key is None or record.run_id == self.step.run.run_id:
            return is_reported
        # The sensor may have reported it after its run had ended, and other runs other syncs since.
        recent = self.step.instance.fetch_materializations(key, limit=MATERIALIZATIONS_READ).records
        return any(
            own_id_of(each.asset_materialization.metadata) == record.sync_id
            for each in recent
            if each.asset_materialization and each.timestamp >= record.timestamp
        )

    def has_observed(self, key: dg.AssetKey, sync_id: str) -> bool:
        """Whether an earlier attempt reported on the page of the asset that the sync failed."""
        if not self._last_records:
            return False
        return (key, sync_id) in self._observed_syncs

    def has_observed_reason(self, key: dg.AssetKey, reason: str) -> bool:
        """Whether an earlier attempt reported the same failure without a sync for the asset."""
        if len(self.step.ancestry) == 1 and len(self.step.executions()) <= 1:
            return False
        return (key, reason, None) in self._observed

    @_read_once
    def _observed_syncs(self) -> set[tuple[dg.AssetKey, str | None]]:
        return {(key, sync_id) for key, _, sync_id in self._observed}

    @_read_once
    def _observed(self) -> set[tuple[dg.AssetKey, str | None, str | None]]:
        """The asset, the reason and the sync id of each observation in the ancestry."""
        kind = dg.DagsterEventType.ASSET_OBSERVATION
        return {
            (seen.asset_key, seen.description, own_id_of(seen.metadata))
            for run in self.step.ancestry
            for entry in self.step.instance.get_records_for_run(run.run_id, of_type=kind).records
            if (seen := entry.asset_observation) is not None
        }

    # --- what is done

    def has_materialized(self, key: dg.AssetKey, own_id: str) -> bool:
        """Whether an earlier attempt of this Dagster run has reported the sync or run."""
        return any(
            each.key == key
            and each.run_id == self.step.run.run_id
            and own_id_of(each.metadata) == own_id
            for each in (self._materialized if self._last_records else ())
        )

    def materialized(self, request: Request, key: dg.AssetKey) -> Materialized | None:
        """Return what this run, or one whose work it continues, reported about the connection.

        None if there is nothing, or if the tables that the sync read were rebuilt since. A run
        counts only if its parameters are those that are requested now.
        """
        record = self.last_record(request)
        if record is None:
            return None
        for each in reversed(self._materialized):
            if not request.can_be_listed and own_id_of(each.metadata) != record.sync_id:
                continue
            if (
                each.key == key
                and each.run_id in self.step.continued_run_ids
                and target_id_of(each.metadata) == request.target_id
            ):
                is_earlier = each.run_id != self.step.run.run_id
                return None if is_earlier and self.was_rebuilt(key, each) else each
        return None

    def was_rebuilt(self, key: dg.AssetKey | None, since: SyncRecord | Materialized) -> bool:
        """Whether a later attempt has materialized an asset upstream of the step.

        Only a run that repeats another one, upstream assets included, does that.
        """
        if len(self.step.ancestry) == 1:
            return False
        upstream = self.step.upstream_of(key)
        return any(each.key in upstream for each in self._materialized_after(since))

    def _materialized_after(self, since: SyncRecord | Materialized) -> Iterable[Materialized]:
        return (each for each in self._materialized if self._is_after(each, since))

    def _is_after(self, each: Materialized, since: SyncRecord | Materialized) -> bool:
        return self._place(each) > self._place(since)

    def _place(self, event: SyncRecord | Materialized) -> tuple[int, int]:
        """Return the place of an event in the order of all attempts; no clock is compared."""
        return self._run_places[event.run_id], event.position

    @cached_property
    def _run_places(self) -> dict[str, int]:
        return {run.run_id: place for place, run in enumerate(self.step.ancestry)}


def _time_if_old(record: SyncRecord) -> datetime | None:
    """Return when an old record was written. None for a recent one, where clocks may differ."""
    if time.time() - record.timestamp <= ADOPTION_SECONDS:
        return None
    return datetime.fromtimestamp(record.timestamp, timezone.utc)
