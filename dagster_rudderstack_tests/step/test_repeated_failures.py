"""What an asset's page says if several attempts of a step fail."""

import json

import dagster as dg

from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.group import group
from dagster_rudderstack_tests.step.world import resource_of, run

NEVER_ENDS = SyncScript(never_ends=True)
UNREACHABLE = Fault("status", operation="get_sync", times=None)


def observations(instance: dg.DagsterInstance, key: str) -> list[dg.AssetObservation]:
    """Return the observations of an asset, the newest first."""
    found = instance.fetch_observations(dg.AssetKey(key), limit=10).records
    return [each.asset_observation for each in found if each.asset_observation is not None]


def test_outage(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """A running sync that no attempt could look up is not reported as failed."""
    server.add_connection("crm", script=NEVER_ENDS)
    step = group("crm", retry_policy=dg.RetryPolicy(max_retries=2))
    rudderstack = resource_of(server, outage_tolerance_seconds=0)
    server.add_fault(UNREACHABLE)

    result = run([step], rudderstack, instance)

    assert not result.success
    assert len(server.starts()) == 1
    assert all(sync.running for sync in server.syncs())
    assert observations(instance, "crm") == []


def test_no_sync(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """A failure without a sync is reported once, not once for each retry, on each asset's page."""
    for name in ("a", "b"):
        server.add_connection(name)
        server.start_sync(name, "dashboard", script=NEVER_ENDS)
    step = group("a", "b", on_running_sync="fail", retry_policy=dg.RetryPolicy(max_retries=2))

    result = run([step], resource_of(server), instance)

    assert not result.success
    assert server.starts() == []
    for name in ("a", "b"):
        (observation,) = observations(instance, name)
        assert "is already running" in (observation.description or "")


def test_no_sync__markdown(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """The reason is escaped, since Dagster renders descriptions as Markdown. It is reported once
    all the same."""
    server.add_connection("crm")
    image = json.dumps({"error": "![x](https://a.b/c.png)"})
    server.add_fault(Fault("status", operation="list_syncs", status=500, body=image, times=None))
    step = group("crm", retry_policy=dg.RetryPolicy(max_retries=1))

    run([step], resource_of(server, request_max_retries=0), instance)

    (observation,) = observations(instance, "crm")
    assert r"!\[x](https\://a.b/c.png)" in (observation.description or "")


def test_no_sync__another_reason(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """A failure without a sync is reported again if a retry fails for another reason."""
    server.add_connection("crm")
    for status in (500, 503):
        server.add_fault(Fault("status", operation="list_syncs", status=status, times=1))
    step = group("crm", retry_policy=dg.RetryPolicy(max_retries=1))

    run([step], resource_of(server, request_max_retries=0), instance)

    newest, oldest = (each.description or "" for each in observations(instance, "crm"))
    assert "answered 500" in oldest
    assert "answered 503" in newest


def test_no_sync__another_run(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """A run that is not a re-execution reports the failure again."""
    server.add_connection("crm")
    server.start_sync("crm", "dashboard", script=NEVER_ENDS)
    step = group("crm", on_running_sync="fail")

    run([step], resource_of(server), instance)
    run([step], resource_of(server), instance)

    assert len(observations(instance, "crm")) == 2
