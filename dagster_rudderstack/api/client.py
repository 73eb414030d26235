"""The API: method, path and model of each endpoint. One call is one request, never repeated here.

The errors of a call are in `errors`. Reference: RudderStack's Reverse ETL Connections API, and the
APIs of Profiles and of ETL sources.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel

from dagster_rudderstack.api.http_client import ClientSettings
from dagster_rudderstack.api.models import Connection, Destination, Source, Sync, Workspace
from dagster_rudderstack.api.paging import (
    CONNECTIONS,
    DESTINATIONS,
    SOURCES,
    Listing,
    Page,
    page_of,
    pages_from,
)
from dagster_rudderstack.api.responses import parsed, unexpected
from dagster_rudderstack.api.source_runs import SourceRun
from dagster_rudderstack.api.throttle import Throttle
from dagster_rudderstack.api.transport import Transport
from dagster_rudderstack.api.user_request import (
    Params,
    checked_json,
    checked_method,
    checked_params,
    checked_path,
)
from dagster_rudderstack.api.validation import (
    checked_choice,
    checked_id,
    checked_sync_type,
    is_whole,
    quoted_id,
)
from dagster_rudderstack.errors import InvalidSettingError, UnexpectedResponseError
from dagster_rudderstack.settings import DEFAULT_SYNC_TYPE, MAX_PAGE_SIZE
from dagster_rudderstack.text import shown

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ClientSettings", "RudderStackClient"]

SyncFilter = Literal["running", "succeeded", "failed"]

_Model = TypeVar("_Model", bound=BaseModel)


class RudderStackClient:
    """A client of the API. Threads may share it.

    Close it, or use `with`. Otherwise its connections are closed when nothing refers to it.

    Args:
        settings: How to reach the API.
        throttle: Limits the requests of this process. None creates one for this client only.

    Raises:
        InvalidSettingError: If the token must not be sent to the address, the token or a header
            cannot be sent, the CA bundle cannot be read, or the proxy cannot be used.
    """

    def __init__(self, settings: ClientSettings, *, throttle: Throttle | None = None) -> None:
        self._transport = Transport(settings, throttle)

    def __repr__(self) -> str:
        return f"RudderStackClient({self._transport.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Send no more requests, and close the connections when those under way have ended."""
        self._transport.close()

    # --- syncs

    def start_sync(self, connection_id: str, sync_type: str = DEFAULT_SYNC_TYPE) -> str:
        """Start a sync and return its id. It does not wait.

        Args:
            connection_id: The connection.
            sync_type: `incremental` or `full`.

        Raises:
            ConflictError: If a sync is running (409).
            ApiError: For any other error. A sync may have been started, see `TransportError`.
        """
        # Without a type, RudderStack runs a full sync.
        body = {"syncType": checked_sync_type(sync_type)}
        path = f"{_connection_path(connection_id)}/start"
        return self._start(path, body, "syncId")

    def stop_sync(self, connection_id: str) -> None:
        """Ask RudderStack to stop the running sync of the connection. It does not wait."""
        # An empty object is what RudderStack's own client sends.
        self._transport.send("POST", f"{_connection_path(connection_id)}/stop", body={})

    def get_sync(self, connection_id: str, sync_id: str) -> Sync:
        """Return the details of one sync.

        Raises:
            UnexpectedResponseError: If the answer is about another sync, which is a mistake of a
                gateway. The data of that sync are never reported.
        """
        path = f"{_connection_path(connection_id)}/syncs/{quoted_id(sync_id, 'sync_id')}"
        sync = self._get(path, Sync)
        if not sync.has_usable_id:
            raise unexpected("GET", path, "its id is not usable")
        if sync.id != sync_id.strip():
            raise UnexpectedResponseError(
                f"RudderStack's answer to GET {path} is about another sync, {sync.id!r}.",
                method="GET",
                path=path,
            )
        return sync

    def list_syncs(  # noqa: PLR0913 - the filters of the endpoint
        self,
        connection_id: str,
        *,
        status: str | None = None,
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        per_page: int = MAX_PAGE_SIZE,
        limit: int | None = None,
    ) -> list[Sync]:
        """Return the syncs of a connection from all pages, newest first.

        Broken ones are among them: with an unknown status, or without a usable id, see
        `Sync.has_usable_id`.

        Args:
            connection_id: The connection.
            status: Only syncs with this status: `running`, `succeeded` or `failed`.
            started_after: Only syncs started after this time. A naive time is UTC.
            started_before: Only syncs started before this time. A naive time is UTC.
            per_page: Syncs per page, 1 to 100.
            limit: The largest number of syncs. None returns all.

        Raises:
            InvalidSettingError: If a filter or a limit is invalid. No request is sent.
            ApiError: If the list cannot be read.
        """
        if status is not None:
            checked_choice(status, SyncFilter, "status")
        path = f"{_connection_path(connection_id)}/syncs"
        query = {
            "status": status,
            "started_after": _utc_text(started_after, "started_after"),
            "started_before": _utc_text(started_before, "started_before"),
            "per_page": _page_size(per_page, limit),
        }
        return self._list(_SyncListing(path, "syncs", Sync), query, limit)

    # --- runs of Profiles projects and of ETL sources

    def start_source_run(self, source_id: str, parameters: Sequence[str] = ()) -> str:
        """Start a run of a Profiles project or of an ETL source, and return its id.

        It does not wait.

        Args:
            source_id: The project or source.
            parameters: The parameters of a Profiles run, see `ProfilesParameters.to_api`. An ETL
                source has none.

        Raises:
            ConflictError: If a run of the source is running (409). It does not say which.
            ApiError: For any other error. A run may have been started, see `TransportError`.
        """
        body = {"parameters": list(parameters)} if parameters else None
        return self._start(f"{_source_path(source_id)}/start", body, "runId")

    def get_source_run(self, source_id: str, run_id: str) -> SourceRun:
        """Return one run.

        Raises:
            UnexpectedResponseError: If the answer is about another run, which is a mistake of a
                gateway. The data of that run are never reported.
        """
        path = f"{_source_path(source_id)}/runs/{quoted_id(run_id, 'run_id')}/status"
        # RudderStack documents an answer without the id. Go writes "" for a text that is absent.
        run = self._get(path, SourceRun, id=run_id.strip())
        if run.id != run_id.strip():
            raise UnexpectedResponseError(
                f"RudderStack's answer to GET {path} is about another run, {run.id!r}.",
                method="GET",
                path=path,
            )
        return run

    def get_newest_source_run(self, source_id: str) -> SourceRun:
        """Return the newest run of a source, from an endpoint that older clients have used.

        Raises:
            NotFoundError: If the source has no run, or RudderStack no such endpoint any more.
            UnexpectedResponseError: Also if the answer has no usable id.
        """
        path = f"{_source_path(source_id)}/status"
        run = self._get(path, SourceRun)
        if not run.has_usable_id:
            raise unexpected("GET", path, "its id is not usable")
        return run

    # --- the workspace: connections, sources, destinations

    def get_workspace(self) -> Workspace:
        """Return the workspace that the access token belongs to.

        Raises:
            NotFoundError: If the deployment is too old to have this endpoint.
        """
        answer = self._transport.request("GET", "/workspace")
        return parsed(answer.get("workspace"), Workspace, "GET", "/workspace")

    def get_connection(self, connection_id: str) -> Connection:
        """Return one connection."""
        return self._get(_connection_path(connection_id), Connection)

    def list_connections(
        self, *, source_id: str | None = None, destination_id: str | None = None
    ) -> list[Connection]:
        """Return the Reverse ETL connections of the workspace, from all pages."""
        query = dict(CONNECTIONS.query)
        if source_id is not None:
            query["sourceId"] = checked_id(source_id, "source_id")
        if destination_id is not None:
            query["destinationId"] = checked_id(destination_id, "destination_id")
        return self._list(CONNECTIONS, query)

    def get_source(self, source_id: str) -> Source:
        """Return one source."""
        return self._get(f"/retl-sources/{quoted_id(source_id, 'source_id')}", Source)

    def list_sources(self) -> list[Source]:
        """Return the Reverse ETL sources of the workspace, from all pages."""
        return self._list(SOURCES, SOURCES.query)

    def list_destinations(self) -> list[Destination]:
        """Return the destinations of the workspace, from all pages."""
        return self._list(DESTINATIONS, DESTINATIONS.query)

    # --- everything else

    def request(
        self, method: str, path: str, *, params: Params | None = None, json: object = None
    ) -> Any:
        """Send any request, and return the JSON of the answer. None if the answer is empty.

        `RudderStackResource.request` describes the arguments.

        Raises:
            InvalidSettingError: If an argument is invalid. No request is sent.
            ApiError: For any other answer than 2xx, and if there is none.
        """
        method = checked_method(method)
        self._transport.check_shows_no_token(path)
        return self._transport.request_any(
            method,
            checked_path(path),
            params=checked_params(params),
            body=checked_json(json, method),
        )

    def get_page(self, listing: Listing[Any], query: Mapping[str, str]) -> Page:
        """Return one page of a list."""
        answer = self._transport.request("GET", listing.path, params=query)
        return page_of(answer, listing)

    def _start(self, path: str, body: object, id_field: str) -> str:
        answer = self._transport.request("POST", path, body=body)
        started_id = answer.get(id_field)
        try:
            return checked_id(started_id, id_field)
        except InvalidSettingError:
            wrong = shown(started_id) if isinstance(started_id, str) else type(started_id).__name__
            what = (
                f"no {id_field}" if started_id is None else f"{id_field} is not an id, but {wrong}"
            )
            raise unexpected("POST", path, what) from None

    def _get(self, path: str, model: type[_Model], **defaults: object) -> _Model:
        answer = self._transport.request("GET", path)
        missing = {name: value for name, value in defaults.items() if not answer.get(name)}
        return parsed({**answer, **missing}, model, "GET", path)

    def _list(
        self,
        listing: Listing[_Model],
        query: Mapping[str, str | int | None],
        limit: int | None = None,
    ) -> list[_Model]:
        if limit is not None and limit <= 0:
            return []
        return list(islice(map(listing.parse, self._items(listing, query)), limit))

    def _items(self, listing: Listing[Any], query: Mapping[str, str | int | None]) -> Iterator[Any]:
        params = {name: str(value) for name, value in query.items() if value is not None}
        for page in pages_from(lambda each: self.get_page(listing, each), listing, params):
            yield from page.items


