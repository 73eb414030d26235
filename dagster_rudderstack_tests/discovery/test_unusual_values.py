"""Tables with names that no one expects, and translators that fail."""

from collections.abc import Mapping

import dagster as dg
import pytest

from dagster_rudderstack import (
    DagsterRudderStackTranslator,
    DiscoveryError,
    RudderStackConnectionProps,
    RudderStackResource,
    build_rudderstack_assets_definitions,
    fetch_rudderstack_workspace,
    load_rudderstack_asset_specs,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import fill

TABLES = {
    "slash": ({"table": "/"}, "postgres/8a5eda"),
    "accent": ({"table": "\u0301"}, "postgres/e98c79"),
    "slashes in a bucket": ({"bucketName": "///"}, "s3/_/732c4e"),
    "empty name in SQL": ({"sql": 'select a from ""'}, "postgres/_"),
}


@pytest.mark.parametrize(("config", "key"), TABLES.values(), ids=TABLES.keys())
def test_table_name(
    server: LocalRudderStack, rudderstack: RudderStackResource, config: Mapping[str, str], key: str
) -> None:
    """A table without letters in its name gets a valid key, and the definitions load."""
    server.add_source("s", name="S", source_type="model", config=config)
    server.add_destination("d", name="D")
    server.add_connection("c", "s", "d", mappings={"a": "b"})
    snapshot = fetch_rudderstack_workspace(rudderstack)

    assets = build_rudderstack_assets_definitions(rudderstack, snapshot=snapshot)
    definitions = dg.Definitions(assets=assets, resources={"rudderstack": rudderstack})

    dg.Definitions.validate_loadable(definitions)
    (spec,) = assets[0].specs
    assert [dep.asset_key.to_user_string() for dep in spec.deps] == [key]


class FailingTranslator(DagsterRudderStackTranslator):
    """Expects that each connection has an object."""

    def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:  # noqa: D102 - overrides
        spec = super().get_asset_spec(props)
        return spec.replace_attributes(group_name=props.object.lower())  # type: ignore[union-attr]


def test_translator__error(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """The error of a translator names the connection."""
    fill(server)

    with pytest.raises(DiscoveryError) as caught:
        load_rudderstack_asset_specs(rudderstack, FailingTranslator())

    assert caught.value.message == (
        "The asset of connection 'Big spenders to Braze (EU)' (audience) cannot be made: "
        "AttributeError: 'NoneType' object has no attribute 'lower'."
    )
    assert isinstance(caught.value.__cause__, AttributeError)
