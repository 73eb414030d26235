"""The state of a simulated RudderStack workspace, without HTTP.

The state of a sync is a function of its script and the clock, so a test with a `ManualClock` never
waits. All methods may be called from any thread.
"""

import random
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from dagster_rudderstack.testing.clock import Clock, to_milliseconds
from dagster_rudderstack.testing.errors import RefusedError, UnknownIdError
from dagster_rudderstack.testing.ids import new_id
from dagster_rudderstack.testing.objects import (
    Connection,
    Destination,
    Source,
    check_script,
    source_of,
)
from dagster_rudderstack.testing.operations import operation_name
from dagster_rudderstack.testing.projects import Projects
from dagster_rudderstack.testing.scripts import SyncScript
from dagster_rudderstack.testing.syncs import (
    Origin,
    SimulatedSync,
    Sync,
    SyncType,
    Work,
    snapshot,
)

T = TypeVar("T")

_ID_LENGTH = 27


@dataclass(frozen=True)
class Denial:
    """Requests that are answered with 403. None matches any operation, connection or source."""

    message: str
    operation: str | None = None
    connection_id: str | None = None
    source_id: str | None = None

    def __post_init__(self) -> None:
        if self.operation is not None:
            object.__setattr__(self, "operation", operation_name(self.operation))

    def concerns(self, operation: str, connection_id: str | None, source_id: str | None) -> bool:
        """Return whether the request is denied."""
        return (
            self.operation in (None, operation)
            and self.connection_id in (None, connection_id)
            and self.source_id in (None, source_id)
        )


WorkStarter = Callable[[Sync, Connection], Work]


