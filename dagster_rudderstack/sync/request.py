"""The request for a sync or a run, and the report of a successful one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.api.source_runs import SourceRun
from dagster_rudderstack.api.validation import checked_id, checked_sync_type
from dagster_rudderstack.errors import SyncError
from dagster_rudderstack.settings import DEFAULT_SYNC_TYPE, SyncType

__all__ = [
    "Origin",
    "Report",
    "Request",
    "RunRequest",
    "SourceRunReport",
    "SyncReport",
    "SyncRequest",
]

_E = TypeVar("_E", bound=SyncError)

Origin = Literal["started", "adopted", "attached", "resumed"]


class Request(ABC):
    """What an attempt is to make: a sync of a connection, or a run of a source."""

    noun: ClassVar[str]
    """What is made, in messages: `sync` or `run`."""
    target_noun: ClassVar[str]
    """What it is made for, in messages: `connection` or `source`."""
    can_be_stopped: ClassVar[bool]
    """Whether RudderStack offers a way to stop it."""
    can_be_listed: ClassVar[bool]
    """Whether RudderStack lists what it has started."""
    remedy: ClassVar[str]
    """What to do about a failure, as a sentence that `again` ends."""
    failed_note: ClassVar[str]
    """What to add where a message says that it failed."""

    @property
    @abstractmethod
    def target_id(self) -> str:
        """The id of the connection or the source."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The connection or the source for people: its name where it is known, and its id."""

    @property
    @abstractmethod
    def variant(self) -> str:
        """What was asked for: the sync type, or the parameters of a run.

        An attempt resumes only what an earlier one made with the same variant.
        """

    @property
    def target(self) -> str:
        """The connection or the source in messages."""
        return f"{self.target_noun} {self.label}"

    @property
    def variant_text(self) -> str:
        """The variant, as a line about a start ends with it. Empty if there is nothing to say."""
        return f" ({self.variant})" if self.variant else ""

    def name_of(self, sync_id: str) -> str:
        """Return the sync or run in messages."""
        return f"{self.noun} {sync_id} of {self.target}"

    def error(self, kind: type[_E], message: str, sync: Sync | None = None) -> _E:
        """Return an error about what was asked for. `sync` is its last state seen."""
        return kind(message, connection_id=self.target_id, sync=sync)


@dataclass(frozen=True)
class SyncRequest(Request):
    """A request for one sync of a connection.

    Attributes:
        connection_id: The connection to sync.
        sync_type: `incremental` or `full`.
        connection_name: A name that people know the connection by. None if it has none.

    Raises:
        InvalidSettingError: If the id or the sync type is invalid.
    """

    noun = "sync"
    target_noun = "connection"
    can_be_stopped = True
    can_be_listed = True
    remedy = "Fix the source or the destination, then sync"
    # What the dashboard shows as failed has rejected rows, and is a success in the API.
    failed_note = " (the dashboard shows it as aborted)"

    connection_id: str
    sync_type: SyncType = DEFAULT_SYNC_TYPE
    connection_name: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "connection_id", checked_id(self.connection_id, "connection_id"))
        checked_sync_type(self.sync_type)

    @property
    def target_id(self) -> str:
        """The id of the connection."""
        return self.connection_id

    @property
    def label(self) -> str:
        """The connection for people."""
        return connection_text(self.connection_id, self.connection_name)

    @property
    def variant(self) -> str:
        """The sync type."""
        return self.sync_type


@dataclass(frozen=True)
class RunRequest(Request):
    """A request for one run of a Profiles project or of an ETL source.

    Attributes:
        source_id: The project or source to run.
        parameters: The parameters of a Profiles run, as the API takes them.
        source_name: A name that people know the source by. None if it has none.

    Raises:
        InvalidSettingError: If the id is invalid.
    """

    noun = "run"
    target_noun = "source"
    can_be_stopped = False
    can_be_listed = False
    remedy = "Fix the project or the source, then run it"
    failed_note = ""

    source_id: str
    parameters: tuple[str, ...] = ()
    source_name: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "source_id", checked_id(self.source_id, "source_id"))

    @property
    def target_id(self) -> str:
        """The id of the source."""
        return self.source_id

    @property
    def label(self) -> str:
        """The source for people."""
        return connection_text(self.source_id, self.source_name)

    @property
    def variant(self) -> str:
        """The parameters."""
        return " ".join(self.parameters)

    def error(self, kind: type[_E], message: str, sync: Sync | None = None) -> _E:
        """Return an error about the run."""
        return kind(message, connection_id=self.source_id, source_id=self.source_id, sync=sync)


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


class SourceRunReport(SourceRun):
    """A run that succeeded, and how this attempt came to wait for it.

    Fields of RudderStack's answer that are none of a report are in `model_extra`.

    Attributes:
        source_id: The project or source.
        parameters: The parameters that were asked for. Empty if it had none.
        origin: `started` by this attempt; `adopted`: started by this attempt, though the answer to
            the start was lost; `resumed`: started by an earlier attempt of this Dagster run.
    """

    source_id: str
    parameters: tuple[str, ...] = ()
    origin: Origin = "started"

    @classmethod
    def of(cls, run: SourceRun, request: RunRequest, origin: Origin) -> SourceRunReport:
        """Return the report of a run, with its unknown fields that have no name of a report."""
        facts = {name: getattr(run, name) for name in SourceRun.model_fields}
        unknown = cls.unknown_in(run.model_extra or {})
        return cls(
            **unknown,
            **facts,
            source_id=request.source_id,
            parameters=request.parameters,
            origin=origin,
        )


Report = SyncReport | SourceRunReport
