"""Partitioned connections downstream of assets with other partitions."""

from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    DagsterRudderStackTranslator,
    InvalidSettingError,
    RudderStackConnectionProps,
    RudderStackResource,
    build_rudderstack_assets_definitions,
    load_rudderstack_asset_specs,
)
from dagster_rudderstack.testing import LocalRudderStack

UTC = dg.DailyPartitionsDefinition("2026-01-01")
NEW_YORK = dg.DailyPartitionsDefinition("2026-01-01", timezone="America/New_York")
HOURLY = dg.HourlyPartitionsDefinition("2026-01-01-00:00")
STATIC = dg.StaticPartitionsDefinition(["a", "b"])
TWO = dg.MultiPartitionsDefinition({"day": UTC, "shop": STATIC})

Partitions = dg.PartitionsDefinition[str] | None


@pytest.fixture
def rudderstack(server: LocalRudderStack, rudderstack: RudderStackResource) -> RudderStackResource:
    """A workspace with one connection, which reads `analytics.customers`."""
    server.add_source("s", name="Customers", config={"schema": "analytics", "table": "customers"})
    server.add_destination("d", name="HubSpot")
    server.add_connection("c", "s", "d")
    return rudderstack


def customers(partitions_def: Partitions) -> dg.AssetsDefinition:
    """Return the asset of the table."""

    @dg.asset(key=["analytics", "customers"], partitions_def=partitions_def)
    def customers() -> None: ...

    return customers


def mapping_of(
    rudderstack: RudderStackResource, above: Partitions, below: Partitions, **options: Any
) -> dg.PartitionMapping | None:
    """Return the mapping of the dependency, after the definitions have loaded."""
    table = customers(above)
    (sync,) = build_rudderstack_assets_definitions(
        rudderstack, upstream_assets=[table], partitions_def=below, **options
    )
    dg.Definitions.validate_loadable(
        dg.Definitions(assets=[table, sync], resources={"rudderstack": rudderstack})
    )
    ((dep,),) = ([*spec.deps] for spec in sync.specs)
    return dep.partition_mapping


LOADABLE = [
    *((None, None), (UTC, None), (None, UTC), (UTC, UTC), (HOURLY, UTC), (STATIC, STATIC)),
    *((UTC, TWO), (TWO, UTC)),
]


@pytest.mark.parametrize(("above", "below"), LOADABLE)
def test_loads(rudderstack: RudderStackResource, above: Partitions, below: Partitions) -> None:
    """Partitions that Dagster can map need no mapping."""
    assert mapping_of(rudderstack, above, below) is None


REFUSED = [(UTC, NEW_YORK), (STATIC, UTC), (UTC, STATIC)]


@pytest.mark.parametrize(("above", "below"), REFUSED)
def test_error(rudderstack: RudderStackResource, above: Partitions, below: Partitions) -> None:
    """For other partitions, an error names both assets and says how to map them."""
    with pytest.raises(InvalidSettingError) as caught:
        mapping_of(rudderstack, above, below)

    words = caught.value.message
    assert "Dagster cannot map the partitions of 'rudderstack/hubspot/customers'" in words
    assert "its upstream asset 'analytics/customers'" in words
    assert ".)" not in words
    assert "dg.AssetDep(['analytics', 'customers'], partition_mapping=" in words


@pytest.mark.parametrize(("above", "below"), REFUSED)
def test_mapping(rudderstack: RudderStackResource, above: Partitions, below: Partitions) -> None:
    """A mapping for one table or for all lets the definitions load."""
    every = dg.AllPartitionMapping()
    dep = dg.AssetDep(["analytics", "customers"], partition_mapping=every)
    by_text = dg.AssetDep("analytics/customers", partition_mapping=every)
    choices: list[dict[str, Any]] = [
        {"upstream_keys": {"analytics.customers": dep}},
        {"upstream_keys": {"analytics.customers": by_text}},
        {"upstream_keys": lambda _table, _candidates: dep},
        {"upstream_partition_mapping": every},
    ]

    for choice in choices:
        assert mapping_of(rudderstack, above, below, **choice) == every


def test_mapping__of_a_table_first(rudderstack: RudderStackResource) -> None:
    """The mapping of a table takes precedence over that of all tables."""
    last = dg.LastPartitionMapping()
    dep = dg.AssetDep(["analytics", "customers"], partition_mapping=last)

    found = mapping_of(
        rudderstack,
        *(UTC, STATIC),
        upstream_keys={"customers": dep},
        upstream_partition_mapping=dg.AllPartitionMapping(),
    )

    assert found == last


def test_mapping__wrong(rudderstack: RudderStackResource) -> None:
    """A mapping that does not fit the partitions is an error too."""
    with pytest.raises(InvalidSettingError, match=r"Dagster cannot map .* must be a Static"):
        mapping_of(
            rudderstack,
            *(UTC, STATIC),
            upstream_partition_mapping=dg.StaticPartitionMapping({"a": "a"}),
        )


def test_mapping__two_for_one_asset(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """Two tables of one asset cannot have different mappings."""
    sql = "select a.id from crm.people a join crm.firms b on a.firm = b.id"
    server.add_source("m", name="Model", source_type="model", config={"sql": sql})
    server.add_connection("k", "m", "d")
    keys = {
        "crm.people": dg.AssetDep("crm_db", partition_mapping=dg.AllPartitionMapping()),
        "crm.firms": dg.AssetDep("crm_db", partition_mapping=dg.LastPartitionMapping()),
    }

    with pytest.raises(Exception, match="'crm_db' have different partition mappings"):
        load_rudderstack_asset_specs(rudderstack, upstream_keys=keys)


class Partitioned(DagsterRudderStackTranslator):
    """Gives each connection partitions."""

    def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:  # noqa: D102 - overrides
        return super().get_asset_spec(props).replace_attributes(partitions_def=NEW_YORK)


def test_error__partitions_of_the_translator(rudderstack: RudderStackResource) -> None:
    """The partitions that a translator gives are checked too."""
    with pytest.raises(InvalidSettingError, match="Dagster cannot map the partitions"):
        load_rudderstack_asset_specs(
            rudderstack, Partitioned(), upstream_assets=[customers(STATIC)]
        )


def test_external_table(rudderstack: RudderStackResource) -> None:
    """The partitions of an external asset are not mapped, so they do not matter."""
    table = dg.AssetSpec(["analytics", "customers"], partitions_def=STATIC)

    (sync,) = build_rudderstack_assets_definitions(
        rudderstack, upstream_assets=[table], partitions_def=UTC
    )

    dg.Definitions.validate_loadable(
        dg.Definitions(assets=[table, sync], resources={"rudderstack": rudderstack})
    )
