"""A function around a sync is an ordinary function: its config, its resources, its results."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    RudderStackResource,
    RudderStackSyncConfig,
    RudderStackSyncs,
    build_rudderstack_sync_asset,
    rudderstack_assets,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.step.group import add
from dagster_rudderstack_tests.step.world import failure, materialized


class Pager(dg.ConfigurableResource[Any]):
    """A resource of the user's own."""

    team: str

    def page(self, text: str) -> str:
        """Return what is sent."""
        return f"{self.team}: {text}"


class Note(dg.Config):
    """A config of the user's own."""

    note: str
    loud: bool = False


class OwnSyncConfig(RudderStackSyncConfig):
    """A config that has the settings of a sync as well."""

    note: str = "none"


Materialize = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def materialize(server: LocalRudderStack, rudderstack: RudderStackResource) -> Materialize:
    """Run an asset with a config of its step, and with further resources."""
    add(server, "crm")

    def run(asset: dg.AssetsDefinition, config: Any = None, **resources: object) -> Any:
        return dg.materialize(
            [asset],
            resources={"rudderstack": rudderstack, **resources},
            run_config={"ops": {asset.op.name: {"config": config}}} if config else None,
            raise_on_error=False,
        )

    return run


# --- what it takes


def test_resources(materialize: Materialize) -> None:
    """A parameter that is annotated with a resource is the resource of that key."""
    seen = []

    @rudderstack_assets(connection_id="crm", spec="crm")
    def crm(
        sync: RudderStackSyncs,
        pager: Pager,
        files: dg.ResourceParam[str],
        context: dg.AssetExecutionContext,
    ) -> Iterator[Any]:
        yield from sync()
        seen.append((pager.page("done"), files, context.asset_key.to_user_string()))

    result = materialize(crm, pager=Pager(team="crm"), files="folder")

    assert materialized(result) == ["crm"]
    assert seen == [("crm: done", "folder", "crm")]


def test_resources__from_the_context(materialize: Materialize) -> None:
    """The resources of a step are in its context, too."""
    seen = []

    @rudderstack_assets(connection_id="crm", spec="crm", required_resource_keys={"files"})
    def crm(context: dg.AssetExecutionContext, pager: Pager, sync: RudderStackSyncs) -> Any:
        resources = context.resources
        seen.append((resources.files, resources.pager.team, type(resources.rudderstack)))
        return sync()

    assert materialize(crm, pager=Pager(team="crm"), files="folder").success
    assert seen == [("folder", "crm", RudderStackResource)]


def test_resources__missing(rudderstack: RudderStackResource) -> None:
    """If the definitions lack a resource of the function, Dagster says so when they load."""

    @rudderstack_assets(connection_id="crm", spec="crm")
    def crm(pager: Pager, sync: RudderStackSyncs) -> Any:
        return sync()

    definitions = dg.Definitions(assets=[crm], resources={"rudderstack": rudderstack})

    with pytest.raises(dg.DagsterInvalidDefinitionError, match="'pager'"):
        dg.Definitions.validate_loadable(definitions)


@pytest.mark.parametrize("key", ["rudderstack", "rudderstack_eu"])
def test_resources__other_key(
    server: LocalRudderStack, rudderstack: RudderStackResource, key: str
) -> None:
    """`rudderstack` is the resource of the step, and so is a parameter that has its key."""
    add(server, "crm")
    seen = []

    def by_name(rudderstack: RudderStackResource, sync: RudderStackSyncs) -> Iterator[Any]:
        yield from sync()
        seen.append(len(rudderstack.list_syncs("crm")))

    def by_key(rudderstack_eu: RudderStackResource, sync: RudderStackSyncs) -> Iterator[Any]:
        yield from sync()
        seen.append(len(rudderstack_eu.list_syncs("crm")))

    functions = [by_name] if key == "rudderstack" else [by_name, by_key]
    for number, function in enumerate(functions):
        asset = build_rudderstack_sync_asset(
            connection_id="crm", spec=f"crm_{number}", execute=function, resource_key=key
        )
        assert dg.materialize([asset], resources={key: rudderstack}).success

    assert seen == [1, 2][: len(functions)]


