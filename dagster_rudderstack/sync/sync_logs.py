"""Finds out where the rejected rows of connections are listed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from dagster_rudderstack.api.models import Connection, Source, Sync
from dagster_rudderstack.api.throttle import NoTurnError, waiting_until
from dagster_rudderstack.errors import TransportError
from dagster_rudderstack.sync.failed_rows import FailedRows, SyncLog, failed_rows
from dagster_rudderstack.sync.recorder import Log

__all__ = ["PATIENCE_SECONDS", "SyncLogs", "has_rejected_rows"]

PATIENCE_SECONDS = 5
"""How long a request may wait for its turn, and then for its answer. The sync is over, and its
result waits meanwhile."""

BUDGET_SECONDS = 30.0
"""How long one step may ask in all. A thousand syncs with rejected rows must not take an hour."""

OUTAGE_SECONDS = 60.0
"""How long nothing is asked after a request without an answer. A step may have a thousand syncs."""


def has_rejected_rows(sync: Sync) -> bool:
    """Whether a sync is over, so that its log is complete, and the destination rejected rows."""
    return sync.is_over and bool(sync.rows_failed)


class SyncLogApi(Protocol):
    """The part of the API that says where a sync log is. `RudderStackClient` has it."""

    def get_connection(self, connection_id: str) -> Connection:
        """Return the connection."""
        ...

    def get_source(self, source_id: str) -> Source:
        """Return the source."""
        ...


class SyncLogs:
    """The sync logs of connections. Asks RudderStack at most once for each. Threads may share it.

    Args:
        api: Makes the client. It is called once, for the first request.
        log: Gets a line if RudderStack does not say where a log is.
        found: What is known already, by connection id. It keeps what is found.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        api: Callable[[], SyncLogApi],
        log: Log,
        found: dict[str, SyncLog],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_api = api
        self._api: SyncLogApi | None = None
        self._lock = threading.Lock()
        self._log = log
        self._monotonic = monotonic
        self._found = found
        self._quiet_until = float("-inf")
        self._spent_seconds = 0.0

    def failed_rows(
        self, connection_id: str, sync: Sync | None, known: SyncLog | None = None
    ) -> FailedRows | None:
        """Return how to list the rejected rows of a sync. Never raises.

        Returns None if no row was rejected, or if the sync is not over.

        Args:
            connection_id: The connection.
            sync: The sync. None if none was seen.
            known: The log as discovery knows it. None asks RudderStack.
        """
        if sync is None or not has_rejected_rows(sync):
            return None
        return failed_rows(connection_id, sync.id, known or self.find(connection_id))

    def find(self, connection_id: str) -> SyncLog:
        """Return the log of a connection. What RudderStack does not say is unknown."""
        if connection_id not in self._found:
            self._found[connection_id] = self._ask(connection_id)
        return self._found[connection_id]

    def _ask(self, connection_id: str) -> SyncLog:
        found = SyncLog()
        began = self._monotonic()
        if began < self._quiet_until or self._spent_seconds > BUDGET_SECONDS:
            return found
        try:
            with waiting_until(time.monotonic() + PATIENCE_SECONDS):
                api = self._client()
                connection = api.get_connection(connection_id)
                found = SyncLog.of(connection, None)
                if found.is_enabled:
                    found = SyncLog.of(connection, api.get_source(connection.source_id))
        except Exception as error:  # noqa: BLE001 - a sync that succeeded must not fail now
            if isinstance(error, (TransportError, NoTurnError)):
                self._quiet_until = self._monotonic() + OUTAGE_SECONDS
            self._log.info(
                f"The SQL that lists the rejected rows of connection {connection_id} is a general "
                f"one, since RudderStack did not say where they are. {error}"
            )
        self._spent_seconds += self._monotonic() - began
        return found

    def _client(self) -> SyncLogApi:
        with self._lock:
            if self._api is None:
                self._api = self._make_api()
            return self._api
