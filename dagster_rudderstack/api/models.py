"""The objects of the API as models. The API uses camelCase names, and one rule translates them.

The models accept more than the reference allows. Unknown fields are kept apart, see `ApiModel`, and
an unknown status stays a string. A metric that is missing, null or malformed is None, which means
unknown and not 0. A timestamp is an aware UTC datetime or None. A broken optional field never fails
a good sync.
"""

from __future__ import annotations

from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from dagster_rudderstack.api.fields import (
    ApiModel,
    Flag,
    Id,
    Objects,
    OrNone,
    RequiredText,
    Rows,
    Status,
    SyncId,
    Text,
    Timestamp,
    WholeNumber,
    is_usable_id,
)

__all__ = [
    "Connection",
    "Destination",
    "Event",
    "Mapping",
    "Paging",
    "Schedule",
    "Source",
    "Sync",
    "SyncLogsConfig",
    "SyncMetrics",
    "SyncSettings",
    "SyncState",
    "Workspace",
    "sync_state",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
"""What some services write for an unknown time."""


class SyncMetrics(ApiModel):
    """Row counts of a sync: so far while it runs, final once it is over. None if unknown.

    In JSON, all but the total are objects with one field, `{"total": 3}`.

    Attributes:
        succeeded: Rows that the destination accepted.
        failed: Rows that the destination rejected.
        changed: Rows that are new or changed since the last sync.
        total: Rows of the source.
    """

    succeeded: Rows = None
    failed: Rows = None
    changed: Rows = None
    total: WholeNumber = None


class SyncState(str, Enum):
    """What a status means for a caller that waits for the sync."""

    RUNNING = "running"
    """The sync is running."""
    SUCCEEDED = "succeeded"
    """The sync is over, and its rows are delivered, apart from those that were rejected."""
    FAILED = "failed"
    """The sync is over and has failed."""
    ABORTED = "aborted"
    """The sync is over because someone stopped it."""
    UNKNOWN_RUNNING = "unknown_running"
    """An unknown status without an end time. The sync is treated as running."""
    UNKNOWN_OVER = "unknown_over"
    """An unknown status with an end time. The sync is over, but not known to have succeeded."""

    @property
    def is_over(self) -> bool:
        """Whether the sync has ended."""
        return self not in (SyncState.RUNNING, SyncState.UNKNOWN_RUNNING)


_DOCUMENTED = {
    "running": SyncState.RUNNING,
    "succeeded": SyncState.SUCCEEDED,
    "failed": SyncState.FAILED,
}
# RudderStack's dashboard shows "Aborted". The other spellings are a precaution.
_ABORTED = frozenset({"aborted", "canceled", "cancelled", "stopped"})


def sync_state(status: str, *, finished: bool) -> SyncState:
    """Return whether a sync is over, and how it ended.

    Only `running`, `succeeded` and `failed` are documented. Any other status is never a success.
    The sync is then over if it has an end time.
    """
    word = status.strip().lower()
    if word in _DOCUMENTED:
        return _DOCUMENTED[word]
    if not finished:
        return SyncState.UNKNOWN_RUNNING
    return SyncState.ABORTED if word in _ABORTED else SyncState.UNKNOWN_OVER


class Sync(ApiModel):
    """One execution of a connection.

    Attributes:
        id: The sync.
        status: RudderStack's status: `running`, `succeeded`, `failed`, or another text.
        started_at: When it started, in UTC. None if unknown.
        finished_at: When it ended, in UTC. None if it runs, or if that is unknown.
        error: RudderStack's reason for a failure. None if there is none.
        metrics: Its rows, which the properties below also return. None if unknown.
    """

    id: SyncId
    status: Status
    started_at: Timestamp = None
    finished_at: Timestamp = None
    error: Text = None
    metrics: OrNone[SyncMetrics] = None

    @field_validator("finished_at")
    @classmethod
    def _end_or_none(cls, value: datetime | None, info: ValidationInfo) -> datetime | None:
        """Drop an end time that means nothing, since it decides what an unknown status means.

        RudderStack may send any value while a sync runs.
        """
        if value is None or value == _EPOCH:
            return None
        state = cls.state_of(str(info.data.get("status")), finished=True)
        if state is SyncState.RUNNING:
            return None
        started = info.data.get("started_at")
        is_guess = state in (SyncState.ABORTED, SyncState.UNKNOWN_OVER)
        if is_guess and started is not None and value < started:
            return None
        # A status that says "over" needs no proof. RudderStack's clock may be ahead of ours.
        is_future = value > datetime.now(timezone.utc)
        return None if state is SyncState.UNKNOWN_OVER and is_future else value

    @classmethod
    def state_of(cls, status: str, *, finished: bool) -> SyncState:
        """Return what a status means, for a sync with or without an end time."""
        return sync_state(status, finished=finished)

    @property
    def has_usable_id(self) -> bool:
        """Whether the sync can be asked for by its id. If not, the id is a text for the log."""
        return is_usable_id(self.id)

    @property
    def state(self) -> SyncState:
        """What the status means."""
        return self.state_of(self.status, finished=self.finished_at is not None)

    @property
    def is_over(self) -> bool:
        """Whether the sync has ended."""
        return self.state.is_over

    @property
    def rows_total(self) -> int | None:
        """Rows of the source. None if unknown."""
        return self.metrics.total if self.metrics else None

    @property
    def rows_changed(self) -> int | None:
        """Rows that are new or changed since the last sync. None if unknown."""
        return self.metrics.changed if self.metrics else None

    @property
    def rows_succeeded(self) -> int | None:
        """Rows that the destination accepted. None if unknown."""
        return self.metrics.succeeded if self.metrics else None

    @property
    def rows_failed(self) -> int | None:
        """Rows that the destination rejected. None if unknown."""
        return self.metrics.failed if self.metrics else None

    @property
    def success_ratio(self) -> float | None:
        """Accepted share of the sent rows, 0.0 to 1.0. None if unknown or if none was sent."""
        if self.rows_succeeded is None or self.rows_failed is None:
            return None
        sent = self.rows_succeeded + self.rows_failed
        return self.rows_succeeded / sent if sent else None

    @property
    def duration_seconds(self) -> float | None:
        """Seconds from start to end on RudderStack's clock. None if either is unknown."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, (self.finished_at - self.started_at).total_seconds())


class Mapping(ApiModel):
    """A column of the warehouse that fills a field of the destination."""

    source_column: RequiredText = Field(alias="from")
    destination_field: RequiredText = Field(alias="to")


class Schedule(ApiModel):
    """When RudderStack itself starts syncs: `basic`, `cron` or `manual` (never)."""

    type: RequiredText
    every_minutes: WholeNumber = None
    cron_expression: Text = None

    @property
    def is_manual(self) -> bool:
        """Whether RudderStack itself never starts a sync."""
        return self.type.lower() == "manual"


class Event(ApiModel):
    """The event that a connection sends for each row.

    Attributes:
        type: `identify` or `track`.
        name: The name of all track events. None if a column has it.
        name_column: The column of the source with the name of a track event. None if all events
            have the same name.
    """

    type: Text = None
    name: Text = None
    name_column: Text = None


class SyncLogsConfig(ApiModel):
    """Whether RudderStack writes sync logs into the warehouse, and what it keeps of them.

    Attributes:
        enabled: Whether it writes them.
        log_retention_in_days: How many days it keeps the rows of the log. None if unknown.
        snapshots_to_retain: How many snapshot tables of the connection it keeps. None if unknown.
    """

    enabled: Flag = True
    log_retention_in_days: WholeNumber = None
    snapshots_to_retain: WholeNumber = None


class SyncSettings(ApiModel):
    """The settings of a connection's syncs, of which the library uses those of the sync logs."""

    sync_logs_config: OrNone[SyncLogsConfig] = None


class Connection(ApiModel):
    """The link from one source to one destination.

    `destinationConfig` is not read. It may hold credentials, and the library does not need it.
    What RudderStack does not report is None or empty.

    Attributes:
        id: The connection.
        source_id: Its source.
        destination_id: Its destination.
        enabled: Whether it can be synced.
        external_id: An id that another system has given it.
        schedule: When RudderStack itself starts its syncs.
        sync_behaviour: `upsert`, `mirror` or `full`.
        sync_settings: The settings of its syncs, of which `sync_logs` has those of the sync logs.
        identifiers: Columns that select the record in the destination.
        mappings: Columns that fill the other fields.
        constants: Fields that have the same value in each record, as `key` and `value`.
        event: The event that is sent for each row, if the destination takes events.
        object: The object of the destination, such as `Contact`.
        cursor_column: The column from which RudderStack knows which rows are new.
        created_at: When it was created, in UTC.
        updated_at: When it was last changed, in UTC.
    """

    id: Id
    source_id: Id
    destination_id: Id
    enabled: Flag = True
    external_id: Text = None
    schedule: OrNone[Schedule] = None
    sync_behaviour: Text = None
    sync_settings: OrNone[SyncSettings] = None
    identifiers: Objects[Mapping] = ()
    mappings: Objects[Mapping] = ()
    constants: Objects[dict[str, Any]] = ()
    event: OrNone[Event] = None
    object: Text = None
    cursor_column: Text = None
    created_at: Timestamp = None
    updated_at: Timestamp = None

    @property
    def sync_logs(self) -> SyncLogsConfig:
        """The settings of the sync logs. By default, RudderStack writes them."""
        found = self.sync_settings.sync_logs_config if self.sync_settings else None
        return found or SyncLogsConfig()


class Source(ApiModel):
    """A warehouse table, a SQL model or an audience that RudderStack reads."""

    id: Id
    name: RequiredText
    source_type: RequiredText
    enabled: Flag = True
    source_definition_name: Text = None
    config: Annotated[
        dict[str, Any], BeforeValidator(lambda v: v if isinstance(v, dict) else {})
    ] = Field(default_factory=dict, repr=False)
    account_id: Text = None
    workspace_id: Text = None
    external_id: Text = None
    created_at: Timestamp = None
    updated_at: Timestamp = None


class Destination(ApiModel):
    """A tool that RudderStack writes to.

    `config` and `transformation` are not read. They may hold credentials.
    """

    id: Id
    name: RequiredText
    type: RequiredText
    enabled: Flag = True
    workspace_id: Text = None
    created_at: Timestamp = None
    updated_at: Timestamp = None


class Workspace(ApiModel):
    """The workspace that an access token belongs to."""

    id: Id
    name: RequiredText
    environment: Text = None
    status: Text = None
    region: Text = None
    data_plane_url: Text = Field(default=None, alias="dataPlaneURL")


class Paging(ApiModel):
    """What a page says about the list. `next` is None on the last page; its text means nothing."""

    total: WholeNumber = None
    next: Text = None
