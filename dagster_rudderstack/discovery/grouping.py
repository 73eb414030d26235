"""Groups connections into steps, and names the steps."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import dagster as dg

from dagster_rudderstack.api.validation import checked_choice
from dagster_rudderstack.assets.factories import (
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
)
from dagster_rudderstack.discovery.discover import DiscoveredAsset
from dagster_rudderstack.discovery.names import key_part
from dagster_rudderstack.discovery.props import RudderStackConnectionProps
from dagster_rudderstack.options import AssetOptions
from dagster_rudderstack.text import identifier, one_line

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Grouping", "assets_definitions"]

Grouping = Literal["connection", "source", "destination", "all"]


def assets_definitions(
    assets: Sequence[DiscoveredAsset],
    grouping: Grouping,
    name: str,
    **options: "Unpack[AssetOptions]",
) -> list[dg.AssetsDefinition]:
    """Return the definitions of assets, with one step for each group of connections.

    Args:
        assets: The assets.
        grouping: Which connections share a step.
        name: The beginning of the name of a step that several connections share.
        options: How the connections are synced.

    Raises:
        InvalidSettingError: If the grouping is unknown, or an option is invalid.
    """
    checked_choice(grouping, Grouping, "grouping")
    if grouping == "connection":
        return _separate_steps(assets, options)
    groups: dict[tuple[str, str], list[DiscoveredAsset]] = defaultdict(list)
    for asset in assets:
        if asset.props.enabled:
            groups[_group_of(asset.props, grouping)].append(asset)
    names = _step_names({group_id: f"{name}_{suffix}" for group_id, suffix in groups})
    shared = [_shared_step(group, names[key], options) for (key, _), group in groups.items()]
    # The option `on_disabled` holds for all connections of a step, so these have their own steps.
    marked = [asset for asset in assets if not asset.props.enabled]
    return [*shared, *_separate_steps(marked, options)]


def _group_of(props: RudderStackConnectionProps, grouping: Grouping) -> tuple[str, str]:
    """Return the id of a connection's group, and the end of the name of its step."""
    if grouping == "source":
        return props.connection.source_id, f"from_{key_part(props.source_name)}"
    if grouping == "destination":
        return props.connection.destination_id, f"to_{key_part(props.destination_name)}"
    return "", "syncs"


def _separate_steps(
    assets: Sequence[DiscoveredAsset], options: AssetOptions
) -> list[dg.AssetsDefinition]:
    names = _step_names({each.props.id: each.spec.key.to_python_identifier() for each in assets})
    return [
        build_rudderstack_sync_asset(
            connection_id=each.props.id,
            spec=each.spec,
            op_name=names[each.props.id],
            **_options_for(each.props, options),
        )
        for each in assets
    ]


def _shared_step(
    assets: Sequence[DiscoveredAsset], name: str, options: AssetOptions
) -> dg.AssetsDefinition:
    return build_rudderstack_sync_assets(
        connections={each.props.id: each.spec for each in assets}, name=name, **options
    )


def _options_for(props: RudderStackConnectionProps, options: AssetOptions) -> AssetOptions:
    """Return the options of a connection's step. The step skips a disabled connection."""
    if props.enabled:
        return options
    skipping: AssetOptions = {**options, "on_disabled": "skip"}
    # A step reads only the connection. If the source or the destination was disabled in the
    # snapshot, the step does not sync the connection.
    for kind, end in (("source", props.source), ("destination", props.destination)):
        if end is not None and not end.enabled:
            execute = partial(_skip, f"The {kind} {one_line(end.name)!r} of the connection")
            return {**skipping, "execute": execute}
    return skipping


def _skip(what: str, context: dg.AssetExecutionContext) -> None:
    """Sync nothing: the function of a step whose source or destination is disabled."""
    context.log.info(
        f"Skipped the sync. {what} was disabled when the snapshot of the workspace was made. If it "
        "is enabled now, refresh the snapshot."
    )


def _step_names(names: Mapping[str, str]) -> dict[str, str]:
    """Return unique names that Dagster accepts for steps, by id."""
    clean = {key: identifier(name) for key, name in names.items()}
    counts = Counter(clean.values())
    return {
        key: name if counts[name] == 1 else f"{name}_{identifier(key)}"
        for key, name in clean.items()
    }
