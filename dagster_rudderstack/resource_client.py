"""The client of a resource: created with the first request, and shared by all threads."""

import os
from typing import TYPE_CHECKING, Any, Optional

import dagster as dg
from dagster import get_dagster_logger
from pydantic import PrivateAttr

from dagster_rudderstack.api.forks import ForkSafeLock
from dagster_rudderstack.api.throttle import shared_throttle
from dagster_rudderstack.api.validation import api_base_url, is_loopback_url
from dagster_rudderstack.resource_settings import (
    ResourceSettings,
    policy_from,
    resolved,
    secrets_in_code,
)
from dagster_rudderstack.settings import RequestPolicy

if TYPE_CHECKING:
    from typing_extensions import Self

    from dagster_rudderstack.api.client import RudderStackClient

__all__ = ["ResourceClient"]

_LOCK = ForkSafeLock()
"""Held while a client is created or given up."""

_LOG = get_dagster_logger("rudderstack")


class ResourceClient(ResourceSettings):
    """A resource with its client."""

    _client: Optional["RudderStackClient"] = PrivateAttr(default=None)
    _process: int = PrivateAttr(default=0)
    _entered: Optional["Self"] = PrivateAttr(default=None)
    _blocks: int = PrivateAttr(default=0)
    _warned: bool = PrivateAttr(default=False)

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
