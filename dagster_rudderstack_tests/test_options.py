"""The run config of assets and ops, in Python and in the launchpad."""

from typing import Any

import dagster as dg
import pytest
from pydantic import ConfigDict, Field, ValidationError

from dagster_rudderstack import (
    RudderStackProfilesConfig,
    RudderStackResource,
    RudderStackSourceConfig,
    RudderStackSyncConfig,
    RudderStackSyncOpConfig,
    build_rudderstack_sync_asset,
    rudderstack_sync_op,
)
from dagster_rudderstack.testing import LocalRudderStack

CONFIGS: list[type[dg.Config]] = [
    RudderStackProfilesConfig,
    RudderStackSourceConfig,
    RudderStackSyncConfig,
    RudderStackSyncOpConfig,
]


class OwnConfig(RudderStackSyncConfig):
    """A subclass of a user with two more settings."""

    tag: str = "none"
    note: str = Field(default="", alias="Note")


class OpenConfig(RudderStackSyncConfig):
    """A subclass that accepts any setting."""

    model_config = ConfigDict(extra="allow")


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (RudderStackSyncConfig, {"sync_typ": "full"}, "Did you mean 'sync_type'?"),
        (RudderStackSyncConfig, {"sync_tpye": "full"}, "Did you mean 'sync_type'?"),
        (
            RudderStackSyncOpConfig,
            {"connection_id": "a", "max_failed": 3},
            "There is no setting 'max_failed'. Did you mean 'max_failed_rows'?",
        ),
        (RudderStackSyncOpConfig, {"conection_id": "a"}, "Did you mean 'connection_id'?"),
        (OwnConfig, {"tagg": "x"}, "Did you mean 'tag'?"),
        (RudderStackSyncConfig, {"colour": "red"}, "There is no setting 'colour'."),
        (RudderStackSyncConfig, {"sync_type": "mirror"}, "'default', 'incremental' or 'full'"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_wrong_setting(
    config: type[RudderStackSyncConfig], settings: dict[str, Any], message: str
) -> None:
    """An unknown setting or a wrong value is refused when the config is created."""
    with pytest.raises(ValidationError) as caught:
        config(**settings)

    assert message in str(caught.value)


@pytest.mark.parametrize("config", CONFIGS)
def test_fields(config: type[dg.Config]) -> None:
    """The config has one Dagster field for each setting, and no other field."""
    assert set(config.to_fields_dict()) == set(config.model_fields)


def test_own_config() -> None:
    """A subclass can add settings, use an alias, or accept any setting."""
    own: dict[str, Any] = {"tag": "x", "Note": "y", "sync_type": "full"}
    unknown: dict[str, Any] = {"sync_typ": "full"}
    anything: Any = OpenConfig(**unknown)

    assert OwnConfig(**own).model_dump(by_alias=True) == {
        **own,
        "on_running_sync": "default",
        "timeout_seconds": None,
        "poll_interval_seconds": None,
    }
    assert (anything.sync_type, anything.sync_typ) == ("default", "full")


def test_required() -> None:
    """A setting without a default is required."""
    with pytest.raises(ValidationError, match="connection_id"):
        RudderStackSyncOpConfig()  # type: ignore[call-arg]


@pytest.fixture
def resource(local_rudderstack: LocalRudderStack) -> RudderStackResource:
    """A resource for a RudderStack with one connection."""
    local_rudderstack.add_connection("crm")
    return RudderStackResource(
        access_token=local_rudderstack.access_token,
        api_url=local_rudderstack.url,
        poll_min_interval_seconds=0.01,
    )


def test_run__asset(resource: RudderStackResource, local_rudderstack: LocalRudderStack) -> None:
    """The config of an asset comes from Python or the launchpad, which refuses an unknown name."""
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm")
    resources = {"rudderstack": resource}
    configs: list[Any] = [
        dg.RunConfig(ops={"crm": RudderStackSyncConfig(sync_type="full")}),
        {"ops": {"crm": {"config": {"sync_type": "full"}}}},
    ]
    for config in configs:
        assert dg.materialize(
            [asset], run_config=config, resources={"rudderstack": resource}
        ).success
    with pytest.raises(dg.DagsterInvalidConfigError, match="sync_typ"):
        dg.materialize(
            [asset],
            resources=resources,
            run_config={"ops": {"crm": {"config": {"sync_typ": "full"}}}},
        )

    assert [sync.sync_type for sync in local_rudderstack.syncs("crm")] == ["full", "full"]


def test_run__op(resource: RudderStackResource, local_rudderstack: LocalRudderStack) -> None:
    """The config of an op comes from Python or the launchpad."""

    @dg.job(resource_defs={"rudderstack": resource})
    def activate() -> None:
        rudderstack_sync_op()

    configs: list[Any] = [
        dg.RunConfig(ops={"rudderstack_sync_op": RudderStackSyncOpConfig(connection_id="crm")}),
        {"ops": {"rudderstack_sync_op": {"config": {"connection_id": "crm"}}}},
    ]
    for config in configs:
        assert activate.execute_in_process(run_config=config).success

    assert len(local_rudderstack.starts("crm")) == 2
