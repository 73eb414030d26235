"""The ASGI application: from a request to its reply.

It logs the request, finds the fault that hits it, makes the answer, breaks the answer if there is a
fault, and sends the reply. The operations are in `handlers`.
"""

import asyncio
import contextlib
import hmac
import time
from dataclasses import replace

from starlette.types import ASGIApp, Receive, Scope, Send

from dagster_rudderstack.testing.errors import RefusedError
from dagster_rudderstack.testing.faults import Fault, FaultHit, FaultTarget
from dagster_rudderstack.testing.operations import NOWHERE, Route, find_route
from dagster_rudderstack.testing.request_log import RecordedRequest, logged_body
from dagster_rudderstack.testing.simulator import Simulator
from dagster_rudderstack.testing.web.access import control_refusal, page_refusal
from dagster_rudderstack.testing.web.answers import (
    Answer,
    message_error,
    plain_error,
    unauthorized,
    unknown_path,
)
from dagster_rudderstack.testing.web.api_request import ApiRequest
from dagster_rudderstack.testing.web.broken_answers import Cut, broken_reply, with_next_page
from dagster_rudderstack.testing.web.control_api import CONTROL_ROOT, control_app
from dagster_rudderstack.testing.web.handlers import handle
from dagster_rudderstack.testing.web.sending import cut_off, send_answer, with_date
from dagster_rudderstack.testing.web.tcp_connections import TcpConnections

MAX_BODY_BYTES = 1024 * 1024
"""The log of the requests keeps each body. A body of the API has less than a hundred bytes."""


def build_app(simulator: Simulator, connections: TcpConnections) -> ASGIApp:
    """Make the application: the control API under its root, and the API for all other paths."""
    api = _Api(simulator, connections)
    control = control_app(simulator)
    control_root = simulator.path_prefix + CONTROL_ROOT

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        refusal = page_refusal(headers, simulator.host)
        is_control = scope["path"].startswith(f"{control_root}/")
        if is_control and refusal is None:
            refusal = control_refusal(scope["method"], headers, simulator.control_token)
        if refusal is not None:
            status, reason = refusal
            await send_answer(plain_error(status, reason), send)
            return
        await (control if is_control else api)(scope, receive, send)

    return app


class _Api:
    """Everything except the control API."""

    def __init__(self, simulator: Simulator, connections: TcpConnections) -> None:
        self._simulator = simulator
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(self._simulator, scope, receive)
        reply: Answer | Cut
        try:
            reply = await exchange.reply()
        except Exception as error:  # noqa: BLE001 - the client must get an answer
            self._simulator.add_error(error)
            reply = Answer(500, f"Bug in the local RudderStack: {error!r}".encode(), "text/plain")
        reply = with_date(reply, self._simulator.clock())
        # Logged before it is sent, so that a client that has the answer finds it in the log.
        exchange.close(None if isinstance(reply, Cut) else reply.status)
        if isinstance(reply, Cut):
            await cut_off(reply, self._connections.of(scope), receive)
        else:
            await send_answer(reply, send)


