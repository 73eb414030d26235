"""What a sync or run leaves for people and later attempts: its log and its records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dagster_rudderstack.sync.request import Origin, Request

__all__ = ["Log", "LogRecorder", "NamedLog", "Recorder", "Successor", "waiting_text"]


class Log(Protocol):
    """The part of a logger that is used here."""

    def info(self, msg: object, /) -> None:
        """Log what a person may want to know."""

    def warning(self, msg: object, /) -> None:
        """Log what a person should look at."""


@dataclass(frozen=True)
class NamedLog:
    """A log whose lines begin with the name of an asset."""

    log: Log
    name: str

    def info(self, msg: object, /) -> None:
        """Log a line."""
        self.log.info(f"{self.name}: {msg}")

    def warning(self, msg: object, /) -> None:
        """Log a warning."""
        self.log.warning(f"{self.name}: {msg}")


class Recorder(Protocol):
    """Records what a later attempt must know, in case this one is killed.

    A recorder writes one line that people can read for each record.
    """

    @property
    def is_durable(self) -> bool:
        """Whether a later attempt can read the records."""
        ...

    def is_sync_wanted(self) -> bool:
        """Whether a sync may still be started. False once the run has ended or was canceled."""
        ...

    def successor(self) -> Successor | None:
        """Return what a newer execution of the same step has recorded.

        A queue can deliver a step again while its first execution goes on. The newest one starts
        the sync. None if this execution is the newest.
        """

    def started_by_others(self) -> frozenset[str]:
        """Return what other steps, partitions or Dagster runs have started for the same target."""
        ...

    def starting(self, known_sync_ids: Sequence[str]) -> None:
        """Record that a start is about to be sent, and which syncs existed before."""

    def accepted(self, known_sync_ids: Sequence[str]) -> None:
        """Record that RudderStack accepted the start, though its answer does not name the run.

        No later attempt sends it again.
        """

    def waiting(self, sync_id: str, origin: Origin, *, owned: bool) -> None:
        """Record the sync that this attempt waits for, and whether our run started it."""

    def nothing_started(self) -> None:
        """Record that the announced start had no effect."""

    def stop_requested(self, sync_id: str) -> None:
        """Record that RudderStack was asked to stop the sync: a later attempt starts a new one."""


@dataclass(frozen=True)
class Successor:
    """What a newer execution of the same step has recorded about the connection.

    Attributes:
        sync_id: The sync that it waits for. None if it waits for none yet.
        owned: Whether our run started that sync.
    """

    sync_id: str | None = None
    owned: bool = False


@dataclass(frozen=True)
class LogRecorder:
    """Logs the records and keeps none, where no later attempt resumes: outside Dagster."""

    request: Request
    log: Log
    is_durable = False

    def is_sync_wanted(self) -> bool:
        """Return True: there is no run that could end before its sync."""
        return True

    def successor(self) -> None:
        """Return None: nothing executes this code a second time."""

    def started_by_others(self) -> frozenset[str]:
        """Return nothing: what others start is not recorded."""
        return frozenset()

    def starting(self, known_sync_ids: Sequence[str]) -> None:
        """Do nothing: the next line says whether the start succeeded."""

    def accepted(self, known_sync_ids: Sequence[str]) -> None:
        """Do nothing: the warning that follows says so."""

    def waiting(self, sync_id: str, origin: Origin, *, owned: bool) -> None:
        """Log the sync."""
        self.log.info(waiting_text(self.request, sync_id, origin, owned=owned))

    def nothing_started(self) -> None:
        """Do nothing: the error that follows says so."""

    def stop_requested(self, sync_id: str) -> None:
        """Do nothing: the caller reports the stop."""


def waiting_text(request: Request, sync_id: str, origin: Origin, *, owned: bool) -> str:
    """Return the line that says which sync an attempt waits for, and why that one."""
    # RudderStack does not report the type of a sync, so that of another client's is unknown.
    kind = request.variant_text if owned else ""
    sync = request.name_of(sync_id)
    return {
        "started": f"Started {sync}{kind}.",
        "adopted": f"Adopted {sync}{kind}: it began after a start whose answer was lost.",
        "attached": f"Attached to {sync}, which another client started.",
        "resumed": f"Resumed {sync}{kind}, which a previous attempt waited for.",
    }[origin]
