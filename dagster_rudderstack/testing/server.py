"""`LocalRudderStack`: the local RudderStack as a test uses it."""

# ruff: noqa: A002, PLR0913 - the settings have the names of the API, and most have defaults

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from dagster_rudderstack.testing.clock import Clock, ScaledClock
from dagster_rudderstack.testing.config import WorkspaceConfig
from dagster_rudderstack.testing.faults import Fault
from dagster_rudderstack.testing.objects import (
    Connection,
    Destination,
    FieldPairs,
    Source,
)
from dagster_rudderstack.testing.project_methods import ProjectMethods
from dagster_rudderstack.testing.projects import Projects
from dagster_rudderstack.testing.request_log import RecordedRequest, with_effect
from dagster_rudderstack.testing.scripts import SyncScript
from dagster_rudderstack.testing.simulator import Simulator
from dagster_rudderstack.testing.syncs import SimulatedSync, SyncType
from dagster_rudderstack.testing.tables import TableSync
from dagster_rudderstack.testing.web.http_server import HttpServer, listen
from dagster_rudderstack.testing.web.tcp_connections import TcpConnections
from dagster_rudderstack.testing.workspace import Denial

if TYPE_CHECKING:
    from typing_extensions import Self

_MANUAL = {"type": "manual"}
_LARGEST_PORT = 65535


