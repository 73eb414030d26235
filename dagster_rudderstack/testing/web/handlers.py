"""What each operation of the API does and answers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from dagster_rudderstack.testing.errors import RefusedError, UnknownIdError
from dagster_rudderstack.testing.objects import Project
from dagster_rudderstack.testing.operations import API_ROOT
from dagster_rudderstack.testing.runs import Run
from dagster_rudderstack.testing.syncs import SYNC_TYPES, Sync, SyncType
from dagster_rudderstack.testing.web.answers import (
    Answer,
    detailed_error,
    forbidden,
    json_answer,
    message_error,
    plain_error,
    unknown_path,
)
from dagster_rudderstack.testing.web.api_json import (
    JsonObject,
    connection_json,
    destination_json,
    run_json,
    source_json,
    sync_json,
    workspace_json,
)
from dagster_rudderstack.testing.web.api_request import (
    ApiRequest,
    InvalidRequestError,
    date_time,
    json_object,
)
from dagster_rudderstack.testing.web.paging import next_page_path, page_of
from dagster_rudderstack.testing.workspace import Workspace

_SYNC_ID = re.compile("[0-9A-Za-z]{20,27}")

SYNC_STATUSES = ("running", "succeeded", "failed")


def handle(workspace: Workspace, operation: str, request: ApiRequest) -> Answer:
    """Answer a request whose token is correct."""
    if not _exists(workspace, operation, request):
        return unknown_path()
    try:
        _check_permission(workspace, operation, request)
        return _HANDLERS[operation](workspace, request)
    except UnknownIdError as error:
        return message_error(404, str(error))
    except RefusedError as error:
        return plain_error(409 if error.reason == "already_running" else 400, str(error))
    except InvalidRequestError as error:
        return detailed_error(400, str(error), "BAD_REQUEST", [{"field": error.name}])
    except PermissionError as error:
        return forbidden(str(error))


def _exists(workspace: Workspace, operation: str, request: ApiRequest) -> bool:
    """Return whether the API has the operation for this source."""
    if operation != "get_newest_run":
        return True
    return workspace.projects.has_legacy_status(request.parameters["sourceId"])


def _check_permission(workspace: Workspace, operation: str, request: ApiRequest) -> None:
    connection_id = request.parameters.get("connectionId")
    if connection_id is not None:
        workspace.connection(connection_id)
    source_id = request.parameters.get("sourceId")
    message = workspace.denial(operation, connection_id, source_id)
    if source_id is not None and operation in _OPERATIONS_OF_PROJECTS:
        message = workspace.projects.get(source_id).deny or message
    if message is not None:
        raise PermissionError(message)


def _get_workspace(_: Workspace, __: ApiRequest) -> Answer:
    return json_answer(200, {"workspace": workspace_json()})


def _list_connections(workspace: Workspace, request: ApiRequest) -> Answer:
    query = request.query
    found = workspace.connections(query.get("sourceId"), query.get("destinationId"))
    page = page_of(found, query, size_key="pageSize")
    items = [connection_json(each, workspace.created_at) for each in page.items]
    paging: JsonObject = {"total": page.total}
    if page.has_next:
        paging["next"] = next_page_path(f"{API_ROOT}/retl-connections", query, page)
    return json_answer(200, {"data": items, "paging": paging})


def _list_sources(workspace: Workspace, request: ApiRequest) -> Answer:
    """List the sources. They are all on one page, unless the client asks for pages."""
    source_type = request.query.get("sourceType")
    found = [each for each in workspace.sources() if source_type in (None, each.source_type)]
    asks_for_pages = not {"page", "pageSize"}.isdisjoint(request.query)
    if not asks_for_pages:
        return json_answer(200, {"data": [source_json(e, workspace.created_at) for e in found]})
    page = page_of(found, request.query, size_key="pageSize")
    answer: JsonObject = {"data": [source_json(each, workspace.created_at) for each in page.items]}
    if page.has_next:
        next_page = next_page_path("/retl-sources", request.query, page)
        answer["paging"] = {"total": page.total, "next": next_page}
    return json_answer(200, answer)


def _list_destinations(workspace: Workspace, request: ApiRequest) -> Answer:
    page = page_of(workspace.destinations(), request.query, size_key=None)
    items = [destination_json(each, workspace.created_at) for each in page.items]
    path = f"{API_ROOT}/destinations"
    next_page = next_page_path(path, request.query, page) if page.has_next else None
    paging = {"total": page.total, "next": next_page}
    return json_answer(200, {"destinations": items, "paging": paging})


def _list_syncs(workspace: Workspace, request: ApiRequest) -> Answer:
    connection_id = request.parameters["connectionId"]
    now = workspace.clock()
    matches = _sync_filter(request.query, now)
    found = [sync for sync in workspace.visible_syncs(connection_id) if matches(sync)]
    page = page_of(found, request.query, size_key="per_page")
    path = f"{API_ROOT}/retl-connections/{connection_id}/syncs"
    next_page = next_page_path(path, request.query, page) if page.has_next else ""
    paging = {"total": page.total, "next": next_page}
    items = [sync_json(sync, now) for sync in page.items]
    return json_answer(200, {"syncs": items, "paging": paging})


def _sync_filter(query: Mapping[str, str], now: float) -> Callable[[Sync], bool]:
    status = query.get("status")
    if status is not None and status not in SYNC_STATUSES:
        raise InvalidRequestError("status", f"must be one of {', '.join(SYNC_STATUSES)}")
    after = date_time(query, "started_after", float("-inf"))
    before = date_time(query, "started_before", float("inf"))

    def matches(sync: Sync) -> bool:
        return after < sync.started_at < before and status in (None, sync.status(now))

    return matches


def _get_connection(workspace: Workspace, request: ApiRequest) -> Answer:
    connection = workspace.connection(request.parameters["connectionId"])
    return json_answer(200, connection_json(connection, workspace.created_at))


def _get_source(workspace: Workspace, request: ApiRequest) -> Answer:
    source = workspace.source(request.parameters["sourceId"])
    return json_answer(200, source_json(source, workspace.created_at))


def _get_destination(workspace: Workspace, request: ApiRequest) -> Answer:
    destination = workspace.destination(request.parameters["destinationId"])
    content = destination_json(destination, workspace.created_at)
    return json_answer(200, {"destination": content})


def _get_sync(workspace: Workspace, request: ApiRequest) -> Answer:
    connection = workspace.connection(request.parameters["connectionId"])
    try:
        sync = workspace.sync(connection.id, request.parameters["syncId"])
    except UnknownIdError:
        if workspace.unknown_sync_status == 404:  # noqa: PLR2004 - not found
            raise
        is_malformed = not _SYNC_ID.fullmatch(request.parameters["syncId"])
        text = "invalid run id" if is_malformed else "Internal Server Error"
        return message_error(workspace.unknown_sync_status, text)
    return json_answer(200, sync_json(sync, workspace.clock()))


def _start(workspace: Workspace, request: ApiRequest) -> Answer:
    sync_type = _sync_type(json_object(request.body))
    sync = workspace.start_sync(request.parameters["connectionId"], "api", sync_type)
    return json_answer(200, {"syncId": sync.id}, took_effect=True, affected=(sync.id,))


def _sync_type(body: JsonObject) -> SyncType:
    """Return the sync type. RudderStack runs a full sync if the start names none."""
    if "syncType" not in body:
        return "full"
    if body["syncType"] not in SYNC_TYPES:
        raise InvalidRequestError("syncType", f"must be one of {', '.join(SYNC_TYPES)}")
    sync_type: SyncType = body["syncType"]
    return sync_type


def _stop(workspace: Workspace, request: ApiRequest) -> Answer:
    asked = workspace.stop(request.parameters["connectionId"])
    return Answer(204, took_effect=True, affected=tuple(sync.id for sync in asked))


def _start_run(workspace: Workspace, request: ApiRequest) -> Answer:
    parameters = json_object(request.body).get("parameters", [])
    if not isinstance(parameters, list) or not all(isinstance(each, str) for each in parameters):
        raise InvalidRequestError("parameters", "must be a list of strings")
    source_id = request.parameters["sourceId"]
    run = workspace.projects.start_run(source_id, "api", parameters)
    return replace(_started(workspace.projects.get(source_id), run), took_effect=True)


def _started(project: Project, run: Run) -> Answer:
    """Return the answer to a start. Only a 200 has the id of the run."""
    affected = (run.id,)
    if project.start_status == 204:  # noqa: PLR2004 - no content
        return Answer(204, affected=affected)
    content = {"runId": run.id} if project.start_status == 200 else {}  # noqa: PLR2004 - OK
    return json_answer(project.start_status, content, affected=affected)


def _get_newest_run(workspace: Workspace, request: ApiRequest) -> Answer:
    run = workspace.projects.newest_run(request.parameters["sourceId"])
    return json_answer(200, run_json(run, workspace.clock()))


def _get_run(workspace: Workspace, request: ApiRequest) -> Answer:
    run = workspace.projects.run(request.parameters["sourceId"], request.parameters["runId"])
    return json_answer(200, run_json(run, workspace.clock()))


_OPERATIONS_OF_PROJECTS = ("start_run", "get_newest_run", "get_run")

_HANDLERS: Mapping[str, Callable[[Workspace, ApiRequest], Answer]] = {
    "get_workspace": _get_workspace,
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
    "get_newest_run": _get_newest_run,
    "get_run": _get_run,
}
