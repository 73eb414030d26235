"""Bad input and its error messages.

The library refuses what it can check before it sends a request. RudderStack refuses the rest, and
the error then says what to do.
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
NOT_AN_ID = "is not an id of RudderStack: expected letters, digits"
MAY_BE_ZERO = {"outage_tolerance_seconds", "start_settling_seconds"}
INTERVALS = [name for name in RudderStackResource.model_fields if name.endswith("_seconds")]


@pytest.fixture
def server(local_rudderstack: LocalRudderStack) -> LocalRudderStack:
    """A RudderStack with one connection."""
    local_rudderstack.add_connection("crm")
    return local_rudderstack


@pytest.fixture
def resource(server: LocalRudderStack) -> RudderStackResource:
    """A resource for that RudderStack."""
    return RudderStackResource(access_token=server.access_token, api_url=server.url)


# --- ids

BAD_IDS = {
    "empty": ("", "connection_id is empty. Copy it from the RudderStack dashboard"),
    "blank": ("  ", "connection_id is blank. Copy it from the RudderStack dashboard"),
    "slash": ("crm/stop", f"connection_id 'crm/stop' {NOT_AN_ID}"),
    "question mark": ("crm?x=1", f"connection_id 'crm?x=1' {NOT_AN_ID}"),
    "hash": ("crm#x", f"connection_id 'crm#x' {NOT_AN_ID}"),
    "dots": ("..", f"connection_id '..' {NOT_AN_ID}"),
    "dots within": ("a..b", f"connection_id 'a..b' {NOT_AN_ID}"),
    "escaped slash": ("a%2fb", f"connection_id 'a%2fb' {NOT_AN_ID}"),
    "newline": ("crm\n", rf"connection_id 'crm\n' {NOT_AN_ID}"),
    "newline within": ("a\nb", rf"connection_id 'a\nb' {NOT_AN_ID}"),
    "URL": (
        "https://app.rudderstack.com/x",
        f"connection_id 'https://app.rudderstack.com/x' {NOT_AN_ID}",
    ),
}


def start_sync(resource: RudderStackResource, bad: str) -> None:
    resource.start_sync(bad)


def stop_sync(resource: RudderStackResource, bad: str) -> None:
    resource.stop_sync(bad)


def get_sync(resource: RudderStackResource, bad: str) -> None:
    resource.get_sync(bad, "s1")


def list_syncs(resource: RudderStackResource, bad: str) -> None:
    resource.list_syncs(bad)


def get_connection(resource: RudderStackResource, bad: str) -> None:
    resource.get_connection(bad)


def sync_and_poll(resource: RudderStackResource, bad: str) -> None:
    resource.sync_and_poll(bad)


def poll_sync(resource: RudderStackResource, bad: str) -> None:
    resource.poll_sync(bad, "s1")


def build_asset(_: RudderStackResource, bad: str) -> None:
    build_rudderstack_sync_asset(connection_id=bad)


def build_op(_: RudderStackResource, bad: str) -> None:
    build_rudderstack_sync_op(connection_id=bad)


def run_op(resource: RudderStackResource, **config: Any) -> None:
    """Run the op with this config, and raise its failure as an InvalidSettingError."""

    @dg.job(resource_defs={"rudderstack": resource})
    def activate() -> None:
        rudderstack_sync_op()

    run_config = {"ops": {"rudderstack_sync_op": {"config": config}}}
    result = activate.execute_in_process(run_config=run_config, raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    data = failure.step_failure_data.user_failure_data
    assert data is not None, failure
    raise InvalidSettingError(data.description or "")


def configure_op(resource: RudderStackResource, bad: str) -> None:
    run_op(resource, connection_id=bad)


@pytest.mark.parametrize(
    "use",
    [
        start_sync,
        stop_sync,
        get_sync,
        list_syncs,
        get_connection,
        sync_and_poll,
        poll_sync,
        build_asset,
        build_op,
        configure_op,
    ],
)
@pytest.mark.parametrize("case", BAD_IDS)
def test_connection_id(
    case: str,
    use: Callable[[RudderStackResource, str], None],
    resource: RudderStackResource,
    server: LocalRudderStack,
) -> None:
    """A wrong connection id is an error on one line that shows the id, and nothing is sent."""
    bad, message = BAD_IDS[case]

    with pytest.raises(InvalidSettingError) as caught:
        use(resource, bad)
    resource.close()

    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert server.requests == []


@pytest.mark.parametrize("case", BAD_IDS)
def test_sync_id(case: str, resource: RudderStackResource, server: LocalRudderStack) -> None:
    """The same rules apply to the id of a sync."""
    bad, message = BAD_IDS[case]
    with resource as rudderstack:
        for method in (rudderstack.get_sync, rudderstack.poll_sync):
            with pytest.raises(InvalidSettingError) as caught:
                method("crm", bad)
            assert message.replace("connection_id", "sync_id") in str(caught.value)

    assert server.requests == []


# --- the sync type


@pytest.mark.parametrize(
    "use",
    [
        lambda r: r.start_sync("crm", "mirror"),
        lambda r: r.sync_and_poll("crm", "mirror"),
        lambda _: build_rudderstack_sync_asset(connection_id="crm", sync_type="mirror"),  # type: ignore[arg-type]
        lambda _: build_rudderstack_sync_op(connection_id="crm", sync_type="mirror"),  # type: ignore[arg-type]
    ],
    ids=["start_sync", "sync_and_poll", "build_asset", "build_op"],
)
def test_sync_type(
    use: Callable[[RudderStackResource], object],
    resource: RudderStackResource,
    server: LocalRudderStack,
) -> None:
    """The error for an unknown sync type lists the known ones, and nothing is sent."""
    with pytest.raises(
        InvalidSettingError, match="'mirror' is unknown: expected 'incremental' or 'f"
    ):
        use(resource)
    resource.close()

    assert server.requests == []


def test_sync_type__in_run_config(resource: RudderStackResource, server: LocalRudderStack) -> None:
    """An unknown sync type in run config is refused before the run starts."""
    with pytest.raises(dg.DagsterInvalidConfigError, match="mirror"):
        run_op(resource, connection_id="crm", sync_type="mirror")

    assert server.requests == []


# --- settings of the resource


def test_mask_in_run_config(server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with the mask that the launchpad inserts for the token fails and says what to write."""
    monkeypatch.setenv("THE_TOKEN", server.access_token)
    server.add_connection("crm")
    sync = build_rudderstack_sync_op(connection_id="crm")

    @dg.job(
        resource_defs={
            "rudderstack": RudderStackResource(
                access_token=dg.EnvVar("THE_TOKEN"), api_url=server.url
            )
        }
    )
    def activation() -> None:
        sync()

    inserted = {"access_token": "********", "api_url": server.url, "poll_growth": 0.1}
    with pytest.raises(dg.DagsterError) as caught:
        activation.execute_in_process({"resources": {"rudderstack": {"config": inserted}}})

    assert "which Dagster's launchpad shows instead of a secret" in str(caught.value.__cause__)
    assert server.requests == []

    given = {**inserted, "access_token": {"env": "THE_TOKEN"}}
    assert activation.execute_in_process({"resources": {"rudderstack": {"config": given}}}).success


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
        ({"access_token": "Bearer abc"}, "without 'Bearer'"),
        ({"access_token": 7}, "access_token"),
        ({"access_token": "********"}, "write access_token: {env: NAME} with"),
        ({"proxy_url": "********"}, "write proxy_url: {env: NAME} with"),
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
        ({"run_dashboard_url": "https://app"}, "{source_id} or {run_id} in it"),
        ({"proxy_url": "proxy:3128"}, "expected http://host:port"),
        (
            {"api_url": "http://localhost:8085", "proxy_url": "http://proxy:3128"},
            "proxy_url would receive the access token unencrypted",
        ),
        ({"extra_headers": {"Authorization": "x"}}, "may not set 'Authorization'"),
        ({"extra_headers": {"X-A": 7}}, "extra_headers"),
        ({"extra_headers": {"X-A": ""}}, "The value of 'X-A' in extra_headers is empty"),
        ({"extra_headers": {"X-A": " "}}, "The value of 'X-A' in extra_headers is empty"),
        ({"acces_token": "x"}, "no setting 'acces_token'. Did you mean 'access_token'?"),
        ({"pol_growth": 0.1}, "no setting 'pol_growth'. Did you mean 'poll_growth'?"),
        ({"rs_cloud_url": "https://x"}, "Use region or api_url."),
        ({"poll_interval": 5}, "Use poll_min_interval_seconds and poll_max_interval_sec"),
        ({"timeout": 5}, "timeout"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_setting(settings: dict[str, Any], message: str) -> None:
    """A wrong value or an unknown setting is refused when the resource is created."""
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
    """The error for a time that is negative or not finite names the setting."""
    with pytest.raises(ValidationError, match=name):
        resource_with(name, value)


@pytest.mark.parametrize("name", sorted(set(INTERVALS) - MAY_BE_ZERO))
def test_interval__zero(name: str) -> None:
    """A time of 0 is refused."""
    with pytest.raises(ValidationError, match=f"{name} 0"):
        resource_with(name, 0)


@pytest.mark.parametrize("name", sorted(MAY_BE_ZERO))
def test_interval__zero_allowed(name: str) -> None:
    """0 is allowed where it means: tolerate no outage, or do not wait for a lost sync."""
    assert getattr(resource_with(name, 0), name) == 0


def test_setting__overridden_in_a_call(
    resource: RudderStackResource, server: LocalRudderStack
) -> None:
    """What a call chooses is checked, and the error names the argument."""
    with resource as rudderstack:
        with pytest.raises(InvalidSettingError, match=r"^timeout_seconds -1"):
            rudderstack.sync_and_poll("crm", timeout_seconds=-1)
        with pytest.raises(InvalidSettingError, match="on_running_sync 'queue'"):
            rudderstack.sync_and_poll("crm", on_running_sync="queue")  # type: ignore[arg-type]

    assert server.requests == []


# --- refused by RudderStack


@pytest.mark.parametrize("in_step", [True, False], ids=["in_a_step", "outside"])
@pytest.mark.parametrize(
    ("case", "kind", "texts"),
    [
        (
            "unknown connection",
            NotFoundError,
            ["404", "/retl-connections/nosuch", "Check the id", "workspace that owns it"],
        ),
        (
            "wrong token",
            AuthenticationError,
            [
                "401",
                "did not accept the access token",
                "service access token",
                "right address (api_url)",
            ],
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
    case: str,
    kind: type[RudderStackError],
    texts: list[str],
    in_step: bool,
    server: LocalRudderStack,
) -> None:
    """The first refusal is an error that says what to do. No sync is started."""
    if case == "forbidden":
        server.deny("Not your workspace")
    token = "some-other-token" if case == "wrong token" else server.access_token
    connection_id = "nosuch" if case == "unknown connection" else "crm"
    resource = RudderStackResource(
        access_token=token,
        api_url=server.url,
        check_connection=case != "forbidden",
        # A refused token is tried for 15 s otherwise, since RudderStack has refused valid ones.
        request_max_retries=0,
    )

    if in_step:
        message = failure_of_a_step(resource, connection_id, kind)
    else:
        with resource as rudderstack, pytest.raises(kind) as caught:
            rudderstack.sync_and_poll(connection_id)
        message = str(caught.value)

    assert [text for text in texts if text not in message] == []
    assert token not in message
    assert server.starts() == []
    assert len(server.requests) == 1


def failure_of_a_step(
    resource: RudderStackResource, connection_id: str, kind: type[RudderStackError]
) -> str:
    """Sync in a step and return the message of the failure, which allows a retry after a 401."""

    @dg.asset
    def syncing(rudderstack: RudderStackResource) -> dg.MaterializeResult[Any]:
        with pytest.raises(dg.Failure) as caught:
            rudderstack.sync_and_poll(connection_id)
        assert isinstance(caught.value.__context__, kind)
        assert caught.value.allow_retries is (kind is AuthenticationError)
        return dg.MaterializeResult(metadata={"message": caught.value.description or ""})

    result = dg.materialize([syncing], resources={"rudderstack": resource})
    (event,) = result.get_asset_materialization_events()
    return str(event.materialization.metadata["message"].value)
