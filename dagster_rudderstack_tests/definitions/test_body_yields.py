"""What a body of the user's own must yield: the events of each sync that it makes."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RudderStackResource,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.step.group import FAILING, add, group, starts
from dagster_rudderstack_tests.step.world import failure, materialized, run

Sync = Callable[[], Iterator[Any]]


def yields_all(context: Any, rudderstack: Any, sync: Sync) -> Iterator[Any]:
    yield from sync()


def yields_another_asset(context: Any, rudderstack: Any, sync: Sync) -> Iterator[Any]:
    yield dg.AssetMaterialization("other")


def drops_materializations(context: Any, rudderstack: Any, sync: Sync) -> Iterator[Any]:
    yield from (event for event in sync() if not isinstance(event, dg.MaterializeResult))


def catches_the_failure(context: Any, rudderstack: Any, sync: Sync) -> Iterator[Any]:
    try:
        yield from sync()
    except dg.Failure:
        context.log.warning("The sync failed.")


def drops_all(context: Any, rudderstack: Any, sync: Sync) -> list[Any]:
    list(sync())
    return []


def does_not_iterate(context: Any, rudderstack: Any, sync: Sync) -> list[Any]:
    sync()
    return []


def yields_nothing(context: Any, rudderstack: Any, sync: Sync) -> list[Any]:
    return []


def yields_its_own_result(context: Any, rudderstack: Any, sync: Sync) -> Iterator[Any]:
    for event in sync():
        if isinstance(event, dg.MaterializeResult):
            yield dg.MaterializeResult(metadata={**(event.metadata or {}), "owner": "crm team"})
        else:
            yield event


def yields_an_output(context: Any, rudderstack: Any, sync: Sync) -> Iterator[Any]:
    for event in sync():
        if isinstance(event, dg.MaterializeResult):
            yield dg.Output(None, output_name="crm", metadata=event.metadata)


def yields_its_own_result_first(context: Any, rudderstack: Any, sync: Sync) -> Iterator[Any]:
    yield dg.MaterializeResult(metadata={"owner": "crm team"})
    yield from sync()


def observes_instead(context: Any, rudderstack: Any, sync: Sync) -> Iterator[Any]:
    list(sync())
    yield dg.ObserveResult(metadata={"owner": "crm team"})


def crm(body: Callable[..., Any], **options: Any) -> dg.AssetsDefinition:
    return build_rudderstack_sync_asset(connection_id="crm", spec="crm", execute=body, **options)


@pytest.mark.parametrize("body", [yields_another_asset, drops_materializations, drops_all])
def test_body__materialization_is_missing(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    body: Callable[..., Any],
) -> None:
    """A body that does not yield the materialization fails its step, which says what to yield."""
    add(server, "crm")

    result = run([crm(body)], rudderstack, instance)

    assert not result.success
    assert "The function of step 'crm' yielded nothing for crm" in failure(result)
    assert "(yield from sync())" in failure(result)
    assert "crm" not in materialized(result)


def test_body__catches_the_failure(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A body that catches the failure of its sync fails its step, and the reason is its cause."""
    add(server, "crm", script=FAILING)

    result = run([crm(catches_the_failure)], rudderstack, instance)

    assert not result.success
    assert "yielded nothing for crm" in failure(result)
    assert "caught a failure of sync()" in failure(result)
    assert "no such table" in failure(result)
    assert len(server.starts()) == 1


@pytest.mark.parametrize(
    "body", [drops_materializations, drops_all, does_not_iterate], ids=lambda body: body.__name__
)
def test_body__group_drops_events(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    body: Callable[..., Any],
) -> None:
    """A body of many syncs that drops their materializations fails its step."""
    add(server, "a", "b", "c")

    result = run([group("a", "b", "c", execute=body)], rudderstack, instance, selection=["a", "b"])

    assert not result.success
    assert "yielded nothing for a, b." in failure(result)
    assert set(starts(server)) <= {"a", "b"}


def test_body__group_catches_the_failure(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A body that catches the failure of one sync of many fails its step, and names its asset."""
    add(server, "a")
    add(server, "b", script=FAILING)

    result = run([group("a", "b", execute=catches_the_failure)], rudderstack, instance)

    assert "yielded nothing for b." in failure(result)
    assert "no such table" in failure(result)
    assert materialized(result) == ["a"]


def test_body__group_syncs_nothing(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A body of many syncs may decide to sync nothing."""
    add(server, "a", "b")

    result = run([group("a", "b", execute=yields_nothing)], rudderstack, instance)

    assert result.success
    assert server.starts() == []


@pytest.mark.parametrize("body", [yields_its_own_result, yields_an_output])
def test_body__own_materialization(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    body: Callable[..., Any],
) -> None:
    """A body may yield a materialization of its own instead of the one of the sync."""
    add(server, "crm")

    result = run([crm(body)], rudderstack, instance)

    assert result.success
    (event,) = result.get_asset_materialization_events()
    assert MetadataKey.SYNC_ID in event.materialization.metadata


def test_body__own_materialization_first(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A body that reports the asset before its sync fails its step: nothing would be synced."""
    add(server, "crm")

    result = run([crm(yields_its_own_result_first)], rudderstack, instance)

    assert (
        "yielded its own result for crm before it called sync(), so nothing is synced. Call sync() "
        "first, and yield the result after those of sync()."
    ) in failure(result)
    assert server.starts() == []


def test_body__observation(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A body may yield an `ObserveResult` instead, with the numbers of the sync. Dagster stores a
    materialization for it, since the asset is not an observable source."""
    add(server, "crm")

    result = run([crm(observes_instead)], rudderstack, instance)

    assert result.success
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata[MetadataKey.SYNC_ID].value == server.syncs("crm")[0].id
    assert metadata["owner"].value == "crm team"


@pytest.mark.parametrize(
    ("options", "starts"), [({"on_disabled": "skip"}, 0), ({"wait": False}, 1)], ids=str
)
@pytest.mark.parametrize("many", [False, True], ids=["one connection", "group"])
def test_body__nothing_to_yield(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    options: dict[str, Any],
    starts: int,
    many: bool,
) -> None:
    """A body has nothing to yield for a sync that was skipped, or that the step does not wait
    for."""
    server.add_connection("crm", enabled=bool(starts))
    asset = group("crm", execute=yields_all, **options) if many else crm(yields_all, **options)

    assert run([asset], rudderstack, instance).success
    assert len(server.starts()) == starts


def test_body__starts_no_deferred_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A body that never calls `sync` fails its step, even if the step waits for no sync."""
    add(server, "crm")

    result = run([crm(yields_nothing, wait=False)], rudderstack, instance)

    assert "yielded nothing for crm" in failure(result)


def test_body__skips(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """With `on_disabled="skip"`, a body may decide to sync nothing."""
    add(server, "crm")

    result = run([crm(yields_nothing, on_disabled="skip")], rudderstack, instance)

    assert result.success
    assert server.starts() == []


@pytest.mark.parametrize("body", [drops_materializations, drops_all, does_not_iterate])
def test_body__skips_and_drops_events(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    body: Callable[..., Any],
) -> None:
    """With `on_disabled="skip"`, a body that drops the materialization of a sync fails its step."""
    add(server, "crm")

    result = run([crm(body, on_disabled="skip")], rudderstack, instance)

    assert "yielded nothing for crm" in failure(result)