def test_underscores(materialize: Materialize) -> None:
    """As in Dagster, a parameter may have underscores, so that linters know that it is unused."""

    @rudderstack_assets(connection_id="crm", spec="crm")
    def crm(_context: Any, _rudderstack: Any, sync: RudderStackSyncs) -> Any:
        return sync()

    assert materialized(materialize(crm)) == ["crm"]


def test_bound_values(materialize: Materialize) -> None:
    """A function may have values of its own: defaults, and arguments of a partial."""
    seen = []

    def body(team: str, sync: RudderStackSyncs, *, suffix: str = "!") -> Any:
        seen.append(f"{team}{suffix}")
        return sync()

    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="crm", execute=partial(body, "crm")
    )

    assert materialized(materialize(asset)) == ["crm"]
    assert seen == ["crm!"]


def test_called_directly(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A test can call the asset with a context, or pass its resources."""
    add(server, "crm")

    @rudderstack_assets(connection_id="crm", spec="crm", checks=None)
    def crm(context: dg.AssetExecutionContext, pager: Pager, sync: RudderStackSyncs) -> Any:
        context.log.info(pager.page("begins"))
        return sync()

    pager = Pager(team="crm")
    resources = {"rudderstack": rudderstack, "pager": pager}
    call: Callable[..., Any] = crm
    (first,) = call(dg.build_asset_context(resources=resources))
    (second,) = call(dg.build_asset_context(), rudderstack=rudderstack, pager=pager)

    assert isinstance(first, dg.MaterializeResult)
    assert isinstance(second, dg.MaterializeResult)
    assert len(server.starts("crm")) == 2


def test_docstring() -> None:
    """The docstring describes the asset, unless its spec has a description."""

    @rudderstack_assets(connection_id="crm", spec="crm")
    def crm(sync: RudderStackSyncs) -> Any:
        """Contacts of the CRM.

        They come from the warehouse.
        """
        return sync()

    @rudderstack_assets(connection_id="ads", spec=dg.AssetSpec("ads", description="The audience."))
    def ads(sync: RudderStackSyncs) -> Any:
        """Sync the ads."""
        return sync()

    (spec,), (described,) = crm.specs, ads.specs
    assert spec.description == "Contacts of the CRM.\n\nThey come from the warehouse."
    assert described.description == "The audience."


# --- its config


def noting(config_class: type[dg.Config], seen: list[Any]) -> dg.AssetsDefinition:
    """Return an asset that keeps its config."""

    def body(config: dg.Config, sync: RudderStackSyncs) -> Any:
        seen.append(config)
        return sync()

    body.__annotations__["config"] = config_class
    return build_rudderstack_sync_asset(connection_id="crm", spec="crm", execute=body)


@pytest.mark.parametrize("own", [Note, OwnSyncConfig])
def test_config(materialize: Materialize, server: LocalRudderStack, own: type[dg.Config]) -> None:
    """The config of a run has the fields of the function's config and those of the sync."""
    seen: list[Any] = []

    result = materialize(noting(own, seen), {"note": "hello", "sync_type": "full"})

    assert result.success
    assert [(type(config), config.note) for config in seen] == [(own, "hello")]
    assert [sync.sync_type for sync in server.syncs("crm")] == ["full"]


def test_config__as_an_object(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """In Python, the config of a run may be an object of the function's class alone."""
    add(server, "crm")
    seen: list[Any] = []

    result = dg.materialize(
        [noting(Note, seen)],
        resources={"rudderstack": rudderstack},
        run_config=dg.RunConfig(ops={"crm": Note(note="hello", loud=True)}),
    )

    assert result.success
    assert seen == [Note(note="hello", loud=True)]


def test_config__required(rudderstack: RudderStackResource) -> None:
    """Without a required field, Dagster refuses the run before it begins."""
    with pytest.raises(dg.DagsterInvalidConfigError, match="note"):
        dg.materialize([noting(Note, [])], resources={"rudderstack": rudderstack})


def test_config__unknown_field(rudderstack: RudderStackResource) -> None:
    """An unknown field is refused before the run begins."""
    with pytest.raises(dg.DagsterInvalidConfigError, match="volume"):
        dg.materialize(
            [noting(Note, [])],
            resources={"rudderstack": rudderstack},
            run_config={"ops": {"crm": {"config": {"note": "x", "volume": 3}}}},
        )


# --- what it returns


def test_results__own(materialize: Materialize, server: LocalRudderStack) -> None:
    """A function may sync with the resource, and return a result of its own."""

    @rudderstack_assets(connection_id="crm", spec="crm", checks=None)
    def crm(rudderstack: RudderStackResource) -> dg.MaterializeResult[Any]:
        report = rudderstack.sync_and_poll("crm", sync_type="full")
        return dg.MaterializeResult(metadata={"rows": report.rows_succeeded})

    result = materialize(crm)

    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["rows"].value == 10
    assert [sync.sync_type for sync in server.syncs("crm")] == ["full"]


@pytest.mark.parametrize("returned", ["text", {"a": 1}, 7], ids=repr)
def test_results__none_of_dagster(materialize: Materialize, returned: object) -> None:
    """A function that returns another thing fails its step, which says what to return."""

    @rudderstack_assets(connection_id="crm", spec="crm")
    def crm(sync: RudderStackSyncs) -> Any:
        return returned

    result = materialize(crm)

    assert f"The function of step 'crm' returned {returned!r}" in failure(result)
    assert "yield from sync()" in failure(result)


# --- what is refused when it is defined


class Clash(dg.Config):
    """A config with a field that a sync has, too."""

    sync_type: int = 3


class AnyField(dg.PermissiveConfig):
    """A config that takes any field."""

    loud: bool = False


async def is_async(sync: Any) -> Any:
    """Run later."""


async def yields_async(sync: Any) -> Any:
    """Yield later."""
    yield sync


def takes_an_asset(customers: Any, sync: Any) -> Any:
    """Take the value of an asset."""


def takes_a_number(sync: Any, number: int) -> Any:
    """Take a value that a step does not have."""


def takes_all(*everything: Any) -> Any:
    """Take any values."""


def takes_names(sync: Any, **others: Any) -> Any:
    """Take any values by name."""


def takes_by_place(sync: Any, /) -> Any:
    """Take by place."""


def has_no_config_class(config: "Any", sync: Any) -> Any:
    """Take a config of no class."""


def has_a_dict(config: dict[str, Any], sync: Any) -> Any:
    """Take a config that is no Config."""


def has_a_clash(config: Clash, sync: Any) -> Any:
    """Take a config with a field of the sync."""


def has_any_field(config: AnyField, sync: Any) -> Any:
    """Take a config with any field."""


def has_an_unknown_class(pager: "PagerOfNoModule", sync: Any) -> Any:  # type: ignore[name-defined]  # noqa: F821
    """Take what cannot be resolved."""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (is_async, "is_async is async. Write it with `def`"),
        (yields_async, "yields_async is async"),
        (takes_an_asset, "takes_an_asset takes 'customers'. It can take 'context', 'rudderstack'"),
        (takes_an_asset, "name these assets in deps of the spec"),
        (takes_a_number, "takes_a_number takes 'number'"),
        (takes_all, "takes '*everything: Any': its parameters must have names"),
        (takes_names, "takes '**others: Any': its parameters must have names"),
        (takes_by_place, "remove the `/`"),
        (has_no_config_class, "subclass of dagster.Config, not typing.Any"),
        (has_a_dict, "subclass of dagster.Config, not dict"),
        (has_a_clash, "The config Clash has 'sync_type', which is also a setting of the sync"),
        (has_any_field, "The config AnyField accepts any field"),
        (has_an_unknown_class, "name 'PagerOfNoModule' is not defined"),
        (dict, "does not say which parameters it has"),
        ("crm", "execute is 'crm': expected a function"),
    ],
)
def test_refused(function: Any, message: str) -> None:
    """What a step cannot pass is refused when the asset is defined, with what it can pass."""
    with pytest.raises(InvalidSettingError) as caught:
        build_rudderstack_sync_asset(connection_id="crm", execute=function)

    assert message in str(caught.value)


