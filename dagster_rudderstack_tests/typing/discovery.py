"""The signatures of discovery and components. mypy checks this file."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from typing_extensions import assert_type

from dagster_rudderstack import (
    Connection,
    DagsterRudderStackTranslator,
    RejectedRowsCheck,
    RudderStackConnectionProps,
    RudderStackConnectionSelector,
    RudderStackResource,
    RudderStackSyncs,
    RudderStackWorkspaceComponent,
    SyncChecks,
    Upstream,
    UpstreamTable,
    WorkspaceSnapshot,
    build_rudderstack_assets_definitions,
    fetch_rudderstack_workspace,
    load_rudderstack_asset_specs,
    refresh_rudderstack_snapshot,
    rudderstack_assets,
)

resource = RudderStackResource(access_token=dg.EnvVar("TOKEN"))

snapshot = fetch_rudderstack_workspace(resource)
assert_type(snapshot, WorkspaceSnapshot)
assert_type(snapshot.connections, tuple[Connection, ...])
assert_type(refresh_rudderstack_snapshot(resource, Path("x.json")), WorkspaceSnapshot)
assert_type(WorkspaceSnapshot.loads(snapshot.dumps()), WorkspaceSnapshot)


class Translator(DagsterRudderStackTranslator):
    """A translator of a user."""

    def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
        """Return the asset."""
        assert_type(props.id, str)
        assert_type(props.name, str)
        assert_type(props.connection, Connection)
        assert_type(props.upstreams, tuple[Upstream, ...])
        assert_type(props.destination_kind, str | None)
        return super().get_asset_spec(props).replace_attributes(group_name="activation")


class LeavingOut(DagsterRudderStackTranslator):
    """A translator of a user that leaves connections out."""

    def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec | None:
        """Return the asset, or None."""
        if props.object is None:
            return None
        spec = super().get_asset_spec(props)
        return spec.merge_attributes(tags={"tier": "gold"})


selector = RudderStackConnectionSelector(
    ids=["a"],
    names=["b"],
    sources=["c"],
    destinations=["d"],
    tags={"e": "f"},
    predicate=lambda props: props.enabled,
)


def upstream(table: UpstreamTable, candidates: Sequence[dg.AssetKey]) -> str | None:
    """Return the asset of a table."""
    return candidates[0].to_user_string() if candidates else table.name.name


assert_type(load_rudderstack_asset_specs(resource), list[dg.AssetSpec])
specs = load_rudderstack_asset_specs(
    resource,
    Translator("id"),
    selector,
    snapshot="x.json",
    refresh="always",
    disabled="mark",
    upstream_assets=[dg.AssetSpec("a"), dg.Definitions()],
    upstream_keys=upstream,
)
load_rudderstack_asset_specs(resource, upstream_keys={"a.b": "c", "d": None})
load_rudderstack_asset_specs(resource, refresh="daily")  # type: ignore[arg-type]
DagsterRudderStackTranslator(key_by="colour")  # type: ignore[arg-type]

assert_type(
    build_rudderstack_assets_definitions(
        resource,
        selector=lambda props: props.object is None,
        snapshot=snapshot,
        grouping="destination",
        name="crm",
        sync_type="full",
        on_running_sync="attach",
        on_disabled="skip",
        timeout_seconds=60,
        checks=SyncChecks(rejected_rows=RejectedRowsCheck(max_failed_rows=1)),
        wait=False,
        resource_key="crm",
        retry_policy=dg.RetryPolicy(),
        pool="crm",
    ),
    list[dg.AssetsDefinition],
)
build_rudderstack_assets_definitions(resource, grouping="colour")  # type: ignore[arg-type]
build_rudderstack_assets_definitions(resource, misspelled=1)  # type: ignore[call-arg]


@rudderstack_assets(connection_id="a", spec="b", sync_type="incremental")
def body(
    context: dg.AssetExecutionContext,
    rudderstack: RudderStackResource,
    sync: RudderStackSyncs,
) -> Iterable[Any]:
    """Wrap the sync."""
    yield from sync()


assert_type(body, dg.AssetsDefinition)


@rudderstack_assets(connections={"a": "a", "b": "b"})
def enriched(sync: RudderStackSyncs) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Add metadata to the results."""
    for result in sync("a", sync_type="full", timeout_seconds=60, poll_interval_seconds=0.5):
        if isinstance(result, dg.MaterializeResult):
            rows = sync.reports[result.asset_key].rows_succeeded
            yield dg.MaterializeResult(result.asset_key, metadata={"rows": rows})
        else:
            yield result
    sync(sync_type="mirror")  # type: ignore[arg-type]
    sync(timeout="1")  # type: ignore[call-arg]


assert_type(enriched, dg.AssetsDefinition)


class Component(RudderStackWorkspaceComponent):
    """A component of a user."""

    def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
        """Return the asset."""
        return super().get_asset_spec(props).replace_attributes(group_name="activation")

    def execute(
        self,
        context: dg.AssetExecutionContext,
        rudderstack: RudderStackResource,
        sync: RudderStackSyncs,
    ) -> Iterable[Any]:
        """Run the syncs."""
        yield from super().execute(context, rudderstack, sync)


class LeavingOutComponent(RudderStackWorkspaceComponent):
    """A component of a user that leaves connections out."""

    def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec | None:
        """Return the asset, or None."""
        spec = super().get_asset_spec(props)
        return spec.replace_attributes(owners=["team:crm"]) if props.object else None
