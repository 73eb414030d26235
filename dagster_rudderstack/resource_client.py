"""The client of a resource, and its single requests.

The client is created with the first request, and shared by all threads.
"""

import os
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Optional, TypeVar

import dagster as dg
from dagster import get_dagster_logger
from pydantic import PrivateAttr

from dagster_rudderstack.api.forks import ForkSafeLock
from dagster_rudderstack.api.models import Connection, Sync
from dagster_rudderstack.api.profiles import ProfilesParameters, api_parameters
from dagster_rudderstack.api.source_runs import SourceRun
from dagster_rudderstack.api.throttle import shared_throttle
from dagster_rudderstack.api.user_request import SAFE_METHODS, Params, checked_method
from dagster_rudderstack.api.validation import api_base_url, checked_sync_type, is_loopback_url
from dagster_rudderstack.resource_settings import (
    ResourceSettings,
    policy_from,
    resolved,
    secrets_in_code,
)
from dagster_rudderstack.settings import DEFAULT_SYNC_TYPE, RequestPolicy, SyncType
from dagster_rudderstack.sync.retry import call_with_retries
from dagster_rudderstack.vendor_names import RENAMED_METHODS

if TYPE_CHECKING:
    from typing_extensions import Self

    from dagster_rudderstack.api.client import RudderStackClient

__all__ = ["ResourceClient"]

_LOCK = ForkSafeLock()
"""Held while a client is created or given up."""

_LOG = get_dagster_logger("rudderstack")

_T = TypeVar("_T")


