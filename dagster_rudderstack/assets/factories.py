"""Asset factories: a connection's sync as an asset downstream of the warehouse's assets."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.assets.function import read_function
from dagster_rudderstack.assets.specs import (
    CoercibleToSpec,
    asset_spec,
    asset_specs,
    connection_name,
)
from dagster_rudderstack.assets.step import AssetStep, definition_of
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.options import AssetOptions, Execute, asset_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "build_rudderstack_sync_asset",
    "build_rudderstack_sync_assets",
    "rudderstack_assets",
]


def build_rudderstack_sync_asset(
    *,
    connection_id: str,
    spec: CoercibleToSpec | None = None,
    deps: Iterable[Any] | None = None,
    check_specs: Sequence[dg.AssetCheckSpec] = (),
    op_name: str | None = None,
    **options: "Unpack[AssetOptions]",
) -> dg.AssetsDefinition:
    """Build the asset of one connection. Materializing it syncs the connection and waits.

        crm_contacts = build_rudderstack_sync_asset(
            connection_id="2hkeBOp0lGJpMPyur0oXUxxIDhw",
            spec=dg.AssetSpec("crm_contacts", deps=["customers"], group_name="activation"),
        )

    No request is sent while definitions load.

    Args:
        connection_id: The connection, from the RudderStack dashboard.
        spec: The asset: an `AssetSpec` or a key. None makes the key `rudderstack/<connection_id>`,
            with `_` for characters that a key cannot have.
        deps: Upstream assets in addition to those of the spec: the tables that the source reads.
        check_specs: Further checks, whose results `execute` yields.
        op_name: Name of the step. None creates one from the key.
        options: How the connection is synced, see `AssetOptions`.

    Raises:
        InvalidSettingError: If an id or an option is invalid.
    """
    connection = checked_id(connection_id, "connection_id")
    checked = asset_options(options)
    asset = asset_spec(connection, spec, deps, checked)
    return _definition(
        {connection: asset},
        checked,
        name=op_name or asset.key.to_python_identifier(),
        check_specs=check_specs,
    )


def build_rudderstack_sync_assets(
    *,
    connections: Mapping[str, CoercibleToSpec],
    name: str,
    check_specs: Sequence[dg.AssetCheckSpec] = (),
    **options: "Unpack[AssetOptions]",
) -> dg.AssetsDefinition:
    """Build the assets of many connections, which one step syncs in one process.

        activation = build_rudderstack_sync_assets(
            name="activation",
            connections={
                "2hkeBOp0lGJpMPyur0oXUxxIDhw": dg.AssetSpec("crm_contacts", deps=["customers"]),
                "2hkeC9cRJzSGkGZcUuMS5c8qTXm": dg.AssetSpec("ad_audience", deps=["customers"]),
            },
        )

    All selected syncs run at once. Each asset is materialized when its sync ends. One failure at
    the end names the syncs that failed, while the others stay materialized. A retry of the step and
    a re-execution from failure sync only what is missing. As for any step, downstream assets wait
    until the step has ended, and those of the same run do not run if it fails.

    No request is sent while definitions load.

    Args:
        connections: The asset of each connection, by connection id: an `AssetSpec` or a key.
        name: Name of the step.
        check_specs: Further checks, whose results `execute` yields.
        options: How the connections are synced, see `AssetOptions`. They hold for all of them.

    Raises:
        InvalidSettingError: If an id or an option is invalid, if two connections have the same
            key, or if there is no connection.
    """
    if not isinstance(connections, Mapping):
        raise InvalidSettingError(
            f"connections must be a mapping of connection ids to assets, got "
            f"{type(connections).__name__}."
        )
    checked = asset_options(options)
    specs = asset_specs(connections, checked)
    return _definition(specs, checked, name=name, check_specs=check_specs)


def rudderstack_assets(  # noqa: PLR0913 - what the factories take
    *,
    connection_id: str | None = None,
    spec: CoercibleToSpec | None = None,
    deps: Iterable[Any] | None = None,
    connections: Mapping[str, CoercibleToSpec] | None = None,
    name: str | None = None,
    check_specs: Sequence[dg.AssetCheckSpec] = (),
    **options: "Unpack[AssetOptions]",
) -> Callable[[Execute], dg.AssetsDefinition]:
    """Build assets from a function that does more than sync.

        @rudderstack_assets(connection_id="2hkeBOp0lGJpMPyur0oXUxxIDhw", spec="crm_contacts")
        def crm_contacts(context: dg.AssetExecutionContext, slack: SlackResource, sync):
            yield from sync()
            slack.get_client().chat_postMessage(channel="#crm", text="The CRM is up to date.")

    The function is an ordinary function of Dagster. By their names, it takes what it needs of:

    - `sync`, see `RudderStackSyncs`: it syncs the selected connections, and returns their results;
    - `context`, Dagster's context;
    - `rudderstack`, the step's resource, also if its key is another;
    - `config`, annotated with a `dagster.Config`, whose fields are in the launchpad beside those of
      `RudderStackSyncConfig`;
    - other resources: the name is the key, and the annotation is the class.

    It yields or returns the results of `sync()`, or its own. It may yield more.

    Args:
        connection_id: The connection.
        spec: Its asset. None makes the key `rudderstack/<connection_id>`. Without a description,
            the asset gets the docstring of the function.
        deps: Upstream assets in addition to those of the spec.
        connections: Many connections instead of one, see `build_rudderstack_sync_assets`.
        name: Name of the step. None uses the function's name.
        check_specs: Further checks, whose results the function yields.
        options: How the connections are synced, see `AssetOptions`. `execute` is the function.

    Raises:
        InvalidSettingError: If an id or an option is invalid, if not exactly one of
            `connection_id` and `connections` is given, or if the function takes what a step does
            not have.
    """
    # First of all, since an unknown option may be meant as the connection.
    asset_options(options)
    has_spec = spec is not None or deps is not None
    if (connection_id is None) == (connections is None) or (connections and has_spec):
        raise InvalidSettingError(
            "rudderstack_assets needs either connection_id, with an optional spec and deps, or "
            "connections."
        )

    def decorate(body: Execute) -> dg.AssetsDefinition:
        step = name or str(getattr(body, "__name__", "rudderstack_syncs"))
        with_body: AssetOptions = {**options, "execute": body}
        if connections is not None:
            return build_rudderstack_sync_assets(
                connections=connections, name=step, check_specs=check_specs, **with_body
            )
        assert connection_id is not None  # noqa: S101 - one of the two is given, checked above
        asset = build_rudderstack_sync_asset(
            connection_id=connection_id,
            spec=spec,
            deps=deps,
            check_specs=check_specs,
            op_name=step,
            **with_body,
        )
        return asset.map_asset_specs(lambda each: _described(each, inspect.getdoc(body)))

    return decorate


def _described(spec: dg.AssetSpec, text: str | None) -> dg.AssetSpec:
    is_missing = spec.description is None and text
    return spec.replace_attributes(description=text) if is_missing else spec


def _definition(
    specs: Mapping[str, dg.AssetSpec],
    options: AssetOptions,
    *,
    name: str,
    check_specs: Sequence[dg.AssetCheckSpec],
) -> dg.AssetsDefinition:
    execute = options["execute"]
    if check_specs and execute is None:
        names = ", ".join(repr(each.name) for each in check_specs)
        raise InvalidSettingError(
            f"check_specs has {names}, but nothing yields the results. Pass `execute`, which must "
            "yield them. For a check that needs no sync, use @dg.asset_check instead."
        )
    function = None if execute is None else read_function(execute, options["resource_key"])
    step = AssetStep(
        name,
        {connection: spec.key for connection, spec in specs.items()},
        {connection: connection_name(spec) for connection, spec in specs.items()},
        options,
        function,
    )
    return definition_of(step, list(specs.values()), check_specs)