class _Exchange:
    """One request and its reply."""

    def __init__(self, simulator: Simulator, scope: Scope, receive: Receive) -> None:
        self._simulator = simulator
        self._scope = scope
        self._receive = receive
        self._headers = _headers(scope)
        self._number: int | None = None
        self._path, self._has_prefix = _path_after(simulator.path_prefix, scope)

    async def reply(self) -> Answer | Cut:
        body = await _read_body(self._receive)
        if body is None:
            return plain_error(413, f"The body has more than {MAX_BODY_BYTES} bytes")
        route = find_route(self._scope["method"], self._path) if self._has_prefix else NOWHERE
        request = ApiRequest(route.parameters, self._scope["query_string"].decode("latin-1"), body)
        self._log(route, request)
        hit = self._choose_fault(route)
        await asyncio.sleep(self._simulator.latency_seconds)
        if hit is None:
            return self._true_answer(route, request)
        return await self._faulty_reply(hit, route, request)

    def _log(self, route: Route, request: ApiRequest) -> None:
        self._number = self._simulator.request_log.open(self._record(route, request))

    def _record(self, route: Route, request: ApiRequest) -> RecordedRequest:
        headers = dict(self._headers)
        if "authorization" in headers:
            headers["authorization"] = "right" if self._is_authorized() else "wrong"
        return RecordedRequest(
            number=-1,
            method=self._scope["method"],
            path=self._path,
            operation=route.name,
            connection_id=route.parameters.get("connectionId"),
            sync_id=route.parameters.get("syncId"),
            query=request.query,
            body=logged_body(request.body),
            headers=headers,
            client_port=self._scope["client"][1],
            at=self._simulator.clock(),
            monotonic=time.monotonic(),
            source_id=route.parameters.get("sourceId"),
            run_id=route.parameters.get("runId"),
        )

    def close(self, status: int | None) -> None:
        if self._number is not None:
            self._simulator.request_log.close(self._number, status)

    def _update_log(self, **facts: object) -> None:
        if self._number is not None:
            self._simulator.request_log.update(self._number, **facts)

    def _choose_fault(self, route: Route) -> FaultHit | None:
        target = FaultTarget(
            route.name,
            self._scope["method"],
            route.parameters.get("connectionId"),
            route.parameters.get("sourceId"),
        )
        hit = self._simulator.faults.choose(target)
        if hit is not None:
            self._update_log(fault=hit.fault.kind)
        return hit

    def _true_answer(self, route: Route, request: ApiRequest) -> Answer:
        """Carry out the request, and return the answer that it has without a fault."""
        answer = self._permitted_answer(route, request)
        if answer.took_effect:
            self._update_log(took_effect=True, affected=answer.affected)
        if route.name == "start" and answer.affected:
            self._update_log(sync_id=answer.affected[0])
        if route.name == "start_run" and answer.affected:
            self._update_log(run_id=answer.affected[0])
        return answer

    def _permitted_answer(self, route: Route, request: ApiRequest) -> Answer:
        if not self._is_authorized():
            return unauthorized()
        if route.operation is not None:
            return handle(self._simulator.workspace, route.name, request)
        if route.allowed_methods:
            allow = {"allow": ", ".join(route.allowed_methods)}
            return replace(message_error(405, "Method not allowed"), headers=allow)
        return unknown_path()

    def _is_authorized(self) -> bool:
        scheme, _, token = self._headers.get("authorization", "").partition(" ")
        expected = self._simulator.access_token
        return scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), expected.encode())

    async def _faulty_reply(self, hit: FaultHit, route: Route, request: ApiRequest) -> Answer | Cut:
        fault = hit.fault
        if fault.kind == "slow":
            return await self._slow_answer(fault, route, request)
        if fault.kind == "scheduled_sync":
            self._start_scheduled_sync(fault, request)
        if fault.kind == "scheduled_run":
            self._start_scheduled_run(request)
        is_answered = fault.kind in ("scheduled_sync", "scheduled_run", "paging")
        answer = self._true_answer(route, request) if fault.effect or is_answered else None
        await asyncio.sleep(fault.seconds)
        if answer is not None and is_answered:
            return self._with_next_page(fault, answer) if fault.kind == "paging" else answer
        return broken_reply(hit, answer, self._simulator.clock())

    async def _slow_answer(self, fault: Fault, route: Route, request: ApiRequest) -> Answer | Cut:
        if fault.effect:
            answer = self._true_answer(route, request)
            disconnected = await self._client_disconnects_within(fault.seconds)
            return Cut("close") if disconnected else answer
        if await self._client_disconnects_within(fault.seconds):
            return Cut("close")
        return self._true_answer(route, request)

    async def _client_disconnects_within(self, seconds: float) -> bool:
        # The body has been read, so the next message can only be the disconnect.
        try:
            await asyncio.wait_for(self._receive(), seconds)
        except asyncio.TimeoutError:
            return False
        return True

    def _start_scheduled_sync(self, fault: Fault, request: ApiRequest) -> None:
        workspace = self._simulator.workspace
        connection = workspace.connection(request.parameters["connectionId"])
        # The schedule is refused as well if a sync runs or the connection is disabled.
        with contextlib.suppress(RefusedError):
            script = fault.script or connection.script
            workspace.start_sync(connection.id, "schedule", script=script)

    def _start_scheduled_run(self, request: ApiRequest) -> None:
        # The schedule is refused as well if a run of the source runs.
        with contextlib.suppress(RefusedError):
            projects = self._simulator.workspace.projects
            projects.start_run(request.parameters["sourceId"], "schedule")

    def _with_next_page(self, fault: Fault, answer: Answer) -> Answer:
        query = self._scope["query_string"].decode("latin-1")
        this_page = self._path + (f"?{query}" if query else "")
        return with_next_page(answer, fault.next, this_page)


def _path_after(prefix: str, scope: Scope) -> tuple[str, bool]:
    """Return the percent-encoded path without the prefix, and whether it had the prefix."""
    raw_path = scope["raw_path"].decode("latin-1").partition("?")[0]
    if not raw_path.startswith(f"{prefix}/"):
        return raw_path, False
    return raw_path.removeprefix(prefix), True


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def _read_body(receive: Receive) -> bytes | None:
    """Return the body of a request. None if it is too large."""
    body = bytearray()
    while len(body) <= MAX_BODY_BYTES:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)
    return None
