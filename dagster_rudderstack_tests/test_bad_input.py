"""The table of bad input: each row says what is given, and what the message says of it.

What can be seen to be wrong is refused before a request is sent; the rest is RudderStack's word,
with a hint at what to do.
"""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from pydantic import ValidationError

from dagster_rudderstack import (
    RudderStackResource,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_op,
    rudderstack_sync_op,
)
from dagster_rudderstack.errors import (
    AuthenticationError,
    InvalidSettingError,
    NotFoundError,
    PermissionDeniedError,
    RudderStackError,
)
from dagster_rudderstack.testing import LocalRudderStack

NAN = float("nan")
NO_ID = "is not an id of RudderStack: expected letters, digits"
MAY_BE_ZERO = {"outage_tolerance_seconds", "start_settling_seconds"}
INTERVALS = [name for name in RudderStackResource.model_fields if name.endswith("_seconds")]


@pytest.fixture
def server(local_rudderstack: LocalRudderStack) -> LocalRudderStack:
    """A RudderStack with one connection."""
    local_rudderstack.add_connection("crm")
    return local_rudderstack


@pytest.fixture
def resource(server: LocalRudderStack) -> RudderStackResource:
    """A resource for it."""
    return RudderStackResource(access_token=server.access_token, api_url=server.url)


# --- ids: wherever one is given

BAD_IDS = {
    "empty": ("", "connection_id is empty. Copy it from the RudderStack dashboard"),
    "blank": ("  ", "connection_id is blank. Copy it from the RudderStack dashboard"),
    "slash": ("crm/stop", f"connection_id 'crm/stop' {NO_ID}"),
    "question mark": ("crm?x=1", f"connection_id 'crm?x=1' {NO_ID}"),
    "hash": ("crm#x", f"connection_id 'crm#x' {NO_ID}"),
    "dots": ("..", f"connection_id '..' {NO_ID}"),
    "dots within": ("a..b", f"connection_id 'a..b' {NO_ID}"),
    "escaped slash": ("a%2fb", f"connection_id 'a%2fb' {NO_ID}"),
    "newline": ("crm\n", rf"connection_id 'crm\n' {NO_ID}"),
    "newline within": ("a\nb", rf"connection_id 'a\nb' {NO_ID}"),
    "URL": (
        "https://app.rudderstack.com/x",
        f"connection_id 'https://app.rudderstack.com/x' {NO_ID}",
    ),
}


def to_start(resource: RudderStackResource, bad: str) -> None:
    resource.start_sync(bad)


def to_stop(resource: RudderStackResource, bad: str) -> None:
    resource.stop_sync(bad)


def to_get(resource: RudderStackResource, bad: str) -> None:
    resource.get_sync(bad, "s1")


def to_list(resource: RudderStackResource, bad: str) -> None:
    resource.list_syncs(bad)


def to_connection(resource: RudderStackResource, bad: str) -> None:
    resource.get_connection(bad)


def to_sync(resource: RudderStackResource, bad: str) -> None:
    resource.sync_and_poll(bad)


def to_poll(resource: RudderStackResource, bad: str) -> None:
    resource.poll_sync(bad, "s1")


def to_asset(_: RudderStackResource, bad: str) -> None:
    build_rudderstack_sync_asset(connection_id=bad)


def to_op_factory(_: RudderStackResource, bad: str) -> None:
    build_rudderstack_sync_op(connection_id=bad)


