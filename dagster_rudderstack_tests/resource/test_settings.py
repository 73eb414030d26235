"""The settings of the resource, and where they go."""

import os
from typing import get_type_hints

import dagster as dg
import pytest

from dagster_rudderstack import (
    RudderStackResource,
)
from dagster_rudderstack.settings import PollPolicy, RequestPolicy, RetryPolicy, SyncPolicy
from dagster_rudderstack.sync.choices import SyncChoices
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.resource.world import resource_for


def test_defaults() -> None:
    """The resource has the defaults of the policies."""
    resource = RudderStackResource(access_token=dg.EnvVar("TOKEN"))
    requests, poll, sync, retry = RequestPolicy(), PollPolicy(), SyncPolicy(), RetryPolicy()

    assert resource.connect_timeout_seconds == requests.connect_timeout_seconds
    assert resource.read_timeout_seconds == requests.read_timeout_seconds
    assert resource.max_concurrent_requests == requests.max_concurrent_requests
    assert resource.max_requests_per_second == requests.max_requests_per_second
    assert resource.request_max_retries == retry.request_max_retries
    assert resource.poll_min_interval_seconds == poll.poll_min_interval_seconds
    assert resource.poll_max_interval_seconds == poll.poll_max_interval_seconds
    assert resource.poll_growth == poll.poll_growth
    assert resource.poll_jitter == poll.poll_jitter
    assert resource.sync_timeout_seconds == sync.sync_timeout_seconds
    assert resource.start_settling_seconds == sync.start_settling_seconds
    assert resource.outage_tolerance_seconds == sync.outage_tolerance_seconds


def test_sync_policy(server: LocalRudderStack) -> None:
    """The policy of a sync has all settings of the resource, or the overrides of a call."""
    resource = resource_for(
        server,
        request_max_retries=2,
        poll_min_interval_seconds=3.0,
        poll_max_interval_seconds=40.0,
        poll_growth=0.5,
        poll_jitter=0.6,
        sync_timeout_seconds=700,
        stop_on_timeout=False,
        outage_tolerance_seconds=800,
        start_settling_seconds=9,
        on_running_sync="attach",
        stop_on_termination="never",
        check_connection=False,
    )

    assert resource.sync_policy() == SyncPolicy(
        on_running_sync="attach",
        sync_timeout_seconds=700,
        stop_on_timeout=False,
        outage_tolerance_seconds=800,
        start_settling_seconds=9,
        stop_on_termination="never",
        check_connection=False,
        retry=RetryPolicy(request_max_retries=2),
        poll=PollPolicy(
            poll_min_interval_seconds=3,
            poll_max_interval_seconds=40,
            poll_growth=0.5,
            poll_jitter=0.6,
        ),
    )
    choices = SyncChoices(on_running_sync="fail", timeout_seconds=60, poll_interval_seconds=7)
    chosen = resource.sync_policy(choices)
    assert (chosen.on_running_sync, chosen.sync_timeout_seconds) == ("fail", 60)
    assert chosen.poll.interval_seconds(elapsed_seconds=3600, jitter=0.5) == 7


def test_client__settings() -> None:
    """The client has all settings for requests."""
    resource = RudderStackResource(
        access_token="token-of-the-test",
        region="eu",
        connect_timeout_seconds=3,
        read_timeout_seconds=4,
        max_concurrent_requests=5,
        max_requests_per_second=6.0,
        proxy_url="http://proxy:3128",
        extra_headers={"X-A": "b"},
    )
    with resource:
        settings = resource.get_client()._transport._settings

    assert settings.base_url == "https://api.eu.rudderstack.com/v2"
    assert settings.access_token == "token-of-the-test"
    assert settings.requests == RequestPolicy(
        connect_timeout_seconds=3,
        read_timeout_seconds=4,
        max_concurrent_requests=5,
        max_requests_per_second=6,
    )
    assert settings.proxy_url == "http://proxy:3128"
    assert settings.extra_headers == {"X-A": "b"}


def test_client__shared_throttle(server: LocalRudderStack) -> None:
    """All resources of a process for one API share one throttle."""
    with resource_for(server) as one, resource_for(server) as other:
        assert one.get_client()._transport._throttle is other.get_client()._transport._throttle


def test_settings__descriptions() -> None:
    """Every setting has a description, and the secret ones are marked as secret."""
    fields = RudderStackResource.model_fields
    secret = {
        name
        for name, info in fields.items()
        if isinstance(info.json_schema_extra, dict)
        and info.json_schema_extra.get("dagster__is_secret")
    }

    assert all((info.description or "").endswith(".") for info in fields.values())
    assert secret == {"access_token", "proxy_url", "extra_headers"}


def test_settings__unset_secrets() -> None:
    """A secret that is not set has no default in Dagster, which would show a mask instead of it."""
    fields = RudderStackResource.to_fields_dict()

    assert not fields["proxy_url"].default_provided
    assert not fields["extra_headers"].default_provided
    assert fields["region"].default_provided


def test_type_hints() -> None:
    """The type hints of the methods can be resolved at run time."""
    for name in ("start_sync", "get_sync", "list_syncs", "stop_sync", "poll_sync", "sync_and_poll"):
        assert "return" in get_type_hints(getattr(RudderStackResource, name)), name


def test_env_var__set_later(server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is read when the resource is used, not when it is created."""
    monkeypatch.delenv("LATE_TOKEN", raising=False)
    resource = RudderStackResource(access_token=dg.EnvVar("LATE_TOKEN"), api_url=server.url)
    monkeypatch.setitem(os.environ, "LATE_TOKEN", server.access_token)

    with resource as rudderstack:
        assert rudderstack.access_token == server.access_token
        assert rudderstack.list_connections()
