"""What an asset's page says if several attempts of a step fail."""

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