def test_check_specs(materialize: Materialize) -> None:
    """A function may have checks of its own, and yields their results."""
    spec = dg.AssetCheckSpec("is_large", asset="crm")

    @rudderstack_assets(connection_id="crm", spec="crm", checks=None, check_specs=[spec])
    def crm(sync: RudderStackSyncs) -> Iterator[Any]:
        yield from sync()
        (report,) = sync.reports.values()
        is_large = (report.rows_succeeded or 0) > 100
        yield dg.AssetCheckResult(check_name="is_large", passed=is_large)

    (check,) = materialize(crm).get_asset_check_evaluations()

    assert (check.check_name, check.passed) == ("is_large", False)


def test_check_specs__group(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A function for many connections may have checks of its own as well."""
    add(server, "a", "b")
    specs = [dg.AssetCheckSpec("seen", asset=name) for name in ("a", "b")]

    @rudderstack_assets(connections={"a": "a", "b": "b"}, checks=None, check_specs=specs)
    def both(sync: RudderStackSyncs) -> Iterator[Any]:
        for result in sync():
            yield result
            yield dg.AssetCheckResult(asset_key=result.asset_key, check_name="seen", passed=True)

    result = dg.materialize([both], resources={"rudderstack": rudderstack})

    assert {check.asset_key.to_user_string() for check in result.get_asset_check_evaluations()} == {
        "a",
        "b",
    }


# --- what it does wrong in a run


def test_yields_an_iterator(materialize: Materialize, server: LocalRudderStack) -> None:
    """A function that yields `sync()` itself fails its step, which says `yield from`."""

    @rudderstack_assets(connection_id="crm", spec="crm")
    def crm(sync: RudderStackSyncs) -> Iterator[Any]:
        yield sync()

    result = materialize(crm)

    assert "Use `yield from sync()`" in failure(result)
    assert server.starts() == []


def test_calls_with_the_context(materialize: Materialize) -> None:
    """A function that passes the context to `sync`, as to other integrations, fails its step."""

    @rudderstack_assets(connection_id="crm", spec="crm")
    def crm(context: dg.AssetExecutionContext, sync: Any) -> Iterator[Any]:
        yield from sync(context)

    assert "sync() takes ids of connections, not" in failure(materialize(crm))


def test_syncs_with_the_context_first(materialize: Materialize) -> None:
    """A function that calls `sync_and_poll` as in other integrations learns what to write."""

    @rudderstack_assets(connection_id="crm", spec="crm")
    def crm(context: dg.AssetExecutionContext, rudderstack: Any) -> Iterator[Any]:
        yield from rudderstack.sync_and_poll(context=None, connection_id=context)

    assert "use `yield from sync()`" in failure(materialize(crm))


def test_option_of_another_integration() -> None:
    """An unknown option is named before anything else that is wrong."""
    options: dict[str, Any] = {"connector_id": "crm"}

    with pytest.raises(InvalidSettingError, match="There is no setting 'connector_id'"):
        rudderstack_assets(**options)


def test_deferred__own_materialization(materialize: Materialize, server: LocalRudderStack) -> None:
    """With `wait=False`, a function cannot report a success before the sync has ended."""

    @rudderstack_assets(connection_id="crm", spec="crm", wait=False)
    def crm(sync: RudderStackSyncs) -> Iterator[Any]:
        yield from sync()
        yield dg.MaterializeResult()

    result = materialize(crm)

    assert materialized(result) == []
    assert "wait=False the sync has only been started" in failure(result)


def test_bound_resource(materialize: Materialize) -> None:
    """A value that is bound with `partial` is not replaced by a resource."""
    seen = []

    def body(sync: RudderStackSyncs, pager: Pager) -> Any:
        seen.append(pager.team)
        return sync()

    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="crm", execute=partial(body, pager=Pager(team="bound"))
    )

    assert materialized(materialize(asset)) == ["crm"]
    assert seen == ["bound"]
