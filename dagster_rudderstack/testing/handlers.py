"""What each operation of the API does to the workspace, and what it answers."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

from dagster_rudderstack.testing.api_json import (
    JsonObject,
    connection_json,
    destination_json,
    run_json,
    source_json,
    sync_json,
)
from dagster_rudderstack.testing.operations import API_ROOT
from dagster_rudderstack.testing.syncs import SYNC_TYPES, Sync, SyncType
from dagster_rudderstack.testing.workspace import RefusedError, UnknownIdError, Workspace

T = TypeVar("T")

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 100
SYNC_STATUSES = ("running", "succeeded", "failed")

JSON_TYPE = "application/json"
HTML_TYPE = "text/html; charset=utf-8"

_DIGITS = re.compile(r"[0-9]{1,1000}", re.ASCII)
_DATE_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:)(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. `took_effect` and `affected` are for the log of requests."""

    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)
    took_effect: bool = False
    affected: tuple[str, ...] = ()


@dataclass(frozen=True)
class Call:
    """A request that has found its operation."""

    parameters: Mapping[str, str]
    query_string: str
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        """The last value of each key."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))


class InvalidRequestError(Exception):
    """The request itself is wrong: 400."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}")
        self.name = name


def json_answer(status: int, content: Any, **facts: Any) -> Answer:
    """Make an answer of something that JSON knows."""
    return Answer(status, json.dumps(content, separators=(",", ":")).encode(), **facts)


# The real API writes its errors in three shapes. Here the shape goes by the kind of error, so that
# a client meets all of them and a test always meets the same one.


def plain_error(status: int, message: str) -> Answer:
    """Make the shape {"error": ...}."""
    return json_answer(status, {"error": message})


def message_error(status: int, message: str) -> Answer:
    """Make the shape {"message": ...}."""
    return json_answer(status, {"message": message})


def detailed_error(status: int, message: str, code: str, details: Any) -> Answer:
    """Make the shape {"message": ..., "code": ..., "details": ...}."""
    return json_answer(status, {"message": message, "code": code, "details": details})


def unauthorized() -> Answer:
    """Refuse a token."""
    return plain_error(401, "Unauthorized: the access token is missing or wrong")


def forbidden(message: str) -> Answer:
    """Refuse a request for want of a permission."""
    return detailed_error(403, message, "FORBIDDEN", {"permission": message})


def handle(workspace: Workspace, operation: str, call: Call) -> Answer:
    """Answer a call that has been let in."""
    try:
        _check_permission(workspace, operation, call)
        return _HANDLERS[operation](workspace, call)
    except UnknownIdError as error:
        return message_error(404, str(error))
    except RefusedError as error:
        return plain_error(409 if error.reason == "already_running" else 400, str(error))
    except InvalidRequestError as error:
        return detailed_error(400, str(error), "BAD_REQUEST", [{"field": error.name}])
    except PermissionError as error:
        return forbidden(str(error))


def _check_permission(workspace: Workspace, operation: str, call: Call) -> None:
    connection_id = call.parameters.get("connectionId")
    if connection_id is not None:
        workspace.connection(connection_id)
    message = workspace.denial(operation, connection_id)
    if message is not None:
        raise PermissionError(message)


def _list_connections(workspace: Workspace, call: Call) -> Answer:
    query = call.query
    found = workspace.connections(query.get("sourceId"), query.get("destinationId"))
    page = _page(found, query, size_key="pageSize")
    items = [connection_json(each, workspace.created_at) for each in page.items]
    paging: JsonObject = {"total": page.total}
    if page.has_next:
        paging["next"] = _next(f"{API_ROOT}/retl-connections", query, page)
    return json_answer(200, {"data": items, "paging": paging})


def _list_sources(workspace: Workspace, call: Call) -> Answer:
    page = _page(workspace.sources(), call.query, size_key="pageSize")
    answer: JsonObject = {"data": [source_json(each, workspace.created_at) for each in page.items]}
    if page.has_next:
        following = _next("/retl-sources", call.query, page)
        answer["paging"] = {"total": page.total, "next": following}
    return json_answer(200, answer)


def _list_destinations(workspace: Workspace, call: Call) -> Answer:
    page = _page(workspace.destinations(), call.query, size_key=None)
    items = [destination_json(each, workspace.created_at) for each in page.items]
    following = _next("/destinations", call.query, page) if page.has_next else None
    paging = {"total": page.total, "next": following}
    return json_answer(200, {"destinations": items, "paging": paging})


def _list_syncs(workspace: Workspace, call: Call) -> Answer:
    connection_id = call.parameters["connectionId"]
    now = workspace.clock()
    fits = _sync_filter(call.query, now)
    found = [sync for sync in workspace.visible_syncs(connection_id) if fits(sync)]
    page = _page(found, call.query, size_key="per_page")
    path = f"{API_ROOT}/retl-connections/{connection_id}/syncs"
    following = _next(path, call.query, page) if page.has_next else ""
    paging = {"total": page.total, "next": following}
    items = [sync_json(sync, now) for sync in page.items]
    return json_answer(200, {"syncs": items, "paging": paging})


def _sync_filter(query: Mapping[str, str], now: float) -> Callable[[Sync], bool]:
    status = query.get("status")
    if status is not None and status not in SYNC_STATUSES:
        raise InvalidRequestError("status", f"must be one of {', '.join(SYNC_STATUSES)}")
    after = _date_time(query, "started_after", float("-inf"))
    before = _date_time(query, "started_before", float("inf"))

    def fits(sync: Sync) -> bool:
        return after < sync.started_at < before and status in (None, sync.status(now))

    return fits


