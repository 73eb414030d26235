"""Names of other packages, and misspelled ones, in Python: the error says what to use instead."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from pydantic import ValidationError

from dagster_rudderstack import (
    InvalidSettingError,
    RudderStackProfilesConfig,
    RudderStackResource,
    build_rudderstack_profiles_asset,
    build_rudderstack_source_asset,
    build_rudderstack_source_op,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
    build_rudderstack_sync_op,
)
from dagster_rudderstack.vendor_names import RENAMED_METHODS, RENAMED_OPTIONS, RENAMED_SETTINGS

DAILY = dg.DailyPartitionsDefinition("2026-01-01")

SETTINGS = [
    ("timeout", "Use sync_timeout_seconds for a sync, or connect_timeout_seconds and"),
    ("token", "Use access_token."),
    ("poll_intervall", "Use poll_min_interval_seconds and poll_max_interval_seconds."),
    ("rs_cloud_url", "Use region or api_url."),
    ("Region", "Did you mean 'region'?"),
]


@pytest.mark.parametrize(("name", "remedy"), SETTINGS, ids=[name for name, _ in SETTINGS])
def test_setting(name: str, remedy: str) -> None:
    """The error for an unknown setting of the resource names the right one."""
    settings: dict[str, Any] = {"access_token": "t", name: 3}

    with pytest.raises(ValidationError) as caught:
        RudderStackResource(**settings)

    assert f"There is no setting '{name}'. {remedy}" in str(caught.value)


def sync(**options: Any) -> object:
    return build_rudderstack_sync_asset(connection_id="crm", **options)


def syncs(**options: Any) -> object:
    return build_rudderstack_sync_assets(name="all", connections={"crm": "crm"}, **options)


def source(**options: Any) -> object:
    return build_rudderstack_source_asset(source_id="stripe", **options)


def profiles(**options: Any) -> object:
    return build_rudderstack_profiles_asset(source_id="features", **options)


def sync_op(**options: Any) -> object:
    return build_rudderstack_sync_op(connection_id="crm", **options)


def source_op(**options: Any) -> object:
    return build_rudderstack_source_op(source_id="stripe", **options)


WRONG: list[tuple[Callable[..., object], dict[str, Any], str]] = [
    (sync, {"poll_timeout": 5}, "'poll_timeout'. Use timeout_seconds."),
    (sync, {"wait_for_completion": True}, "An asset of a connection takes wait."),
    (sync, {"specs": ["crm"]}, "One connection has its asset in spec"),
    (sync, {"pol_interval_seconds": 5}, "Did you mean 'poll_interval_seconds'?"),
    (sync, {"wait": "no"}, "wait 'no': expected True or False."),
    (sync, {"deps": "customers"}, "deps 'customers': expected a list of assets"),
    (sync, {"deps": dg.AssetKey("customers")}, "expected a list of assets"),
    (sync, {"resource_key": "my key"}, "resource_key 'my key': expected a name of letters"),
    (sync, {"resource_key": "class"}, "resource_key 'class': expected a name of letters"),
    (syncs, {"spec": "crm"}, "Several connections have their assets in connections"),
    (syncs, {"resource": "x"}, "Use resource_key"),
    (source, {"spec": "customers"}, "a source in specs"),
    (source, {"wait": True}, "Only assets of connections can end before their syncs do."),
    (source, {"deps": "customers"}, "deps 'customers': expected a list of assets"),
    (source, {"resource_key": "1"}, "resource_key '1': expected a name of letters"),
    (source, {"partitions_def": DAILY}, "A run of an ETL source takes no time window"),
    (source, {"specs": ["a-b", "a_b"]}, "The keys 'a-b' and 'a_b' have the same name 'a_b'"),
    (source, {"specs": [["a", "b"], "a__b"]}, "The keys 'a/b' and 'a__b' have the same name"),
    (profiles, {"parameters": ["--x"]}, "takes model_refs, begin_time, end_time and"),
    (profiles, {"partition_def": DAILY}, "Did you mean 'partitions_def'?"),
    (sync_op, {"wait": True}, "An op always waits."),
    (source_op, {"timeout": 5}, "Use timeout_seconds."),
]


@pytest.mark.parametrize(
    ("build", "options", "words"), WRONG, ids=[f"{f.__name__} {next(iter(o))}" for f, o, _ in WRONG]
)
def test_argument(build: Callable[..., object], options: dict[str, Any], words: str) -> None:
    """The error for a wrong argument of a factory says what would be right."""
    with pytest.raises(InvalidSettingError) as caught:
        build(**options)

    assert words in str(caught.value)


def test_deps__iterator() -> None:
    """Each asset of a source has all dependencies, also if they are an iterator."""
    asset = build_rudderstack_source_asset(
        source_id="stripe", specs=["a", "b"], deps=iter(["customers", "orders"])
    )

    assert [len([*spec.deps]) for spec in asset.specs] == [2, 2]


def test_same_step_name__several_connections() -> None:
    """Two keys that Dagster would give the same name in a step are refused."""
    with pytest.raises(InvalidSettingError, match="have the same name 'a__b' in a step"):
        build_rudderstack_sync_assets(name="all", connections={"one": "a__b", "two": ["a", "b"]})


@pytest.mark.parametrize("name", ["profile_id", "parameters"])
def test_run_config(name: str) -> None:
    """A field of another package's run config says what to use instead."""
    given: dict[str, Any] = {name: "x"}

    with pytest.raises(ValidationError) as caught:
        RudderStackProfilesConfig(**given)

    assert RENAMED_OPTIONS[name] in str(caught.value)


@pytest.mark.parametrize("name", RENAMED_METHODS)
def test_method(name: str) -> None:
    """A method of RudderStack's own package says what to use instead."""
    resource = RudderStackResource(access_token="t")

    with pytest.raises(AttributeError, match=rf"no '{name}'\. Use ") as caught:
        getattr(resource, name)

    assert RENAMED_METHODS[name] in str(caught.value)
    assert not hasattr(resource, name)


def test_method__other_name() -> None:
    """Python's own error about an attribute that neither package has is unchanged."""
    with pytest.raises(AttributeError, match="object has no attribute 'sink'"):
        RudderStackResource(access_token="t").sink  # type: ignore[attr-defined] # noqa: B018


def test_names_exist() -> None:
    """Each remedy names settings that exist, and no known setting is called renamed."""
    assert RENAMED_SETTINGS.keys().isdisjoint(RudderStackResource.model_fields)
    named = {
        word.strip(".,")
        for remedy in RENAMED_SETTINGS.values()
        for word in remedy.split()
        if "_" in word
    }
    assert named <= RudderStackResource.model_fields.keys()


class AsyncObject:
    """An object that can be called, with an async method."""

    async def __call__(self, sync: Any) -> None:  # noqa: D102 - see the class
        ...


def test_execute__async_object() -> None:
    """An object whose `__call__` is async is refused when the asset is built."""
    with pytest.raises(InvalidSettingError, match=r"is async\. Write it with `def`"):
        sync(execute=AsyncObject())


def test_request__long_path() -> None:
    """A path that no server accepts is refused before a request is sent."""
    resource = RudderStackResource(access_token="t")

    with pytest.raises(InvalidSettingError, match="has 70,001 characters: expected at most 8,000"):
        resource.request("GET", "/" + "a" * 70_000)