class _SyncListing(Listing[Sync]):
    """The syncs of a connection. A broken one must not hide the others."""

    def parse(self, item: object) -> Sync:
        fields = item if isinstance(item, dict) else {}
        status = fields.get("status")
        if not isinstance(status, str):
            # It means as little as a status that is unknown.
            status = "(no status)"
        return super().parse({"id": None, **fields, "status": status})


def _connection_path(connection_id: str) -> str:
    return f"/retl-connections/{quoted_id(connection_id, 'connection_id')}"


def _source_path(source_id: str) -> str:
    return f"/sources/{quoted_id(source_id, 'source_id')}"


def _page_size(per_page: int, limit: int | None) -> int:
    if not (is_whole(per_page) and 1 <= per_page <= MAX_PAGE_SIZE):
        raise InvalidSettingError(
            f"per_page {per_page!r}: expected a whole number from 1 to {MAX_PAGE_SIZE}."
        )
    if limit is None:
        return per_page
    if not (is_whole(limit) and limit >= 0):
        raise InvalidSettingError(
            f"limit {limit!r}: expected a whole number from 0, or None for all."
        )
    return max(1, min(per_page, limit))


def _utc_text(moment: datetime | None, what: str) -> str | None:
    if moment is None:
        return None
    # A date has no time zone, and a text may mean anything.
    if not isinstance(moment, datetime):
        raise InvalidSettingError(
            f"{what} {moment!r}: expected a datetime, as in "
            "datetime(2026, 1, 31, tzinfo=timezone.utc)."
        )
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    text = aware.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
