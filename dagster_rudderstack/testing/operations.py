"""The operations of the API: their methods, paths and names."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

API_ROOT = "/v2"
UNKNOWN_OPERATION = "unknown"


@dataclass(frozen=True)
class Operation:
    """One endpoint. Faults and the request log use its `name`.

    `operation_id` is its name in RudderStack's OpenAPI document. Faults accept it as well.
    """

    name: str
    operation_id: str
    method: str
    path: str

    def match(self, segments: Sequence[str]) -> dict[str, str] | None:
        """Return the path parameters if the segments match this path, else None."""
        template = self.path.strip("/").split("/")
        if len(template) != len(segments):
            return None
        parameters = {}
        for expected, found in zip(template, segments, strict=True):
            if expected.startswith("{"):
                parameters[expected.strip("{}")] = unquote(found)
            elif expected != found:
                return None
        return parameters if all(parameters.values()) else None


OPERATIONS = (
    Operation("get_workspace", "getWorkspace", "GET", "/workspace"),
    Operation("list_connections", "listRetlConnections", "GET", "/retl-connections"),
    Operation("get_connection", "getRetlConnection", "GET", "/retl-connections/{connectionId}"),
    Operation("start", "startRetlSync", "POST", "/retl-connections/{connectionId}/start"),
    Operation("stop", "stopRetlSync", "POST", "/retl-connections/{connectionId}/stop"),
    Operation("list_syncs", "listRetlSyncs", "GET", "/retl-connections/{connectionId}/syncs"),
    Operation("get_sync", "getRetlSync", "GET", "/retl-connections/{connectionId}/syncs/{syncId}"),
    Operation("list_sources", "listRetlSources", "GET", "/retl-sources"),
    Operation("get_source", "getRetlSource", "GET", "/retl-sources/{sourceId}"),
    Operation("list_destinations", "listDestinations", "GET", "/destinations"),
    Operation("get_destination", "getDestination", "GET", "/destinations/{destinationId}"),
    Operation("start_run", "startSourceRun", "POST", "/sources/{sourceId}/start"),
    Operation("get_newest_run", "getSourceStatus", "GET", "/sources/{sourceId}/status"),
    Operation("get_run", "getSourceRunStatus", "GET", "/sources/{sourceId}/runs/{runId}/status"),
)

_NAMES = {alias: each.name for each in OPERATIONS for alias in (each.name, each.operation_id)}


def operation_name(name: str) -> str:
    """Return the name of an operation, given its name or its OpenAPI id.

    Raises ValueError for any other text: a misspelled rule must not silently match nothing.
    """
    if name == UNKNOWN_OPERATION:
        return name
    try:
        return _NAMES[name]
    except KeyError:
        known = ", ".join(each.name for each in OPERATIONS)
        raise ValueError(f"Unknown operation {name!r}. Known: {known}") from None


@dataclass(frozen=True)
class Route:
    """The operation of a request. It is None if the API has no such path or method."""

    operation: Operation | None
    parameters: dict[str, str]
    allowed_methods: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the operation, or "unknown"."""
        return self.operation.name if self.operation else UNKNOWN_OPERATION


NOWHERE = Route(None, {})


def find_route(method: str, raw_path: str) -> Route:
    """Find the operation of a path, which is still percent-encoded: an id may contain "%2F"."""
    if not raw_path.startswith(f"{API_ROOT}/"):
        return NOWHERE
    segments = raw_path.removeprefix(f"{API_ROOT}/").split("/")
    matches = []
    for operation in OPERATIONS:
        parameters = operation.match(segments)
        if parameters is not None:
            matches.append((operation, parameters))
    for operation, parameters in matches:
        if operation.method == method:
            return Route(operation, parameters)
    return Route(None, {}, tuple(sorted({operation.method for operation, _ in matches})))
