"""How a command reaches RudderStack: token, region, client and retries."""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TextIO, TypeVar

from pydantic import ValidationError

from dagster_rudderstack.api.client import RudderStackClient
from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.api.paging import MAX_CONCURRENT_READS, WORKSPACE_LISTS, Listing
from dagster_rudderstack.api.validation import api_base_url, check_one_address, checked_token
from dagster_rudderstack.cli.arguments import (
    API_URL_VARIABLE,
    PROGRAM,
    REGION_VARIABLE,
    TOKEN_VARIABLE,
)
from dagster_rudderstack.cli.console import Console
from dagster_rudderstack.discovery.fetch import WorkspaceObjects, fetch_objects
from dagster_rudderstack.errors import ApiError, InvalidSettingError
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.resource_settings import setting_error
from dagster_rudderstack.settings import API_URLS
from dagster_rudderstack.sync.recorder import Log
from dagster_rudderstack.sync.retry import call_with_retries
from dagster_rudderstack.text import nearest

__all__ = ["Access", "Surroundings"]

MAX_RETRIES = 2
"""How often a command retries a request after a temporary error, since a person waits for it."""

_NAMES = {
    "access_token": TOKEN_VARIABLE,
    "api_url": "--api-url",
    "ca_bundle": "--ca-bundle",
    "on_running_sync": "--on-running-sync",
    "region": "--region",
}
"""The settings in messages, and what a command has instead."""

_VARIABLES = {"api_url": API_URL_VARIABLE, "region": REGION_VARIABLE}
"""What it has instead if neither is an option."""

# A region is a word as well.
_SETTING = re.compile(
    r"\b(?:access_token|api_url|ca_bundle|on_running_sync"
    r"|(?:(?<=^)|(?<=Both )|(?<=Use ))region)\b(?!=)"
)

_T = TypeVar("_T")


@dataclass(frozen=True)
class Surroundings:
    """What a command gets from its process.

    Attributes:
        environ: The environment variables.
        hosts: The address of each region.
        out: Where results go.
        err: Where warnings and errors go.
        sleep: Waits for some seconds.
        monotonic: Seconds that only grow.
        jitter: A random number from 0.0 to 1.0.
        columns: The width of the terminal.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    hosts: Mapping[str, str] = field(default_factory=lambda: API_URLS)
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    sleep: Callable[[float], object] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    columns: Callable[[], int] = lambda: shutil.get_terminal_size().columns


class Access:
    """The workspace that a command works with. Use it in a `with` statement.

    An address that an option sets takes precedence over those of environment variables.

    Args:
        options: The options of the command.
        surroundings: The environment variables and the hosts.
        console: Gets the warnings about retried requests.

    Raises:
        InvalidSettingError: If the region or the address is wrong.
    """

    def __init__(
        self, options: argparse.Namespace, surroundings: Surroundings, console: Console
    ) -> None:
        self.surroundings = surroundings
        self.console = console
        self._options = options
        self._resources: list[RudderStackResource] = []
        region, self.api_url = options.region, options.api_url
        is_option = region is not None or self.api_url is not None
        self._names = dict(_NAMES if is_option else {**_NAMES, **_VARIABLES})
        if region is None and self.api_url is None:
            region = surroundings.environ.get(REGION_VARIABLE) or None
            self.api_url = surroundings.environ.get(API_URL_VARIABLE) or None
        self.region = None if self.api_url else region or "us"
        try:
            check_one_address(region, self.api_url)
            api_base_url(self.region, self.api_url)
        except InvalidSettingError as error:
            raise InvalidSettingError(self.named(str(error))) from None

    def __enter__(self) -> Access:  # noqa: PYI034 - Python 3.10's typing has no Self
        return self

    def __exit__(self, *_: object) -> None:
        for resource in self._resources:
            resource.close()

    def named(self, message: str) -> str:
        """Return a message with options and variables instead of the names of settings."""
        return _SETTING.sub(lambda found: self._names[found[0]], message)

    def checked_access_token(self) -> str:
        """Return the access token.

        Raises:
            InvalidSettingError: If it is not set, or cannot be sent.
        """
        token = self.surroundings.environ.get(TOKEN_VARIABLE, "")
        if not token.strip():
            raise InvalidSettingError(
                f"The environment variable {TOKEN_VARIABLE} is not set, or empty. Set it to a "
                "service access token of the RudderStack workspace."
            )
        return checked_token(token)

    def address(self, region: str | None = None) -> str:
        """Return the address of a region, or the one that the command uses."""
        return self.api_url or self.surroundings.hosts[region or self.region or "us"]

    def resource(self, region: str | None = None, **settings: Any) -> RudderStackResource:
        """Return a resource for a region, or for the one that the command uses.

        Raises:
            InvalidSettingError: If the token or a setting is wrong.
        """
        try:
            made = RudderStackResource(
                access_token=self.checked_access_token(),
                api_url=self.address(region),
                ca_bundle=self._options.ca_bundle,
                **{"request_max_retries": MAX_RETRIES, "stop_on_termination": "always", **settings},
            )
        except ValidationError as error:
            raise setting_error(error) from None
        self._resources.append(made)
        return made

    @cached_property
    def own(self) -> RudderStackResource:
        """The resource for the region that the command uses."""
        return self.resource()

    @property
    def client(self) -> RudderStackClient:
        """The client. Its calls are not retried."""
        return self.own.get_client()

    # --- requests

    def ask(self, call: Callable[[RudderStackClient], _T]) -> _T:
        """Make a safe request, and repeat it after temporary errors."""
        return self._retried(lambda: call(self.client))

    def objects(
        self, listings: Sequence[Listing[Any]] = WORKSPACE_LISTS, log: Log | None = None
    ) -> WorkspaceObjects:
        """Return the connections, the sources and the destinations of the workspace.

        Args:
            listings: The lists to read. The others are empty.
            log: Gets what could not be read. None prints it.
        """
        return fetch_objects(
            self.client,
            listings,
            retried=lambda call, _: self._retried(call),
            log=log or self.console,
        )

    def newest_syncs(self, connection_ids: Sequence[str]) -> dict[str, Sync | ApiError | None]:
        """Return the newest sync of each connection, or why its syncs cannot be read.

        None means that the connection has had no sync.
        """

        def newest(connection_id: str) -> Sync | ApiError | None:
            try:
                found = self.ask(lambda client: client.list_syncs(connection_id, limit=1))
            except ApiError as error:
                return error
            return found[0] if found else None

        pool = ThreadPoolExecutor(MAX_CONCURRENT_READS, "rudderstack-syncs")
        try:
            return dict(zip(connection_ids, pool.map(newest, connection_ids), strict=True))
        finally:
            # After an interrupt, do not wait for the requests that were not sent.
            pool.shutdown(wait=False, cancel_futures=True)

    def _retried(self, call: Callable[[], _T]) -> _T:
        retry = self.own.sync_policy().retry
        return call_with_retries(call, retry, self.console, sleep=self.surroundings.sleep)

    def hint_for(self, connection_id: str) -> str:
        """Return how to find the id of a connection. Empty if this one exists."""
        where = f"`{PROGRAM} connections` lists the ids."
        try:
            known = [connection.id for connection in self.client.list_connections()]
        except ApiError:
            return where
        if connection_id in known:
            return ""
        near = nearest(connection_id, known)
        return f"Did you mean {near}? {where}" if near else where