def run_op(resource: RudderStackResource, **config: Any) -> None:
    """Run the op with this config, and raise what it fails with."""

    @dg.job(resource_defs={"rudderstack": resource})
    def activate() -> None:
        rudderstack_sync_op()

    run_config = {"ops": {"rudderstack_sync_op": {"config": config}}}
    result = activate.execute_in_process(run_config=run_config, raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    data = failure.step_failure_data.user_failure_data
    assert data is not None, failure
    raise InvalidSettingError(data.description or "")


def to_op(resource: RudderStackResource, bad: str) -> None:
    run_op(resource, connection_id=bad)


@pytest.mark.parametrize(
    "give",
    [
        to_start,
        to_stop,
        to_get,
        to_list,
        to_connection,
        to_sync,
        to_poll,
        to_asset,
        to_op_factory,
        to_op,
    ],
)
@pytest.mark.parametrize("row", BAD_IDS)
def test_connection_id(
    row: str,
    give: Callable[[RudderStackResource, str], None],
    resource: RudderStackResource,
    server: LocalRudderStack,
) -> None:
    """An id that is none is named on one line, and nothing is sent."""
    bad, message = BAD_IDS[row]

    with pytest.raises(InvalidSettingError) as caught:
        give(resource, bad)
    resource.close()

    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert server.requests == []


@pytest.mark.parametrize("row", BAD_IDS)
def test_sync_id(row: str, resource: RudderStackResource, server: LocalRudderStack) -> None:
    """The id of a sync is held to the same rules."""
    bad, message = BAD_IDS[row]
    with resource as rudderstack:
        for ask in (rudderstack.get_sync, rudderstack.poll_sync):
            with pytest.raises(InvalidSettingError) as caught:
                ask("crm", bad)
            assert message.replace("connection_id", "sync_id") in str(caught.value)

    assert server.requests == []


# --- the sync type


@pytest.mark.parametrize(
    "give",
    [
        lambda r: r.start_sync("crm", "mirror"),
        lambda r: r.sync_and_poll("crm", "mirror"),
        lambda _: build_rudderstack_sync_asset(connection_id="crm", sync_type="mirror"),  # type: ignore[arg-type]
        lambda _: build_rudderstack_sync_op(connection_id="crm", sync_type="mirror"),  # type: ignore[arg-type]
    ],
)
def test_sync_type(
    give: Callable[[RudderStackResource], object],
    resource: RudderStackResource,
    server: LocalRudderStack,
) -> None:
    """An unknown sync type is named, with those that there are."""
    with pytest.raises(
        InvalidSettingError, match="'mirror' is unknown: expected 'incremental', 'f"
    ):
        give(resource)
    resource.close()

    assert server.requests == []


def test_sync_type__in_the_launchpad(
    resource: RudderStackResource, server: LocalRudderStack
) -> None:
    """In run config it is refused before the run begins."""
    with pytest.raises(dg.DagsterInvalidConfigError, match="mirror"):
        run_op(resource, connection_id="crm", sync_type="mirror")

    assert server.requests == []


# --- settings of the resource


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"region": "EU"}, "region 'EU' is unknown: expected 'us' or 'eu'"),
        ({"region": ""}, "region is empty"),
        ({"region": "us", "api_url": "https://host"}, "Both region and api_url are set"),
        ({"api_url": "http://api.rudderstack.com"}, "unencrypted: use https"),
        ({"api_url": "http://10.1.2.3:8080"}, "unencrypted: use https"),
        ({"api_url": "api.rudderstack.com"}, "expected https://host"),
        ({"api_url": " "}, "api_url is empty"),
        ({"access_token": None}, "access_token is missing"),
        ({"access_token": ""}, "access_token is empty"),
        ({"access_token": "  "}, "access_token is empty"),
        ({"access_token": "Bearer abc"}, "without a 'Bearer ' in front"),
        ({"access_token": 7}, "access_token"),
        ({"request_max_retries": -1}, "request_max_retries -1: Input should be greater"),
        ({"request_max_retries": 1.5}, "request_max_retries"),
        ({"max_concurrent_requests": 0}, "max_concurrent_requests 0: Input should be greater"),
        ({"max_requests_per_second": 0.0}, "max_requests_per_second 0.0: Input should be greater"),
        ({"max_requests_per_second": NAN}, "max_requests_per_second nan: Input should be a finite"),
        ({"poll_growth": -1.0}, "poll_growth -1.0: Input should be greater"),
        ({"poll_growth": NAN}, "poll_growth nan: Input should be a finite"),
        ({"poll_jitter": 2.0}, "poll_jitter 2.0: Input should be less"),
        ({"poll_min_interval_seconds": 99.0}, "the shortest poll interval (99.0 s) is longer"),
        ({"on_running_sync": "queue"}, "Input should be 'wait', 'attach' or 'fail'"),
        ({"stop_on_termination": "maybe"}, "Input should be 'run_canceled', 'always' or 'never'"),
        ({"dashboard_url": "https://app"}, "{connection_id} or {sync_id} in it"),
        ({"proxy_url": "proxy:3128"}, "expected http://host:port"),
        (
            {"api_url": "http://localhost:8085", "proxy_url": "http://proxy:3128"},
            "proxy_url would be sent the access token unencrypted",
        ),
        ({"extra_headers": {"Authorization": "x"}}, "may not set 'Authorization'"),
        ({"extra_headers": {"X-A": 7}}, "extra_headers"),
        ({"extra_headers": {"X-A": ""}}, "The value of 'X-A' in extra_headers is empty"),
        ({"extra_headers": {"X-A": " "}}, "The value of 'X-A' in extra_headers is empty"),
        ({"acces_token": "x"}, "no setting 'acces_token'. Did you mean 'access_token'?"),
        ({"pol_growth": 0.1}, "no setting 'pol_growth'. Did you mean 'poll_growth'?"),
        ({"rs_cloud_url": "https://x"}, "here it is region or api_url"),
        ({"poll_interval": 5}, "here it is poll_min_interval_seconds and poll_max_interval_sec"),
        ({"timeout": 5}, "timeout"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_setting(settings: dict[str, Any], message: str) -> None:
    """A setting that cannot be right, or does not exist, is refused where it is given."""
    with pytest.raises(ValidationError) as caught:
        RudderStackResource(**{"access_token": "token-of-the-test", **settings})

    assert message in str(caught.value)
    assert "token-of-the-test" not in str(caught.value)


def resource_with(name: str, value: Any) -> RudderStackResource:
    settings = {"access_token": "token-of-the-test", name: value}
    return RudderStackResource(**settings)


@pytest.mark.parametrize("name", INTERVALS)
@pytest.mark.parametrize("value", [-1, NAN, float("inf")])
def test_interval(name: str, value: Any) -> None:
    """A time that is negative, or no number, is refused by a message that names the setting."""
    with pytest.raises(ValidationError, match=name):
        resource_with(name, value)


@pytest.mark.parametrize("name", sorted(set(INTERVALS) - MAY_BE_ZERO))
def test_interval__zero(name: str) -> None:
    """No time at all is refused as well, unless it means something."""
    with pytest.raises(ValidationError, match=f"{name} 0"):
        resource_with(name, 0)


@pytest.mark.parametrize("name", sorted(MAY_BE_ZERO))
def test_interval__zero_means_something(name: str) -> None:
    """To bear no outage, or not to wait for a lost sync to show up, is a choice."""
    assert getattr(resource_with(name, 0), name) == 0


def test_setting__of_a_call(resource: RudderStackResource, server: LocalRudderStack) -> None:
    """What a call overrides is checked like the setting, and named like it."""
    with resource as rudderstack:
        with pytest.raises(InvalidSettingError, match="sync_timeout_seconds -1"):
            rudderstack.sync_and_poll("crm", timeout_seconds=-1)
        with pytest.raises(InvalidSettingError, match="on_running_sync 'queue'"):
            rudderstack.sync_and_poll("crm", on_running_sync="queue")  # type: ignore[arg-type]

    assert server.requests == []


# --- what only RudderStack can know


@pytest.mark.parametrize("outside", [True, False])
@pytest.mark.parametrize(
    ("row", "kind", "words"),
    [
        (
            "unknown connection",
            NotFoundError,
            ["404", "/retl-connections/nosuch", "Check the id", "workspace that owns it"],
        ),
        (
            "wrong token",
            AuthenticationError,
            ["401", "was not accepted by 127.0.0.1", "service access token", "check the region"],
        ),
        (
            "forbidden",
            PermissionDeniedError,
            [
                "403",
                "RudderStack says: ",
                "Not your workspace",
                "Edit and Connect",
                "source",
                "destin",
            ],
        ),
    ],
)
def test_refused_by_rudderstack(
    row: str,
    kind: type[RudderStackError],
    words: list[str],
    outside: bool,
    server: LocalRudderStack,
) -> None:
    """The first refusal is told at once, in words that say what to do; nothing was started."""
    if row == "forbidden":
        server.deny("Not your workspace")
    token = "some-other-token" if row == "wrong token" else server.access_token
    connection_id = "nosuch" if row == "unknown connection" else "crm"
    resource = RudderStackResource(
        access_token=token, api_url=server.url, check_connection=row != "forbidden"
    )

    if outside:
        with resource as rudderstack, pytest.raises(kind) as caught:
            rudderstack.sync_and_poll(connection_id)
        said = str(caught.value)
    else:
        said = failure_of_a_step(resource, connection_id, kind)

    assert [word for word in words if word not in said] == []
    assert token not in said
    assert server.starts() == []
    assert len(server.requests) == 1


def failure_of_a_step(
    resource: RudderStackResource, connection_id: str, kind: type[RudderStackError]
) -> str:
    """Sync in a step; what its failure says. It asks for no retry."""

    @dg.asset
    def syncing(rudderstack: RudderStackResource) -> dg.MaterializeResult[Any]:
        with pytest.raises(dg.Failure) as caught:
            rudderstack.sync_and_poll(connection_id)
        assert isinstance(caught.value.__cause__, kind)
        assert caught.value.allow_retries is False
        return dg.MaterializeResult(metadata={"said": caught.value.description or ""})

    result = dg.materialize([syncing], resources={"rudderstack": resource})
    (event,) = result.get_asset_materialization_events()
    return str(event.materialization.metadata["said"].value)
