"""What describes an asset is in its spec, and the factories say so."""

from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
)

FIELDS = [
    ("asset_key", "crm", "dg.AssetSpec(...)."),
    ("key", "crm", "dg.AssetSpec(...)."),
    ("group_name", "activation", "dg.AssetSpec(..., group_name=...)."),
    ("owners", ["team:data"], "dg.AssetSpec(..., owners=...)."),
    (
        "automation_condition",
        dg.AutomationCondition.eager(),
        "dg.AssetSpec(..., automation_condition=...).",
    ),
]


@pytest.mark.parametrize(("name", "value", "remedy"), FIELDS, ids=[name for name, _, _ in FIELDS])
def test_field_of_the_spec__given_to_the_factory(name: str, value: Any, remedy: str) -> None:
    """A field of the spec that is given to a factory is an error that says where it belongs."""
    expected = (
        f"There is no setting '{name}': it belongs to the asset's spec, as in {remedy} For "
        "discovered assets, override get_asset_spec of the translator."
    )
    one: Any = build_rudderstack_sync_asset
    many: Any = build_rudderstack_sync_assets
    with pytest.raises(InvalidSettingError) as error_of_one:
        one(connection_id="crm", **{name: value})
    with pytest.raises(InvalidSettingError) as error_of_many:
        many(name="activation", connections={"crm": "crm"}, **{name: value})

    assert str(error_of_one.value) == expected
    assert str(error_of_many.value) == expected