class LocalRudderStack(ProjectMethods):
    """RudderStack's API on a port of this machine, for tests.

    Use it in a `with` statement, or call `start` and `close`. All methods may be called from any
    thread, also while requests arrive. Connections may be added before the start.

    To simulate an outage in which clients cannot connect, close the server and start it again. It
    keeps its port and its state.

    Args:
        access_token: The only accepted token.
        port: Port to listen on. 0 takes a free one.
        clock: Callable that returns the epoch time in seconds, such as a ScaledClock or a
            ManualClock. None is the real time.
        seed: Seed of everything random: the ids, and the faults that have a probability.
        host: Address to listen on. Only this machine can reach the default.
        latency_seconds: Seconds of real time before each answer. May be changed at any time.
        path_prefix: Path in front of all paths, such as "/proxy".
        config: Content of the workspace at the start and after each `reset`; see `read_config`.
        unknown_sync_status: Status of the answer to the details of a sync that does not exist or is
            hidden: 404, or 500, which RudderStack may send as well.
        legacy_status: Whether `/sources/{id}/status` exists, which shows the newest run of a
            Profiles project or ETL source.
        control_token: The token of the control API, for a `RemoteLocalRudderStack`. None makes one.
        folder: Where the files of tables must be that are added over the control API. None is the
            working folder.
        reads_files: Whether the SQL of a source or project may read other files than its warehouse.

    Raises:
        ValueError: The port, the latency or the status is out of range.
    """

    def __init__(
        self,
        access_token: str = "test-token",  # noqa: S107 - only this server accepts it
        port: int = 0,
        clock: Clock | None = None,
        seed: int = 0,
        *,
        host: str = "127.0.0.1",
        latency_seconds: float = 0.0,
        path_prefix: str = "",
        config: WorkspaceConfig | None = None,
        unknown_sync_status: Literal[404, 500] = 404,
        legacy_status: bool = True,
        control_token: str | None = None,
        folder: str | Path | None = None,
        reads_files: bool = True,
    ) -> None:
        if not 0 <= port <= _LARGEST_PORT:
            raise ValueError(f"port must be 0 to {_LARGEST_PORT}, not {port!r}")
        if unknown_sync_status not in (404, 500):
            raise ValueError(f"unknown_sync_status must be 404 or 500, not {unknown_sync_status!r}")
        self._simulator = Simulator(
            access_token=access_token,
            clock=clock or ScaledClock(),
            seed=seed,
            latency_seconds=latency_seconds,
            path_prefix=path_prefix,
            config=config,
            unknown_sync_status=unknown_sync_status,
            legacy_status=legacy_status,
            host=host,
            control_token=control_token,
            folder=None if folder is None else Path(folder),
            reads_files=reads_files,
        )
        self._workspace = self._simulator.workspace
        self._host = host
        self._port = port
        self._tcp_connections = TcpConnections()
        self._server: HttpServer | None = None

    def __repr__(self) -> str:
        return f"LocalRudderStack({self.url if self._server else 'not started'})"

    def start(self) -> "Self":
        """Start to listen. Raises OSError if the port is taken."""
        if self._server is not None:
            raise RuntimeError("The local RudderStack has been started already")
        listener = listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._server = HttpServer(self._simulator, self._tcp_connections, listener)
        self._server.start()
        return self

    def close(self) -> None:
        """Stop at once: cut open connections and interrupt the syncs and runs with real rows."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
        self._simulator.workers.stop_all()

    def __enter__(self) -> "Self":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address, such as "http://127.0.0.1:54321". The API is under its path "/v2"."""
        if self._server is None and self._port == 0:
            raise RuntimeError("The local RudderStack has no address before it is started")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}{self._simulator.path_prefix}"

    @property
    def access_token(self) -> str:
        """The only accepted token."""
        return self._simulator.access_token

    @property
    def control_token(self) -> str:
        """The token of the control API."""
        return self._simulator.control_token

    @property
    def clock(self) -> Clock:
        """The clock of the server."""
        return self._simulator.clock

    @property
    def latency_seconds(self) -> float:
        """Seconds of real time before each answer."""
        return self._simulator.latency_seconds

    @latency_seconds.setter
    def latency_seconds(self, seconds: float) -> None:
        self._simulator.latency_seconds = seconds

    def add_source(
        self,
        id: str,
        *,
        name: str | None = None,
        source_type: str = "table",
        definition: str = "postgres",
        config: Mapping[str, Any] | None = None,
        enabled: bool = True,
        **wire_fields: Any,
    ) -> None:
        """Add a Reverse ETL source, or replace the one with the same id.

        Args:
            id: Id of the source.
            name: Name of the source. None is the id.
            source_type: `table`, `model` or `audience`.
            definition: The kind of warehouse.
            config: What it reads, as the API returns it.
            enabled: Whether it is enabled.
            wire_fields: Fields that the API returns as they are, such as `accountId="a"`.

        Raises:
            ValueError: A wire field looks like a misspelled setting or field.
        """
        self._workspace.add_source(
            Source(id, name, source_type, definition, config or {}, enabled, wire_fields)
        )

    def add_destination(
        self,
        id: str,
        *,
        name: str | None = None,
        type: str = "WEBHOOK",
        config: Mapping[str, Any] | None = None,
        enabled: bool = True,
        **wire_fields: Any,
    ) -> None:
        """Add a destination, or replace the one with the same id.

        Args:
            id: Id of the destination.
            name: Name of the destination. None is the id.
            type: The tool, as RudderStack calls it, such as `HS` for HubSpot.
            config: Its settings, as the API returns them.
            enabled: Whether it is enabled.
            wire_fields: As in `add_source`.
        """
        self._workspace.add_destination(
            Destination(id, name, type, config or {}, enabled, wire_fields)
        )

    def add_connection(
        self,
        id: str,
        source_id: str | None = None,
        destination_id: str | None = None,
        *,
        enabled: bool = True,
        schedule: Mapping[str, Any] = _MANUAL,
        script: SyncScript | None = None,
        table: TableSync | None = None,
        sync_behaviour: str | None = "upsert",
        identifiers: FieldPairs = None,
        mappings: FieldPairs = None,
        constants: Sequence[Mapping[str, Any]] | None = None,
        object: str | None = None,
        parallel_syncs: bool = False,
        stopped_status: str = "failed",
        stop_delay_seconds: float = 0.0,
        deny: str | None = None,
        **wire_fields: Any,
    ) -> None:
        """Add a connection, or replace the one with the same id and keep its syncs.

        Args:
            id: Id of the connection.
            source_id: Id of the source, which is added if it does not exist. None adds a new one.
            destination_id: Id of the destination, as for the source.
            enabled: Whether the connection can be synced.
            schedule: Schedule as the API returns it.
            script: What its syncs do.
            table: The rows to move, if its syncs move real rows. They are logged in the warehouse,
                see `TableSync`.
            sync_behaviour: "upsert", "mirror" or "full".
            identifiers: Column to field, as a mapping or as the API's list.
            mappings: Column to field, as a mapping or as the API's list.
            constants: Constants as the API returns them.
            object: Object in the destination.
            parallel_syncs: Whether a start is accepted while a sync runs. If not, the answer is
                409.
            stopped_status: Status of a sync that was stopped.
            stop_delay_seconds: Seconds from the request to stop until the sync ends.
            deny: If set, every request for the connection is answered with 403 and this text.
            wire_fields: Fields that the API returns as they are, such as `externalId="a"`.

        Raises:
            ValueError: A wire field looks like a misspelled setting or field.
            TypeError: The schedule, script or table has the wrong type.
        """
        self._workspace.add_connection(
            Connection(
                id,
                source_id,
                destination_id,
                enabled=enabled,
                schedule=schedule,
                script=SyncScript() if script is None else script,
                table=table,
                sync_behaviour=sync_behaviour,
                identifiers=identifiers,
                mappings=mappings,
                constants=constants,
                object=object,
                parallel_syncs=parallel_syncs,
                stopped_status=stopped_status,
                stop_delay_seconds=stop_delay_seconds,
                deny=deny,
                wire_fields=wire_fields,
            )
        )

    def update_connection(self, id: str, **changes: Any) -> None:
        """Change settings of a connection, such as `enabled=False`."""
        self._workspace.update_connection(id, **changes)

    def remove_connection(self, id: str) -> None:
        """Remove a connection. Requests for it are then answered with 404."""
        self._workspace.remove_connection(id)

    def set_script(self, connection_id: str, script: SyncScript) -> None:
        """Set the script of all later syncs of the connection, after those of `script_next`."""
        self._workspace.set_script(connection_id, script)

    def script_next(self, connection_id: str, *scripts: SyncScript) -> None:
        """Set the scripts of the next syncs of the connection, one for each sync."""
        self._workspace.script_next(connection_id, scripts)

    def start_sync(
        self,
        connection_id: str,
        origin: Literal["schedule", "dashboard"] = "schedule",
        sync_type: SyncType = "incremental",
        script: SyncScript | None = None,
    ) -> str:
        """Start a sync as another client would, and return its id.

        Args:
            connection_id: The connection.
            origin: The client.
            sync_type: `incremental` or `full`.
            script: What the sync does. None is the connection's next script.

        Raises UnknownIdError, or RefusedError if the connection is disabled or a sync of it runs.
        """
        return self._workspace.start_sync(connection_id, origin, sync_type, script).id

    def add_fault(self, fault: Fault) -> None:
        """Add a rule that breaks requests. Rules that were added earlier take precedence."""
        self._simulator.faults.add(fault)

    def clear_faults(self) -> None:
        """Remove all rules."""
        self._simulator.faults.clear()

    def deny(
        self,
        message: str,
        *,
        operation: str | None = None,
        connection_id: str | None = None,
        source_id: str | None = None,
    ) -> None:
        """Answer matching requests with 403 and this text. None matches any.

        `operation` is one of `RecordedRequest.operation`, and the two ids are those in the path.
        """
        self._workspace.deny(Denial(message, operation, connection_id, source_id))

    def allow_everything(self) -> None:
        """Remove all denials."""
        self._workspace.allow_everything()

    def reset(self) -> None:
        """Return to the state after the start: keep only the content of `config`."""
        self._simulator.reset()

    @property
    def _projects(self) -> Projects:
        return self._workspace.projects

    @property
    def requests(self) -> list[RecordedRequest]:
        """All requests to the API, in order of arrival, without those to the control API."""
        return self._simulator.request_log.entries()

    def clear_requests(self) -> None:
        """Remove all requests from the log."""
        self._simulator.request_log.clear()

    def syncs(self, connection_id: str | None = None) -> list[SimulatedSync]:
        """Return the state of all syncs (of the connection), oldest first, also hidden ones."""
        return self._workspace.snapshots(connection_id)

    def starts(self, connection_id: str | None = None) -> list[RecordedRequest]:
        """Return the requests that started a sync (of the connection), regardless of the answer."""
        return with_effect(self.requests, "start", connection_id=connection_id)

    def stops(self, connection_id: str | None = None) -> list[RecordedRequest]:
        """Return the accepted requests to stop, regardless of the answer."""
        return with_effect(self.requests, "stop", connection_id=connection_id)

    @property
    def tcp_connections(self) -> int:
        """The number of TCP connections that were accepted since it was created."""
        return self._tcp_connections.accepted

    @property
    def peak_concurrency(self) -> int:
        """The highest number of requests that were in progress at the same time."""
        return self._simulator.request_log.peak_concurrency

    @property
    def errors(self) -> list[str]:
        """Tracebacks of bugs in the local RudderStack. A test can assert that there are none."""
        return list(self._simulator.errors)