class ResourceClient(ResourceSettings):
    """A resource with its client, and the methods that send one request."""

    _client: Optional["RudderStackClient"] = PrivateAttr(default=None)
    _process: int = PrivateAttr(default=0)
    _entered: Optional["Self"] = PrivateAttr(default=None)
    _blocks: int = PrivateAttr(default=0)
    _warned: bool = PrivateAttr(default=False)
    _started: dict[str, SyncType] = PrivateAttr(default_factory=dict)
    """The sync types of the syncs that `start_sync` has started."""

    def get_client(self) -> "RudderStackClient":
        """Return the client of the API. Its calls are not retried."""
        with _LOCK:
            if self._client is not None and self._process != os.getpid():
                # It belongs to the process that has forked this one.
                self._client = None
            if self._client is None:
                self._client = self._new_client()
                self._process = os.getpid()
            return self._client

    def _new_client(self, patience_seconds: int | None = None) -> "RudderStackClient":
        # Imported late, since it imports httpx, which definitions do not need to load.
        from dagster_rudderstack.api.client import (  # noqa: PLC0415 - see above
            ClientSettings,
            RudderStackClient,
        )

        known = resolved(self)
        base_url = api_base_url(known.region, known.api_url)
        requests = policy_from(RequestPolicy, known.__dict__)
        if patience_seconds is not None:
            requests = requests.within(patience_seconds)
        settings = ClientSettings(
            base_url=base_url,
            access_token=known.access_token,
            requests=requests,
            ca_bundle=known.ca_bundle,
            proxy_url=known.proxy_url,
            extra_headers=known.extra_headers,
            user_agent=f"dagster/{dg.__version__}",
        )
        throttle = shared_throttle(
            base_url,
            max_concurrent=requests.max_concurrent_requests,
            max_per_second=requests.max_requests_per_second,
        )
        return RudderStackClient(settings, throttle=throttle)

    def close(self) -> None:
        """Close the connections, when the requests under way have ended.

        Its own later requests open new ones. A step that still waits for a sync gets an error.
        """
        with _LOCK:
            if self._client is not None:
                self._client.close()
                self._client = None

    def get_resource_definition(self) -> Any:
        """Return Dagster's definition. Logs a warning if secrets would be stored with it."""
        in_code = secrets_in_code(self)
        if in_code and not self._warned and not is_loopback_url(self.api_url):
            self._warned = True
            _LOG.warning(
                f"Secrets of a RudderStackResource are written in code: {', '.join(in_code)}. "
                "Dagster stores them in its database. Use EnvVar, such as "
                "EnvVar('RUDDERSTACK_ACCESS_TOKEN'), or {{ env.RUDDERSTACK_ACCESS_TOKEN }} in YAML."
            )
        return super().get_resource_definition()

    def __enter__(self) -> "Self":
        """Use the resource outside Dagster. Environment variables are read now.

        Several threads may do so at the same time. Then the first one reads the variables, and the
        last one to leave closes the connections.
        """
        with _LOCK:
            if self._entered is None:
                self._entered = resolved(self)
            self._blocks += 1
            return self._entered

    def __exit__(self, *_: object) -> None:
        with _LOCK:
            self._blocks -= 1
            entered = self._entered
            if self._blocks or entered is None:
                return
            self._entered = None
        entered.close()

    def __copy__(self) -> "Self":
        """Return a copy with a client of its own. `model_copy` uses it."""
        copied = super().__copy__()
        for name, value in (("_client", None), ("_entered", None), ("_blocks", 0)):
            setattr(copied, name, value)
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> "Self":
        """Return a copy with a client of its own. The settings do not change."""
        return self.__copy__()

    def __getstate__(self) -> Any:
        """Refuse to be pickled."""
        raise TypeError("cannot pickle a RudderStackResource: the pickle would have its token")

    if not TYPE_CHECKING:
        # mypy would no longer find a misspelled name.
        def __getattr__(self, name: str) -> Any:
            """Say what to use instead of a method of RudderStack's own package."""
            if name in RENAMED_METHODS:
                raise AttributeError(
                    f"A RudderStackResource has no {name!r}. {RENAMED_METHODS[name]}"
                )
            return super().__getattr__(name)

    # --- requests

    def start_sync(self, connection_id: str, sync_type: str = DEFAULT_SYNC_TYPE) -> str:
        """Start a sync and return its id. It does not wait, and the request is never repeated.

        The sync is not recorded, so a retry of the step starts another one. A sync that
        `sync_and_poll` starts is resumed.

        Args:
            connection_id: The connection.
            sync_type: `incremental` or `full`.

        Raises:
            ConflictError: If a sync of the connection is running (409).
            RudderStackError: For any other error. If no answer came, the sync may have been
                started. `sync_and_poll` finds out.
        """
        sync_id = self.get_client().start_sync(connection_id, sync_type)
        self._started[sync_id] = checked_sync_type(sync_type)
        return sync_id

    def stop_sync(self, connection_id: str) -> None:
        """Ask RudderStack to stop the running sync of the connection. It does not wait."""
        self._retried(lambda client: client.stop_sync(connection_id))

    def get_sync(self, connection_id: str, sync_id: str) -> Sync:
        """Return the details of one sync."""
        return self._retried(lambda client: client.get_sync(connection_id, sync_id))

    def list_syncs(
        self,
        connection_id: str,
        *,
        status: str | None = None,
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        limit: int | None = None,
    ) -> list[Sync]:
        """Return the syncs of a connection, newest first.

        Args:
            connection_id: The connection.
            status: Only syncs with this status: `running`, `succeeded` or `failed`.
            started_after: Only syncs started after this time. A naive time is UTC.
            started_before: Only syncs started before this time. A naive time is UTC.
            limit: The largest number of syncs. None returns all.
        """
        return self._retried(
            lambda client: client.list_syncs(
                connection_id,
                status=status,
                started_after=started_after,
                started_before=started_before,
                limit=limit,
            )
        )

    def get_connection(self, connection_id: str) -> Connection:
        """Return one connection."""
        return self._retried(lambda client: client.get_connection(connection_id))

    def list_connections(
        self, *, source_id: str | None = None, destination_id: str | None = None
    ) -> list[Connection]:
        """Return the Reverse ETL connections of the workspace.

        Args:
            source_id: Only those of this source.
            destination_id: Only those of this destination.
        """
        return self._retried(
            lambda client: client.list_connections(
                source_id=source_id, destination_id=destination_id
            )
        )

    def start_source_run(self, source_id: str, parameters: ProfilesParameters | None = None) -> str:
        """Start a run of a Profiles project or an ETL source, and return its id.

        It does not wait, and the request is never repeated. The run is not recorded, so a retry of
        the step starts another one. A run that `run_source_and_poll` starts is resumed.

        Args:
            source_id: The project or source.
            parameters: What a run of a Profiles project builds. None builds everything.

        Raises:
            ConflictError: If a run of the source is running (409).
            RudderStackError: For any other error. If no answer came, the run may have been started.
        """
        return self.get_client().start_source_run(source_id, api_parameters(parameters))

    def get_source_run(self, source_id: str, run_id: str) -> SourceRun:
        """Return one run of a Profiles project or an ETL source."""
        return self._retried(lambda client: client.get_source_run(source_id, run_id))

    def request(
        self, method: str, path: str, *, params: Params | None = None, json: Any = None
    ) -> Any:
        """Send any request to the API, for what the other methods do not offer.

        It is sent as theirs are: with the token, the proxy and the timeouts of the resource, and
        with the same limits and errors. An answer may have up to 16 MB.

        GET and HEAD are retried after temporary errors. All other methods are sent exactly once. If
        no answer comes to such a request, it is unknown whether it had an effect, unless
        `TransportError.request_sent` is False. A sync that is started like this is not resumed by
        a retry of the step: use `sync_and_poll`.

        Args:
            method: GET, HEAD, POST, PUT, PATCH or DELETE.
            path: The path in RudderStack's reference, without the version: `/retl-sources`.
            params: The query. None leaves a parameter out, and a list repeats it. Like the path, it
                must not hold a secret, since httpx logs addresses.
            json: The body. None sends no body.

        Returns:
            The JSON of the answer: an object, a list or any other value. None if the answer is
            empty, as that to HEAD is.

        Raises:
            InvalidSettingError: If an argument is invalid. No request is sent.
            RudderStackError: For any other answer than 2xx with JSON, and if there is none.
        """

        def call(client: "RudderStackClient") -> Any:
            return client.request(method, path, params=params, json=json)

        is_safe = checked_method(method) in SAFE_METHODS
        return self._retried(call) if is_safe else call(self.get_client())

    def _retried(self, call: Callable[["RudderStackClient"], _T]) -> _T:
        client = self.get_client()
        return call_with_retries(lambda: call(client), self.sync_policy().retry, _LOG)