class Workspace:
    """Sources, destinations, connections and their syncs. The `projects` have the runs.

    `start_work` starts to move the rows of a sync whose connection has a table.
    `unknown_sync_status` is the status of the answer to the details of an unknown sync.
    """

    def __init__(
        self,
        clock: Clock,
        seed: int,
        start_work: WorkStarter,
        projects: Projects,
        unknown_sync_status: Literal[404, 500] = 404,
    ) -> None:
        self.clock = clock
        self.projects = projects
        self.unknown_sync_status = unknown_sync_status
        self._seed = seed
        self._start_work = start_work
        self._lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Remove everything and restart the sequence of ids."""
        with self._lock:
            self.projects.clear()
            self._ids = random.Random(self._seed)  # noqa: S311 - the ids are no secrets
            self._created_at = self.clock()
            self._sources: dict[str, Source] = {}
            self._destinations: dict[str, Destination] = {}
            self._connections: dict[str, Connection] = {}
            self._denials: list[Denial] = []
            self._next_scripts: dict[str, deque[SyncScript]] = defaultdict(deque)
            self._syncs: dict[str, Sync] = {}
            self._syncs_of: dict[str, list[Sync]] = defaultdict(list)
            self._running: dict[str, Sequence[Sync]] = {}

    @property
    def created_at(self) -> float:
        """When the workspace, and so everything in it, was created."""
        return self._created_at

    def add_source(self, source: Source) -> None:
        """Add a source, or replace the one with the same id."""
        with self._lock:
            self._sources[source.id] = source

    def add_destination(self, destination: Destination) -> None:
        """Add a destination, or replace the one with the same id."""
        with self._lock:
            self._destinations[destination.id] = destination

    def add_connection(self, connection: Connection) -> None:
        """Add or replace a connection, and its source and destination if they do not exist."""
        with self._lock:
            source_id = connection.source_id or f"{connection.id}-source"
            if source_id not in self._sources:
                self.add_source(source_of(source_id, connection.table))
            destination_id = connection.destination_id or f"{connection.id}-destination"
            if destination_id not in self._destinations:
                self.add_destination(Destination(destination_id))
            self._connections[connection.id] = replace(
                connection, source_id=source_id, destination_id=destination_id
            )

    def update_connection(self, connection_id: str, **changes: Any) -> None:
        """Change some settings of a connection."""
        with self._lock:
            self.add_connection(replace(self.connection(connection_id), **changes))

    def remove_connection(self, connection_id: str) -> None:
        """Remove a connection. Its syncs are kept, but the API no longer shows them."""
        with self._lock:
            self.connection(connection_id)
            del self._connections[connection_id]

    def sources(self) -> Sequence[Source]:
        """Return all sources, in the order of their addition."""
        with self._lock:
            return list(self._sources.values())

    def destinations(self) -> Sequence[Destination]:
        """Return all destinations, in the order of their addition."""
        with self._lock:
            return list(self._destinations.values())

    def connections(
        self, source_id: str | None = None, destination_id: str | None = None
    ) -> Sequence[Connection]:
        """Return the connections (of the source, to the destination), in the order of addition."""
        with self._lock:
            return [
                each
                for each in self._connections.values()
                if source_id in (None, each.source_id)
                and destination_id in (None, each.destination_id)
            ]

    def source(self, source_id: str) -> Source:
        """Return the source, or raise UnknownIdError."""
        return self._get(self._sources, source_id, "source")

    def destination(self, destination_id: str) -> Destination:
        """Return the destination, or raise UnknownIdError."""
        return self._get(self._destinations, destination_id, "destination")

    def connection(self, connection_id: str) -> Connection:
        """Return the connection, or raise UnknownIdError."""
        return self._get(self._connections, connection_id, "connection")

    def _get(self, things: Mapping[str, T], thing_id: str, kind: str) -> T:
        with self._lock:
            if thing_id not in things:
                raise UnknownIdError(f"{kind} {thing_id} not found")
            return things[thing_id]

    def set_script(self, connection_id: str, script: SyncScript) -> None:
        """Set the script of all later syncs of the connection."""
        self.update_connection(connection_id, script=script)

    def script_next(self, connection_id: str, scripts: Iterable[SyncScript]) -> None:
        """Set the scripts of the next syncs of the connection, one for each sync."""
        queued = list(scripts)
        for script in queued:
            check_script(script)
        with self._lock:
            self.connection(connection_id)
            self._next_scripts[connection_id].extend(queued)

    def _next_script(self, connection: Connection) -> SyncScript:
        queue = self._next_scripts[connection.id]
        return queue.popleft() if queue else connection.script

    def deny(self, denial: Denial) -> None:
        """Answer matching requests with 403."""
        with self._lock:
            self._denials.append(denial)

    def allow_everything(self) -> None:
        """Remove all denials, also those of the connections and projects themselves."""
        with self._lock:
            self._denials.clear()
            for connection in self.connections():
                self.update_connection(connection.id, deny=None)
            for project in self.projects.all():
                self.projects.update(project.id, deny=None)

    def denial(
        self, operation: str, connection_id: str | None, source_id: str | None
    ) -> str | None:
        """Return the text of the 403 for this request. None if it is allowed."""
        with self._lock:
            connection = self._connections.get(connection_id or "")
            if connection is not None and connection.deny is not None:
                return connection.deny
            asked = (operation, connection_id, source_id)
            denials = (each for each in self._denials if each.concerns(*asked))
            return next((denial.message for denial in denials), None)

    def start_sync(
        self,
        connection_id: str,
        origin: Origin,
        sync_type: SyncType = "incremental",
        script: SyncScript | None = None,
    ) -> Sync:
        """Start a sync. `script` None: the next one in the queue, or the connection's.

        Raises UnknownIdError, or RefusedError if the connection is disabled, or if a sync of it
        runs and parallel syncs are not allowed.
        """
        if script is not None:
            check_script(script)
        with self._lock:
            connection = self.connection(connection_id)
            self._check_startable(connection)
            sync = Sync(
                id=new_id(self._ids, _ID_LENGTH),
                connection_id=connection.id,
                origin=origin,
                sync_type=sync_type,
                script=script or self._next_script(connection),
                started_at=to_milliseconds(self.clock()),
                stopped_status=connection.stopped_status,
            )
            if connection.table is not None:
                sync.work = self._start_work(sync, connection)
            self._add_sync(sync)
            return sync

    def _check_startable(self, connection: Connection) -> None:
        if not connection.enabled:
            raise RefusedError("disabled", "connection is disabled")
        if self.running(connection.id) and not connection.parallel_syncs:
            raise RefusedError("already_running", "a sync of this connection is already running")

    def _add_sync(self, sync: Sync) -> None:
        self._syncs[sync.id] = sync
        self._syncs_of[sync.connection_id].append(sync)
        self._running[sync.connection_id] = [*self._running.get(sync.connection_id, ()), sync]

    def running(self, connection_id: str) -> Sequence[Sync]:
        """Return the syncs of the connection that have not ended, oldest first."""
        with self._lock:
            now = self.clock()
            still_running = [s for s in self._running.get(connection_id, ()) if not s.is_over(now)]
            self._running[connection_id] = still_running
            return still_running

    def stop(self, connection_id: str) -> Sequence[Sync]:
        """Ask the running syncs of the connection to stop, and return them."""
        with self._lock:
            connection = self.connection(connection_id)
            now = self.clock()
            asked = self.running(connection_id)
            for sync in asked:
                if sync.stop_requested_at is None:
                    sync.stop_requested_at = now
                    sync.stops_at = now + connection.stop_delay_seconds
            return asked

    def sync(self, connection_id: str, sync_id: str) -> Sync:
        """Return a sync. Raises UnknownIdError, also while the sync is hidden."""
        with self._lock:
            self.connection(connection_id)
            sync = self._syncs.get(sync_id)
            if sync is None or sync.connection_id != connection_id or sync.is_hidden(self.clock()):
                raise UnknownIdError(f"sync {sync_id} not found")
            return sync

    def visible_syncs(self, connection_id: str) -> Sequence[Sync]:
        """Return the syncs of the connection that the API shows, newest first."""
        with self._lock:
            self.connection(connection_id)
            now = self.clock()
            newest_first = reversed(self._syncs_of.get(connection_id, []))
            return [sync for sync in newest_first if not sync.is_hidden(now)]

    def snapshots(self, connection_id: str | None = None) -> list[SimulatedSync]:
        """Return the state of all syncs (of the connection), oldest first, also hidden ones."""
        with self._lock:
            now = self.clock()
            return [
                snapshot(sync, now)
                for sync in self._syncs.values()
                if connection_id in (None, sync.connection_id)
            ]
