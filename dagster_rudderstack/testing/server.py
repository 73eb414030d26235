"""A local RudderStack that listens on a port."""

# ruff: noqa: A002, PLR0913 - settings are named as the API names them, and most have defaults

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from dagster_rudderstack.testing.clock import Clock, ScaledClock
from dagster_rudderstack.testing.config import WorkspaceConfig
from dagster_rudderstack.testing.faults import Fault
from dagster_rudderstack.testing.objects import Connection, Destination, FieldPairs, Source
from dagster_rudderstack.testing.request_log import RecordedRequest, with_effect
from dagster_rudderstack.testing.scripts import RunScript, SyncScript
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


class LocalRudderStack:
    """RudderStack's API on a port of this machine, to test against.

    access_token: the one token that is let in.
    port: 0 takes a free one. host: only this machine can reach the default.
    clock: called for the epoch time in seconds, e.g. a ScaledClock or ManualClock; None: real time.
    seed: of all that is random: ids, and the faults that have a probability.
    latency_seconds: real seconds before each answer; may be changed at any time.
    path_prefix: "/proxy" puts everything under that path.
    config: what is there from the beginning and after each `reset`; see `read_config`.

    Use it in a `with` statement, or call `start` and `close`. All methods may be called from any
    thread, also while requests come in. Connections may be added before it is started.

    Closing and starting it again, on the same port and with all its state, is an outage in which
    clients cannot connect.

    Raises:
        ValueError: for a port or a latency that there cannot be.
    """

    def __init__(
        self,
        access_token: str = "test-token",  # noqa: S107 - lets nobody in but here
        port: int = 0,
        clock: Clock | None = None,
        seed: int = 0,
        *,
        host: str = "127.0.0.1",
        latency_seconds: float = 0.0,
        path_prefix: str = "",
        config: WorkspaceConfig | None = None,
    ) -> None:
        if not 0 <= port <= _LARGEST_PORT:
            raise ValueError(f"port must be 0 to {_LARGEST_PORT}, not {port!r}")
        self._simulator = Simulator(
            access_token=access_token,
            clock=clock or ScaledClock(),
            seed=seed,
            latency_seconds=latency_seconds,
            path_prefix=path_prefix,
            config=config,
        )
        self._workspace = self._simulator.workspace
        self._host = host
        self._port = port
        self._tcp_connections = TcpConnections()
        self._server: HttpServer | None = None

    def __repr__(self) -> str:
        return f"LocalRudderStack({self.url if self._server else 'not started'})"

    def start(self) -> "Self":
        """Begin to listen. Raises OSError if the port is taken."""
        if self._server is not None:
            raise RuntimeError("The local RudderStack has been started already")
        listener = listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._server = HttpServer(self._simulator, self._tcp_connections, listener)
        self._server.start()
        return self

    def close(self) -> None:
        """End at once: open connections are cut, syncs that move rows are interrupted."""
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
        """Where it listens, e.g. "http://127.0.0.1:54321"; the API lies under "/v2" of it."""
        if self._server is None and self._port == 0:
            raise RuntimeError("The local RudderStack has no address before it is started")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}{self._simulator.path_prefix}"

    @property
    def access_token(self) -> str:
        """The one token that is let in."""
        return self._simulator.access_token

    @property
    def clock(self) -> Clock:
        """The clock that it lives by."""
        return self._simulator.clock

    @property
    def latency_seconds(self) -> float:
        """Real seconds before each answer."""
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
        """Add a Reverse ETL source, or replace the one of the same id.

        `definition` is the kind of warehouse. `wire_fields` are shown as they are: `accountId="a"`.
        Raises ValueError for one that looks like something else misspelt.
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
        """Add a destination, or replace the one of the same id.

        `wire_fields` as in `add_source`.
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
        """Add a connection, or replace the one of the same id (whose syncs stay).

        A source or destination that does not exist is made; None makes ones of its own.
        `script` says how its syncs go; `table` lets them move real rows. `parallel_syncs` accepts a
        start while a sync runs. A stop takes effect `stop_delay_seconds` later, and the sync then
        has `stopped_status`. `deny`: every request for it gets 403 with this text.
        `wire_fields` are shown as they are: `externalId="a"`. Raises ValueError for one that looks
        like something else misspelt, and TypeError for a schedule, script or table that is none.
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
        """Change some of what `add_connection` has set, e.g. `enabled=False`."""
        self._workspace.update_connection(id, **changes)

    def remove_connection(self, id: str) -> None:
        """Take the connection away; requests for it then get 404."""
        self._workspace.remove_connection(id)

    def add_project(self, source_id: str, script: RunScript | None = None) -> None:
        """Add a Profiles project (or ETL source), whose runs `/sources/{id}/start` starts."""
        self._workspace.add_project(source_id, script or RunScript())

    def set_script(self, connection_id: str, script: SyncScript) -> None:
        """How all later syncs of the connection go, after those of `script_next`."""
        self._workspace.set_script(connection_id, script)

    def script_next(self, connection_id: str, *scripts: SyncScript) -> None:
        """How the next syncs of the connection go, one script for each."""
        self._workspace.script_next(connection_id, scripts)

    def start_sync(
        self,
        connection_id: str,
        origin: Literal["schedule", "dashboard"] = "schedule",
        sync_type: SyncType = "incremental",
        script: SyncScript | None = None,
    ) -> str:
        """Start a sync as somebody else would, and return its id.

        Raises UnknownIdError, or RefusedError if the connection is disabled or has a sync running.
        """
        return self._workspace.start_sync(connection_id, origin, sync_type, script).id

    def add_fault(self, fault: Fault) -> None:
        """Break requests from now on as the rule says; rules that were added earlier win."""
        self._simulator.faults.add(fault)

    def clear_faults(self) -> None:
        """Remove all rules."""
        self._simulator.faults.clear()

    def deny(
        self, message: str, *, operation: str | None = None, connection_id: str | None = None
    ) -> None:
        """Answer 403 with this text to these requests; None stands for any."""
        self._workspace.deny(Denial(message, operation, connection_id))

    def allow_everything(self) -> None:
        """Take back all that was denied."""
        self._workspace.allow_everything()

    def reset(self) -> None:
        """Be as new: without connections (but those of `config`), syncs, faults and requests."""
        self._simulator.reset()

    @property
    def requests(self) -> list[RecordedRequest]:
        """All requests to the API, in the order of their arrival; not those to the control API."""
        return self._simulator.request_log.entries()

    def clear_requests(self) -> None:
        """Forget the requests so far, and nothing else."""
        self._simulator.request_log.clear()

    def syncs(self, connection_id: str | None = None) -> list[SimulatedSync]:
        """All syncs (of the connection) as they stand now, oldest first, hidden ones too."""
        return self._workspace.snapshots(connection_id)

    def starts(self, connection_id: str | None = None) -> list[RecordedRequest]:
        """List the requests that started a sync (of the connection), whatever was answered."""
        return with_effect(self.requests, "start", connection_id)

    def stops(self, connection_id: str | None = None) -> list[RecordedRequest]:
        """List the requests to stop that were taken, whatever was answered."""
        return with_effect(self.requests, "stop", connection_id)

    @property
    def tcp_connections(self) -> int:
        """How many TCP connections it has accepted since it was started."""
        return self._tcp_connections.accepted

    @property
    def peak_concurrency(self) -> int:
        """The most requests that were ever in progress at one time."""
        return self._simulator.request_log.peak_concurrency

    @property
    def errors(self) -> list[str]:
        """Tracebacks of bugs in the local RudderStack itself; a test may assert there are none."""
        return list(self._simulator.errors)