def _date_time(query: Mapping[str, str], key: str, default: float) -> float:
    """Epoch seconds. A time must have an offset: what is without one could be any time."""
    text = query.get(key)
    if text is None:
        return default
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        hint = "; a + must be sent as %2B" if " " in text else ""
        raise InvalidRequestError(key, f"must be an RFC 3339 date-time with an offset{hint}")
    return _epoch(key, match)


def _epoch(key: str, match: re.Match[str]) -> float:
    day, minutes, seconds, fraction, offset = match.groups()
    leap = 1 if seconds == "60" else 0
    offset = "+00:00" if offset in "Zz" else offset
    try:
        moment = datetime.fromisoformat(f"{day}T{minutes}{int(seconds) - leap:02}{offset}")
    except ValueError as error:
        raise InvalidRequestError(key, f"is no date-time: {error}") from error
    since = moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return since.total_seconds() + leap + float(f"0.{fraction or 0}")


def _get_connection(workspace: Workspace, call: Call) -> Answer:
    connection = workspace.connection(call.parameters["connectionId"])
    return json_answer(200, connection_json(connection, workspace.created_at))


def _get_source(workspace: Workspace, call: Call) -> Answer:
    source = workspace.source(call.parameters["sourceId"])
    return json_answer(200, source_json(source, workspace.created_at))


def _get_destination(workspace: Workspace, call: Call) -> Answer:
    destination = workspace.destination(call.parameters["destinationId"])
    shown = destination_json(destination, workspace.created_at)
    return json_answer(200, {"destination": shown})


def _get_sync(workspace: Workspace, call: Call) -> Answer:
    sync = workspace.sync(call.parameters["connectionId"], call.parameters["syncId"])
    return json_answer(200, sync_json(sync, workspace.clock()))


def _start(workspace: Workspace, call: Call) -> Answer:
    sync_type = _sync_type(_json_object(call.body))
    sync = workspace.start_sync(call.parameters["connectionId"], "api", sync_type)
    return json_answer(200, {"syncId": sync.id}, took_effect=True, affected=(sync.id,))


def _sync_type(body: JsonObject) -> SyncType | None:
    """RudderStack's own client leaves the type out, to let the server decide: so may others."""
    if "syncType" not in body:
        return None
    if body["syncType"] not in SYNC_TYPES:
        raise InvalidRequestError("syncType", f"must be one of {', '.join(SYNC_TYPES)}")
    sync_type: SyncType = body["syncType"]
    return sync_type


def _stop(workspace: Workspace, call: Call) -> Answer:
    asked = workspace.stop(call.parameters["connectionId"])
    return Answer(204, took_effect=True, affected=tuple(sync.id for sync in asked))


def _start_run(workspace: Workspace, call: Call) -> Answer:
    parameters = _json_object(call.body).get("parameters", [])
    if not isinstance(parameters, list) or not all(isinstance(each, str) for each in parameters):
        raise InvalidRequestError("parameters", "must be a list of texts")
    run = workspace.start_run(call.parameters["sourceId"], parameters)
    return json_answer(200, {"runId": run.id}, took_effect=True, affected=(run.id,))


def _get_run(workspace: Workspace, call: Call) -> Answer:
    run = workspace.run(call.parameters["sourceId"], call.parameters["runId"])
    return json_answer(200, run_json(run, workspace.clock()))


_HANDLERS: Mapping[str, Callable[[Workspace, Call], Answer]] = {
    "list_connections": _list_connections,
    "get_connection": _get_connection,
    "start": _start,
    "stop": _stop,
    "list_syncs": _list_syncs,
    "get_sync": _get_sync,
    "list_sources": _list_sources,
    "get_source": _get_source,
    "list_destinations": _list_destinations,
    "get_destination": _get_destination,
    "start_run": _start_run,
    "get_run": _get_run,
}


def _json_object(body: bytes) -> JsonObject:
    if not body.strip():
        return {}
    try:
        content = json.loads(body)
    except ValueError as error:
        raise InvalidRequestError("body", "must be JSON") from error
    if not isinstance(content, dict):
        raise InvalidRequestError("body", "must be a JSON object")
    return content


@dataclass(frozen=True)
class _Page:
    items: Sequence[Any]
    number: int
    total: int
    has_next: bool


def _page(items: Sequence[Any], query: Mapping[str, str], size_key: str | None) -> _Page:
    number = _whole_number(query, "page", 1)
    size = DEFAULT_PAGE_SIZE
    if size_key is not None:
        size = _whole_number(query, size_key, size, maximum=MAX_PAGE_SIZE)
    start, end = (number - 1) * size, number * size
    return _Page(items[start:end], number, len(items), has_next=end < len(items))


def _whole_number(
    query: Mapping[str, str], key: str, default: int, maximum: int | None = None
) -> int:
    text = query.get(key)
    if text is None:
        return default
    number = int(text) if _DIGITS.fullmatch(text) else 0
    if number < 1 or (maximum is not None and number > maximum):
        limit = "" if maximum is None else f" and at most {maximum}"
        raise InvalidRequestError(key, f"must be a whole number of at least 1{limit}")
    return number


def _next(path: str, query: Mapping[str, str], page: _Page) -> str:
    """Tell the next page as the API does: by a path with the same query but for the page.

    Some lists give the path from the host, some from /v2.
    """
    return f"{path}?{urlencode({**query, 'page': page.number + 1})}"
