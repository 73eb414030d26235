"""Records: what a later attempt must know about a sync, kept in the log of the run.

Each record is an engine event: one line that people read on the run's page, with the ids and a link
as metadata, and JSON that only this module reads and writes. Dagster's own Pipes clients do the
same (`dagster/_core/pipes/reattach.py`). The records of a run are read with one query.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from enum import Enum

import dagster as dg
from pydantic import ConfigDict, TypeAdapter

from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.dagster_internals import engine_event_data
from dagster_rudderstack.metadata import MetadataKey, id_metadata, request_link
from dagster_rudderstack.step.dagster_step import DagsterStep, RunState
from dagster_rudderstack.sync.decisions import ADOPTION_SECONDS
from dagster_rudderstack.sync.recorder import Successor, waiting_text
from dagster_rudderstack.sync.request import Origin, Request
from dagster_rudderstack.text import capitalized

__all__ = [
    "RUNS_READ",
    "UNFINISHED",
    "RecordKind",
    "RunRecorder",
    "SyncRecord",
    "active_run_ids",
    "read_records",
    "started_among",
]

RUNS_READ = 100
"""In how many other runs the sync of a lost start is looked for, the newest first."""

VERSION = 1
"""Grows when the JSON changes so that an older release could not read it."""

UNFINISHED = [
    status
    for status in dg.DagsterRunStatus
    if status.name not in ("SUCCESS", "FAILURE", "CANCELED")
]


class RecordKind(str, Enum):
    """What a record says."""

    STARTING = "starting"
    """A start is about to be sent."""
    ACCEPTED = "accepted"
    """RudderStack accepted the start of a run, but its answer does not name the run."""
    WAITING = "waiting"
    """The step waits for a sync, or has left it to the polling sensor."""
    NOTHING_STARTED = "nothing_started"
    """The announced start had no effect."""
    STOP_REQUESTED = "stop_requested"
    """RudderStack was asked to stop the sync."""
    RETURNED = "returned"
    """The step's own code has the result, so that its next sync of the connection is a new one."""


@dataclass(frozen=True)
class SyncRecord:
    """One record of a sync, or of a run of a source.

    Attributes:
        kind: What it says.
        connection_id: The connection, or the source of a run.
        step: The step that wrote it.
        sync_id: The sync, or the run. None if there was none yet.
        sync_type: The sync type that was asked for, or the parameters of a run. None if the record
            does not say.
        partition: The partition of the step. None if it has none.
        owned: Whether our run started the sync.
        known_sync_ids: The syncs that existed before a start.
        deadline: When the timeout of a deferred sync passes, in epoch seconds. None if the step
            waits for the sync.
        run_id: The run whose log holds it.
        timestamp: When it was written, in epoch seconds.
        position: Its place in the log of its run.
    """

    kind: RecordKind
    connection_id: str
    step: str
    sync_id: str | None = None
    sync_type: str | None = None
    partition: str | None = None
    owned: bool = False
    known_sync_ids: tuple[str, ...] = ()
    deadline: float | None = None
    run_id: str = ""
    timestamp: float = 0.0
    position: int = 0

    # Without an annotation, since pydantic 2.7 on Python 3.10 cannot read that of a class variable.
    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    @property
    def is_deferred(self) -> bool:
        """Whether the polling sensor, and not the step, reports the sync."""
        return self.deadline is not None

    def to_data(self) -> dict[str, object]:
        """Return the record as the log holds it: without what the log knows, and what is empty."""
        fields = {
            "version": VERSION,
            "kind": self.kind.value,
            "connection_id": self.connection_id,
            "step": self.step,
            "sync_id": self.sync_id,
            "sync_type": self.sync_type,
            "partition": self.partition,
            "owned": self.owned,
            "known_sync_ids": list(self.known_sync_ids),
            "deadline": self.deadline,
        }
        return {name: value for name, value in fields.items() if value not in (None, [])}

    @classmethod
    def from_data(cls, data: object) -> SyncRecord | None:
        """Return a record as the log holds it. None if it is damaged or of a newer version."""
        if not isinstance(data, dict) or data.get("version") != VERSION:
            return None
        fields = {name: value for name, value in data.items() if name != "version"}
        try:
            # Only for JSON do the strict types accept a list as a tuple and a text as an enum.
            record = _RECORD.validate_json(json.dumps(fields))
            checked_id(record.connection_id, "connection_id")
            if record.sync_id is not None:
                checked_id(record.sync_id, "sync_id")
        except ValueError:
            return None
        return record


_RECORD = TypeAdapter(SyncRecord)


def active_run_ids(instance: dg.DagsterInstance, since: datetime | None, limit: int) -> list[str]:
    """Return the runs that may have written a record after a time: unfinished and recent ones.

    Args:
        instance: Dagster's instance.
        since: The time. None returns the unfinished runs only.
        limit: How many runs of each kind, the newest first.
    """
    filters = [dg.RunsFilter(statuses=UNFINISHED)]
    if since is not None:
        filters.append(dg.RunsFilter(updated_after=since))
    records = [record for each in filters for record in instance.get_run_records(each, limit=limit)]
    return list(dict.fromkeys(record.dagster_run.run_id for record in records))


def read_records(instance: dg.DagsterInstance, run_id: str) -> list[SyncRecord]:
    """Return the records of a run, in the order in which they were written."""
    found = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    return list(_records_in(found.records))


def started_among(records: Iterable[SyncRecord], target_id: str) -> frozenset[str]:
    """Return what the steps that wrote some records have started for a connection or a source."""
    return frozenset(
        record.sync_id
        for record in records
        if record.connection_id == target_id and record.owned and record.sync_id
    )


