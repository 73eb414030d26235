"""The request for a sync, and the report of a successful one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.api.validation import checked_id, checked_sync_type
from dagster_rudderstack.settings import DEFAULT_SYNC_TYPE, SyncType

__all__ = ["Origin", "SyncReport", "SyncRequest"]

Origin = Literal["started", "adopted", "attached", "resumed"]


@dataclass(frozen=True)
class SyncRequest:
    """A request for one sync of a connection.

    Attributes:
        connection_id: The connection to sync.
        sync_type: `incremental` or `full`.
        connection_name: A name that people know the connection by. None if it has none.

    Raises:
        InvalidSettingError: If the id or the sync type is invalid.
    """

    connection_id: str
    sync_type: SyncType = DEFAULT_SYNC_TYPE
    connection_name: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "connection_id", checked_id(self.connection_id, "connection_id"))
        checked_sync_type(self.sync_type)

    @property
    def connection(self) -> str:
        """The connection in messages: its name where it is known, and its id."""
        return connection_text(self.connection_id, self.connection_name)


def connection_text(connection_id: str, name: str | None = None) -> str:
    """Return a connection as messages call it: `CRM contacts (2hke…)`, or the id alone."""
    return f"{name} ({connection_id})" if name else connection_id


class SyncReport(Sync):
    """A sync that succeeded, and how this attempt came to wait for it.

    Fields of RudderStack's answer that are none of a report are in `model_extra`.

    Attributes:
        connection_id: The connection.
        sync_type: The sync type that was asked for. None if another client started the sync, since
            RudderStack does not report the type.
        origin: `started` by this attempt; `adopted`: started by this attempt, though the answer to
            the start was lost; `attached`: started by another client; `resumed`: started or
            attached by an earlier attempt of this run.
        failed_rows_sql: SQL that lists the rows that the destination rejected, for the warehouse
            of the source. None if it rejected none, or if they cannot be listed.
        failed_rows_note: What to do with that SQL, or why the rows cannot be listed. None if the
            destination rejected none.
    """

    connection_id: str
    sync_type: SyncType | None = None
    origin: Origin = "started"
    failed_rows_sql: str | None = None
    failed_rows_note: str | None = None

    @classmethod
    def of(
        cls, sync: Sync, connection_id: str, sync_type: SyncType | None, origin: Origin
    ) -> SyncReport:
        """Return the report of a sync, with its unknown fields that have no name of a report."""
        facts = {name: getattr(sync, name) for name in Sync.model_fields}
        unknown = cls.unknown_in(sync.model_extra or {})
        return cls(
            **unknown, **facts, connection_id=connection_id, sync_type=sync_type, origin=origin
        )
