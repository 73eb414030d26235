"""Assets for all connections of a workspace, loaded from its snapshot."""

from typing import TYPE_CHECKING

import dagster as dg

from dagster_rudderstack.discovery.disabled import DisabledConnections
from dagster_rudderstack.discovery.discover import discovery_from
from dagster_rudderstack.discovery.grouping import Grouping, assets_definitions
from dagster_rudderstack.discovery.known_assets import UpstreamAssets
from dagster_rudderstack.discovery.selector import Selector
from dagster_rudderstack.discovery.snapshot_file import Refresh, Snapshot, snapshot_from
from dagster_rudderstack.discovery.translator import DagsterRudderStackTranslator
from dagster_rudderstack.discovery.upstream import UpstreamKeys
from dagster_rudderstack.options import AssetOptions
from dagster_rudderstack.resource import RudderStackResource

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["build_rudderstack_assets_definitions", "load_rudderstack_asset_specs"]


def load_rudderstack_asset_specs(  # noqa: PLR0913 - each argument is an option
    resource: RudderStackResource,
    translator: DagsterRudderStackTranslator | None = None,
    selector: Selector | None = None,
    *,
    snapshot: Snapshot | None = None,
    refresh: Refresh = "if_missing",
    disabled: DisabledConnections = "leave_out",
    upstream_assets: UpstreamAssets = (),
    upstream_keys: UpstreamKeys | None = None,
    upstream_partition_mapping: dg.PartitionMapping | None = None,
) -> list[dg.AssetSpec]:
    """Return an asset for each connection of the workspace, downstream of the tables that it reads.

        specs = load_rudderstack_asset_specs(
            rudderstack,
            snapshot=Path(__file__).with_name("snapshot.json"),
            upstream_assets=[my_dbt_assets],
        )

    Args:
        resource: The resource of the workspace.
        translator: Makes the assets, and may leave out connections. The default is
            `DagsterRudderStackTranslator()`.
        selector: The connections: a selector, or a function of the connection. None selects all.
        snapshot: The file of the workspace's snapshot, or the snapshot itself. Ship the file with
            your code: requests are sent only if it is missing. None keeps the workspace with
            the code location: it is read each time the code location loads, but not by its runs.
        refresh: `if_missing`, or `always` to write the file each time. If that fails, for example
            during an outage of RudderStack, the old file is used. `always` is for development, and
            needs a file.
        disabled: What to do with connections that are disabled in RudderStack, or whose source or
            destination is: `leave_out`, or `mark` with the tag `rudderstack/enabled: "false"`.
        upstream_assets: The assets that the tables are matched to.
        upstream_keys: The assets of tables, see `UpstreamKeys`. It takes precedence over the rules.
        upstream_partition_mapping: Which partitions of the upstream assets a partition depends on.
            None leaves it to Dagster.

    Raises:
        DiscoveryError: If two connections have the same asset key, if the selector names something
            that does not exist in the workspace, or if the snapshot cannot be read or written.
        InvalidSettingError: If an environment variable of the resource is not set and the workspace
            must be read, or if Dagster cannot take a dependency as it is meant: it would take
            another asset, or it cannot map the partitions.
    """
    discovery = discovery_from(
        resource,
        translator,
        selector,
        disabled=disabled,
        upstream_assets=upstream_assets,
        upstream_keys=upstream_keys,
        upstream_partition_mapping=upstream_partition_mapping,
    )
    return [each.spec for each in discovery.assets(snapshot_from(resource, snapshot, refresh))]


def build_rudderstack_assets_definitions(  # noqa: PLR0913 - each argument is an option
    resource: RudderStackResource,
    translator: DagsterRudderStackTranslator | None = None,
    selector: Selector | None = None,
    *,
    snapshot: Snapshot | None = None,
    refresh: Refresh = "if_missing",
    disabled: DisabledConnections = "leave_out",
    upstream_assets: UpstreamAssets = (),
    upstream_keys: UpstreamKeys | None = None,
    upstream_partition_mapping: dg.PartitionMapping | None = None,
    grouping: Grouping = "connection",
    name: str = "rudderstack",
    **options: "Unpack[AssetOptions]",
) -> list[dg.AssetsDefinition]:
    """Return assets that sync the connections of the workspace.

    Args:
        resource: The resource of the workspace.
        translator: See `load_rudderstack_asset_specs`.
        selector: See `load_rudderstack_asset_specs`.
        snapshot: See `load_rudderstack_asset_specs`.
        refresh: See `load_rudderstack_asset_specs`.
        disabled: See `load_rudderstack_asset_specs`. A marked connection has a step of its own,
            which skips it. If only its source or its destination is disabled, it is skipped until
            the snapshot is refreshed.
        upstream_assets: See `load_rudderstack_asset_specs`.
        upstream_keys: See `load_rudderstack_asset_specs`.
        upstream_partition_mapping: See `load_rudderstack_asset_specs`.
        grouping: Which connections share a step and its process: none (`connection`, the default,
            so that a retry repeats only one sync), those of a `source`, those of a `destination`,
            or `all`. Marked connections always have a step of their own.
        name: The beginning of the names of steps with many connections. Each workspace needs its
            own.
        options: How the connections are synced, see `AssetOptions`.

    Raises:
        DiscoveryError: See `load_rudderstack_asset_specs`.
        InvalidSettingError: If an option is invalid, and see `load_rudderstack_asset_specs`.
    """
    discovery = discovery_from(
        resource,
        translator,
        selector,
        disabled=disabled,
        upstream_assets=upstream_assets,
        upstream_keys=upstream_keys,
        upstream_partition_mapping=upstream_partition_mapping,
    )
    partitions_def = options.get("partitions_def")
    assets = discovery.assets(snapshot_from(resource, snapshot, refresh), partitions_def)
    return assets_definitions(assets, grouping, name, **options)