def _records_in(entries: Iterable[dg.EventLogRecord]) -> Iterator[SyncRecord]:
    for entry in entries:
        event = entry.event_log_entry.dagster_event
        value = event.engine_event_data.metadata.get(MetadataKey.RECORD) if event else None
        data = value.value if isinstance(value, dg.JsonMetadataValue) else None
        record = SyncRecord.from_data(data)
        if record is not None:
            yield replace(
                record,
                run_id=entry.run_id,
                timestamp=entry.timestamp,
                position=entry.storage_id,
            )


@dataclass(frozen=True)
class RunRecorder:
    """Writes the records of one sync, or of one run of a source, into the log of the Dagster run.

    Attributes:
        step: The step.
        request: What is synced.
        deadline: When the timeout of a deferred sync passes, in epoch seconds. None if the step
            waits for the sync.
        link_template: The address of its page in RudderStack's dashboard. None for no link.
    """

    step: DagsterStep
    request: Request
    deadline: float | None = None
    link_template: str | None = None
    is_durable: bool = field(default=True, init=False)

    def is_sync_wanted(self) -> bool:
        """Whether the run goes on. Its step may outlive it, and a retry may run already."""
        return self.step.recent_state() is RunState.ACTIVE

    def successor(self) -> Successor | None:
        """Return what a newer execution of the step has recorded. None if this is the newest."""
        if self.step.is_in_memory:
            return None
        newest = max(self.step.executions(), default=0)
        if newest <= self.step.began_at:
            return None
        for record in reversed(read_records(self.step.instance, self.step.run.run_id)):
            if record.position > newest and self._is_about_the_same(record):
                is_waiting = record.kind is RecordKind.WAITING
                return Successor(record.sync_id if is_waiting else None, record.owned)
        return Successor()

    def _is_about_the_same(self, record: SyncRecord) -> bool:
        theirs = (record.step, record.partition, record.connection_id, record.sync_type)
        ours = (self.step.name, self.step.partition, self.request.target_id)
        return theirs == (*ours, self.request.variant)

    def started_by_others(self) -> frozenset[str]:
        """Return what other steps, partitions and recent Dagster runs have started for it."""
        instance, own_run = self.step.instance, self.step.run.run_id
        since = datetime.fromtimestamp(time.time() - ADOPTION_SECONDS, timezone.utc)
        run_ids = dict.fromkeys([own_run, *active_run_ids(instance, since, RUNS_READ)])
        others = (
            record
            for run_id in run_ids
            for record in read_records(instance, run_id)
            if not self._is_about_the_same(record)
        )
        return started_among(others, self.request.target_id)

    def starting(self, known_sync_ids: Sequence[str]) -> None:
        """Record that a start is about to be sent, and which syncs existed before."""
        self._write(
            f"Starting a {self.request.noun} of {self.request.target}.",
            RecordKind.STARTING,
            known_sync_ids=tuple(known_sync_ids),
        )

    def accepted(self, known_sync_ids: Sequence[str]) -> None:
        """Record that RudderStack accepted the start, though its answer does not name the run."""
        self._write(
            f"RudderStack accepted the start of {self.request.target}, but its answer does not "
            f"name the {self.request.noun}.",
            RecordKind.ACCEPTED,
            known_sync_ids=tuple(known_sync_ids),
        )

    def waiting(self, sync_id: str, origin: Origin, *, owned: bool) -> None:
        """Record the sync that the step waits for, and whether our run started it."""
        text = waiting_text(self.request, sync_id, origin, owned=owned)
        self._write(text, RecordKind.WAITING, sync_id=sync_id, owned=owned)

    def nothing_started(self) -> None:
        """Record that the announced start had no effect."""
        self._write(
            f"No {self.request.noun} of {self.request.target} was started.",
            RecordKind.NOTHING_STARTED,
        )

    def stop_requested(self, sync_id: str) -> None:
        """Record that RudderStack was asked to stop the sync: a later attempt starts a new one."""
        self._write(
            f"Asked RudderStack to stop {self.request.name_of(sync_id)}.",
            RecordKind.STOP_REQUESTED,
            sync_id=sync_id,
        )

    def returned(self, sync_id: str) -> None:
        """Record that the step's own code has the result."""
        self._write(
            f"{capitalized(self.request.name_of(sync_id))} succeeded.",
            RecordKind.RETURNED,
            sync_id=sync_id,
        )

    def _write(
        self,
        text: str,
        kind: RecordKind,
        *,
        sync_id: str | None = None,
        owned: bool = False,
        known_sync_ids: tuple[str, ...] = (),
    ) -> None:
        record = SyncRecord(
            kind,
            self.request.target_id,
            self.step.name,
            sync_id=sync_id,
            sync_type=self.request.variant,
            partition=self.step.partition,
            owned=owned,
            known_sync_ids=known_sync_ids,
            deadline=self.deadline,
        )
        self.step.instance.report_engine_event(
            text,
            dagster_run=self.step.run,
            step_key=self.step.key,
            engine_event_data=engine_event_data(self._metadata(record)),
        )

    def _metadata(self, record: SyncRecord) -> dict[str, dg.MetadataValue]:
        link = request_link(self.link_template, self.request, record.sync_id)
        return {
            **id_metadata(self.request, record.sync_id),
            **({MetadataKey.LINK: link} if link is not None else {}),
            MetadataKey.RECORD: dg.MetadataValue.json(record.to_data()),
        }
