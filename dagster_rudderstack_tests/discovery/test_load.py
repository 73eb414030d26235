"""From a workspace to assets that run: factories, snapshots, groups, and a body of one's own."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    DagsterRudderStackTranslator,
    DiscoveryError,
    InvalidSettingError,
    MetadataKey,
    RudderStackConnectionProps,
    RudderStackConnectionSelector,
    RudderStackResource,
    TransportError,
    build_rudderstack_assets_definitions,
    build_rudderstack_polling_sensor,
    fetch_rudderstack_workspace,
    load_rudderstack_asset_specs,
    refresh_rudderstack_snapshot,
    rudderstack_assets,
)
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.discovery.conftest import fill

CONTACTS = "rudderstack/hubspot/contact/customers"
AUDIENCE = "rudderstack/braze_eu/big_spenders"
PAUSED = "rudderstack/braze_eu/customers"

OUTAGE = Fault("status", operation="list_connections", status=503, times=None)

NOBODY = RudderStackResource(
    access_token="token", api_url="http://127.0.0.1:9", request_max_retries=0
)
"""A RudderStack that is out of reach: nothing listens on this port."""


def keys_of(assets: list[dg.AssetSpec] | list[dg.AssetsDefinition]) -> set[str]:
    specs = [spec for each in assets for spec in getattr(each, "specs", [each])]
    return {spec.key.to_user_string() for spec in specs}


def deps_of(specs: list[dg.AssetSpec]) -> dict[str, set[str]]:
    return {
        spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps}
        for spec in specs
    }


# --- specs


def test_specs(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """Each enabled connection is an asset, downstream of the tables that its source reads."""
    fill(server)

    assert deps_of(load_rudderstack_asset_specs(rudderstack)) == {
        CONTACTS: {"analytics/customers"},
        AUDIENCE: {"analytics/customers", "analytics/orders_by_customer"},
    }


def test_disabled_are_marked(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """Disabled connections come along, marked, if asked for."""
    fill(server)
    specs = load_rudderstack_asset_specs(rudderstack, disabled="mark")

    assert keys_of(specs) == {CONTACTS, AUDIENCE, PAUSED}
    assert [spec.tags.get("rudderstack/enabled") for spec in specs] == [None, None, "false"]


def test_upstream_assets(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """The graph leads from the project's own assets to the connections that read their tables."""
    fill(server)

    @dg.asset(metadata={"dagster/table_name": "prod.analytics.customers"})
    def dim_customers() -> None: ...

    @dg.asset(key=["analytics", "orders_by_customer"], deps=[dim_customers])
    def orders() -> None: ...

    specs = load_rudderstack_asset_specs(rudderstack, upstream_assets=[dim_customers, orders])

    assert deps_of(specs) == {
        CONTACTS: {"dim_customers"},
        AUDIENCE: {"dim_customers", "analytics/orders_by_customer"},
    }


def test_connection_is_not_its_own_upstream(
    server: LocalRudderStack, rudderstack: RudderStackResource, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that the project depends on is not taken for the table of the same name."""
    server.add_source("s1", name="Customers", definition="mysql", config={"table": "customers"})
    server.add_source("s2", name="Leads", definition="mysql", config={"table": "customers"})
    server.add_destination("d", name="HubSpot", type="HS")
    server.add_connection("c1", "s1", "d", object="Contact")
    server.add_connection("c2", "s2", "d", object="Contact")

    @dg.asset(deps=[dg.AssetKey.from_user_string(CONTACTS), ["shop", "customers"]])
    def crm_report() -> None: ...

    assets = build_rudderstack_assets_definitions(rudderstack, upstream_assets=[crm_report])

    specs = [spec for each in assets for spec in each.specs]
    assert set().union(*deps_of(specs).values()) == {"shop/customers"}
    assert "equally well" not in caplog.text
    dg.Definitions.validate_loadable(
        dg.Definitions(assets=[crm_report, *assets], resources={"rudderstack": rudderstack})
    )


def test_upstream_assets_from_a_generator(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """Assets that can be listed only once are found as well beside a connection's own key."""
    fill(server)
    assets = [
        dg.AssetSpec("people", metadata={"dagster/table_name": "analytics.customers"}),
        dg.AssetSpec("report", deps=[dg.AssetKey.from_user_string(CONTACTS)]),
    ]

    specs = load_rudderstack_asset_specs(rudderstack, upstream_assets=iter(assets))

    assert deps_of(specs)[CONTACTS] == {"people"}


def test_connection_with_the_name_of_its_table(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """A connection whose key is the name of its own table depends on the table, not on itself."""
    fill(server)

    class Translator(DagsterRudderStackTranslator):
        def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
            spec = super().get_asset_spec(props)
            return spec.replace_attributes(key=["analytics", props.source_name.lower()])

    selector = RudderStackConnectionSelector(ids=["contacts"])

    assert deps_of(load_rudderstack_asset_specs(rudderstack, Translator(), selector)) == {
        "analytics/customers": {"snowflake/analytics/customers"}
    }


def test_upstream_keys(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A mapping says which asset a table is, and leaves one out."""
    fill(server)
    keys = {"analytics.customers": "dim_customers", "orders_by_customer": None}

    specs = load_rudderstack_asset_specs(rudderstack, upstream_keys=keys)

    assert deps_of(specs) == {CONTACTS: {"dim_customers"}, AUDIENCE: {"dim_customers"}}


SELECTORS: dict[str, Any] = {
    "selector": RudderStackConnectionSelector(destinations=["HubSpot"]),
    "function": lambda props: props.destination_kind == "hubspot",
    "tags": RudderStackConnectionSelector(tags={"rudderstack/destination_type": "hubspot"}),
}


@pytest.mark.parametrize("selector", SELECTORS.values(), ids=SELECTORS.keys())
def test_selector(
    server: LocalRudderStack, rudderstack: RudderStackResource, selector: Any
) -> None:
    """Only the selected connections become assets."""
    fill(server)

    assert keys_of(load_rudderstack_asset_specs(rudderstack, selector=selector)) == {CONTACTS}


def test_selector_by_upstream(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A function of the connection knows the tables upstream, and where columns come from."""
    fill(server)

    def reads_orders(props: RudderStackConnectionProps) -> bool:
        return any(
            upstream.key == dg.AssetKey("orders") and column.name == "total"
            for upstream, column in props.origins("ltv")
        )

    specs = load_rudderstack_asset_specs(
        rudderstack, selector=reads_orders, upstream_keys={"orders_by_customer": "orders"}
    )

    assert keys_of(specs) == {AUDIENCE}


def test_ambiguous_table_of_what_is_not_selected(
    server: LocalRudderStack, rudderstack: RudderStackResource, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is asked which asset a table is that no selected connection reads."""
    fill(server)
    tables = [
        dg.AssetSpec(key, metadata={"dagster/table_name": f"{key}.analytics.orders_by_customer"})
        for key in ("prod", "dev")
    ]

    for selected in ("contacts", "audience"):
        assert "equally well" not in caplog.text
        load_rudderstack_asset_specs(
            rudderstack,
            selector=lambda props, selected=selected: props.id == selected,
            upstream_assets=tables,
        )

    assert "matches the assets 'prod', 'dev' equally well" in caplog.text


def test_wrong_selector(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A selector that names what the workspace does not have stops the load."""
    fill(server)

    with pytest.raises(DiscoveryError, match="Did you mean 'hubspot'"):
        load_rudderstack_asset_specs(
            rudderstack, selector=RudderStackConnectionSelector(destinations=["hubsqot"])
        )


def test_translator(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A translator of the user's own makes the assets; the connection's id stays on them."""
    fill(server)

    class Translator(DagsterRudderStackTranslator):
        def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
            return dg.AssetSpec(["crm", props.id], owners=["team:crm"])

    specs = load_rudderstack_asset_specs(rudderstack, Translator())

    assert keys_of(specs) == {"crm/contacts", "crm/audience"}
    assert {spec.metadata[MetadataKey.CONNECTION_ID].value for spec in specs} == {
        "contacts",
        "audience",
    }


def test_translator_that_returns_nothing(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """A translator that forgets to return is told for which connection."""
    fill(server)

    class Translator(DagsterRudderStackTranslator):
        def get_asset_spec(self, props: RudderStackConnectionProps) -> Any:
            super().get_asset_spec(props)

    with pytest.raises(DiscoveryError, match=r"returned NoneType for connection .* \(contacts\)"):
        load_rudderstack_asset_specs(rudderstack, Translator())


MISTAKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a class for a translator": (
        {"translator": DagsterRudderStackTranslator},
        r"such as DagsterRudderStackTranslator\(\)",
    ),
    "a name for a selector": ({"selector": "HubSpot"}, "selector takes .* not 'HubSpot'"),
    "a dict for a selector": ({"selector": {"ids": ["a"]}}, "selector takes a RudderStackConn"),
}


@pytest.mark.parametrize(("arguments", "words"), MISTAKEN.values(), ids=MISTAKEN.keys())
def test_mistaken_argument(arguments: dict[str, Any], words: str) -> None:
    """What is no translator or no selector is refused before anything is asked."""
    with pytest.raises(InvalidSettingError, match=words):
        load_rudderstack_asset_specs(NOBODY, **arguments)


def test_one_key_for_two(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """Two connections with one key stop the load, naming both and the ways to mend it."""
    fill(server)
    server.add_connection("twin", "customers-src", "hubspot", object="Contact")

    with pytest.raises(DiscoveryError) as caught:
        load_rudderstack_asset_specs(rudderstack)

    message = caught.value.message
    assert "'Customers to HubSpot (Contact)' (contacts)" in message
    assert "'Customers to HubSpot (Contact)' (twin)" in message
    assert repr(CONTACTS) in message
    assert "key_by: id" in message


def test_one_key_for_two_of_which_one_is_selected(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """A connection that is not selected may have the key of one that is."""
    fill(server)

    class Translator(DagsterRudderStackTranslator):
        def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
            return super().get_asset_spec(props).replace_attributes(key="crm")

    selector = RudderStackConnectionSelector(tags={"rudderstack/destination_type": "braze"})
    (spec,) = load_rudderstack_asset_specs(rudderstack, Translator(), selector)

    assert spec.metadata[MetadataKey.CONNECTION_ID].value == "audience"


def test_one_key_for_two_by_id(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """Keys by id are never the same."""
    fill(server)
    server.add_connection("twin", "customers-src", "hubspot", object="Contact")

    specs = load_rudderstack_asset_specs(rudderstack, DagsterRudderStackTranslator("id"))

    assert keys_of(specs) == {"rudderstack/contacts", "rudderstack/twin", "rudderstack/audience"}


@pytest.mark.parametrize(
    ("template", "link"),
    [
        ("https://app.example.com/{connection_id}", "https://app.example.com/contacts"),
        ("https://app.example.com/{connection_id}/{sync_id}", None),
        (dg.EnvVar("RUDDERSTACK_DASHBOARD"), None),
    ],
    ids=["of a connection", "of a sync", "in a variable"],
)
def test_link(server: LocalRudderStack, template: str, link: str | None) -> None:
    """The asset links to its connection's page, if there is one that can be known."""
    fill(server)
    snapshot = fetch_rudderstack_workspace(
        RudderStackResource(access_token=server.access_token, api_url=server.url)
    )
    rudderstack = RudderStackResource(
        access_token=server.access_token, api_url=server.url, dashboard_url=template
    )

    first = load_rudderstack_asset_specs(rudderstack, snapshot=snapshot)[0]

    shown = first.metadata.get(MetadataKey.LINK)
    assert (shown.value if shown else None) == link


# --- snapshots


def test_snapshot_file(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> None:
    """A snapshot that is missing is made; from then on nothing is asked."""
    fill(server)
    path = tmp_path / "made" / "rudderstack.json"

    first = load_rudderstack_asset_specs(rudderstack, snapshot=path)
    asked = len(server.requests)
    second = load_rudderstack_asset_specs(rudderstack, snapshot=path)

    assert asked == 3
    assert len(server.requests) == asked
    assert second == first
    assert [file.name for file in path.parent.iterdir()] == ["rudderstack.json"]


def test_rudderstack_out_of_reach(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> None:
    """With RudderStack out of reach, definitions load from the snapshot."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)

    assert keys_of(load_rudderstack_asset_specs(NOBODY, snapshot=path)) == {CONTACTS, AUDIENCE}


def test_no_snapshot_and_out_of_reach(tmp_path: Path) -> None:
    """Without a snapshot, the error says how to make one."""
    path = tmp_path / "rudderstack.json"

    with pytest.raises(DiscoveryError) as caught:
        load_rudderstack_asset_specs(NOBODY, snapshot=path)

    assert f"refresh_rudderstack_snapshot(resource, {str(path)!r})" in caught.value.message
    assert isinstance(caught.value.__cause__, TransportError)


def test_out_of_reach_and_no_snapshot_asked_for() -> None:
    """Who asks for no snapshot is told, when RudderStack is out of reach, to ask for one."""
    with pytest.raises(DiscoveryError, match="snapshot=") as caught:
        load_rudderstack_asset_specs(NOBODY)

    assert isinstance(caught.value.__cause__, TransportError)


REFUSED = {
    403: "needs permission to view the Reverse ETL connections",
    404: "Check api_url, or the region",
}


@pytest.mark.parametrize(("status", "words"), REFUSED.items())
@pytest.mark.parametrize("operation", ["list_connections", "list_sources"])
def test_list_that_is_refused(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    caplog: pytest.LogCaptureFixture,
    operation: Any,
    status: int,
    words: str,
) -> None:
    """Where a list is refused, one is told what lists need, and not what syncs need."""
    fill(server)
    server.add_fault(Fault("status", operation=operation, status=status, times=None))

    told = ""
    try:
        load_rudderstack_asset_specs(rudderstack)
    except DiscoveryError as error:
        told = error.message

    told += caplog.text
    assert words in told
    assert "Edit and Connect" not in told
    assert "Check the id" not in told


def test_refresh_always(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> None:
    """`always` makes the snapshot anew each time."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    load_rudderstack_asset_specs(rudderstack, snapshot=path)
    server.remove_connection("audience")

    specs = load_rudderstack_asset_specs(rudderstack, snapshot=path, refresh="always")

    assert keys_of(specs) == {CONTACTS}


def test_refresh_always_and_out_of_reach(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`always` falls back on the old snapshot, and says so."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)
    server.add_fault(OUTAGE)

    with caplog.at_level(logging.WARNING):
        specs = load_rudderstack_asset_specs(NOBODY, snapshot=path, refresh="always")

    assert keys_of(specs) == {CONTACTS, AUDIENCE}
    assert "is used as it is" in caplog.text


def test_failed_refresh_keeps_the_snapshot(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> None:
    """A refresh that fails leaves the old snapshot, and nothing beside it."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)
    before = path.read_bytes()
    server.add_fault(OUTAGE)

    with pytest.raises(Exception, match="503"):
        refresh_rudderstack_snapshot(rudderstack, path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"{", b'{"version": 99}', b"\xff\xfe"])
def test_unreadable_snapshot(tmp_path: Path, content: bytes) -> None:
    """A snapshot that cannot be read says how to make a new one."""
    path = tmp_path / "rudderstack.json"
    path.write_bytes(content)

    with pytest.raises(DiscoveryError, match="refresh_rudderstack_snapshot"):
        load_rudderstack_asset_specs(NOBODY, snapshot=path)


def test_unset_variable_is_named(tmp_path: Path) -> None:
    """A variable that is not set is named, when the workspace has to be read."""
    rudderstack = RudderStackResource(access_token=dg.EnvVar("NO_SUCH_RUDDERSTACK_TOKEN"))

    with pytest.raises(InvalidSettingError, match="NO_SUCH_RUDDERSTACK_TOKEN") as caught:
        load_rudderstack_asset_specs(rudderstack, snapshot=tmp_path / "rudderstack.json")

    assert "refresh_rudderstack_snapshot(resource, " in caught.value.message


def test_refresh_always_and_unset_variable(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`always` falls back on the old snapshot where the token is not set, as in a build."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)
    unset = RudderStackResource(access_token=dg.EnvVar("NO_SUCH_RUDDERSTACK_TOKEN"))

    specs = load_rudderstack_asset_specs(unset, snapshot=path, refresh="always")

    assert keys_of(specs) == {CONTACTS, AUDIENCE}
    assert "NO_SUCH_RUDDERSTACK_TOKEN" in caplog.text


def test_snapshot_that_cannot_be_written(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path
) -> None:
    """A place where no snapshot can be written is named, with the way to make one."""
    fill(server)
    (tmp_path / "file").write_text("")

    with pytest.raises(
        DiscoveryError, match=r"could not be written: .* refresh_rudderstack_snapshot"
    ):
        load_rudderstack_asset_specs(rudderstack, snapshot=tmp_path / "file" / "rudderstack.json")


def test_refresh_always_in_a_place_that_cannot_be_written(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`always` falls back on the old snapshot where a new one cannot be written."""
    fill(server)
    path = tmp_path / "rudderstack.json"
    refresh_rudderstack_snapshot(rudderstack, path)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "replace", refuse)

    specs = load_rudderstack_asset_specs(rudderstack, snapshot=path, refresh="always")

    assert keys_of(specs) == {CONTACTS, AUDIENCE}
    assert "It could not be written: [Errno 13] Permission denied" in caplog.text


def test_snapshot_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot that the process may not read is named."""
    path = tmp_path / "rudderstack.json"
    path.write_text("{}")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)

    with pytest.raises(DiscoveryError, match=r"rudderstack.json cannot be read: \[Errno 13\]"):
        load_rudderstack_asset_specs(NOBODY, snapshot=path)


@pytest.mark.parametrize("refresh", ["if_missing", "always"])
def test_folder_for_a_snapshot(tmp_path: Path, refresh: Any) -> None:
    """A folder is no snapshot, and stays as it is."""
    with pytest.raises(InvalidSettingError, match="is a folder: expected a file in it"):
        load_rudderstack_asset_specs(NOBODY, snapshot=tmp_path, refresh=refresh)


# --- assets that run


def materialize(
    rudderstack: RudderStackResource, assets: list[dg.AssetsDefinition], **settings: Any
) -> dg.ExecuteInProcessResult:
    return dg.materialize(assets, resources={"rudderstack": rudderstack}, **settings)


@pytest.mark.parametrize("grouping", ["connection", "source", "destination", "all"])
def test_assets_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, grouping: Any
) -> None:
    """In each grouping every asset syncs its own connection, once."""
    fill(server)
    assets = build_rudderstack_assets_definitions(rudderstack, grouping=grouping)

    result = materialize(rudderstack, assets)

    synced = {
        event.asset_key.to_user_string(): event.materialization.metadata[
            MetadataKey.CONNECTION_ID
        ].value
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert synced == {CONTACTS: "contacts", AUDIENCE: "audience"}
    assert len(server.starts("contacts")) == len(server.starts("audience")) == 1


STEPS = {
    "connection": {
        "rudderstack__hubspot__contact__customers",
        "rudderstack__braze_eu__big_spenders",
        "rudderstack__braze_eu__customers",
    },
    "source": {"eu_from_customers", "eu_from_big_spenders", "rudderstack__braze_eu__customers"},
    "destination": {"eu_to_hubspot", "eu_to_braze_eu", "rudderstack__braze_eu__customers"},
    "all": {"eu_syncs", "rudderstack__braze_eu__customers"},
}


@pytest.mark.parametrize(("grouping", "names"), STEPS.items(), ids=STEPS.keys())
def test_steps(
    server: LocalRudderStack, rudderstack: RudderStackResource, grouping: Any, names: set[str]
) -> None:
    """Steps are called after what their connections have in common; a marked one has its own."""
    fill(server)
    assets = build_rudderstack_assets_definitions(
        rudderstack, grouping=grouping, disabled="mark", name="eu"
    )

    assert {each.op.name for each in assets} == names


def test_step_names_are_unique(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """Steps whose names come out alike are told apart by ids."""
    for number, source in enumerate(["Customers", "customers!"]):
        server.add_source(f"s{number}", name=source)
        server.add_connection(f"c{number}", f"s{number}", "d")

    class Translator(DagsterRudderStackTranslator):
        def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
            return dg.AssetSpec("a-b" if props.id == "c0" else "a.b")

    one_by_one = build_rudderstack_assets_definitions(rudderstack, Translator())
    by_source = build_rudderstack_assets_definitions(rudderstack, Translator(), grouping="source")

    assert {each.op.name for each in one_by_one} == {"a_b_c0", "a_b_c1"}
    assert {each.op.name for each in by_source} == {
        "rudderstack_from_customers_s0",
        "rudderstack_from_customers_s1",
    }


def test_names_of_any_alphabet_load(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """Names and tables in any alphabet, and with any signs, make definitions that load."""
    server.add_source("s1", name="顧客 $1", config={"schema": "スキーマ", "table": "my table$"})
    server.add_connection("c1", "s1", "d", object="контакт")
    assets = build_rudderstack_assets_definitions(rudderstack)

    dg.Definitions.validate_loadable(
        dg.Definitions(assets=assets, resources={"rudderstack": rudderstack})
    )


@pytest.mark.parametrize("grouping", ["connection", "destination"])
def test_marked_connection_is_skipped(
    server: LocalRudderStack, rudderstack: RudderStackResource, grouping: Any
) -> None:
    """A connection that is marked as disabled is skipped by its step, and fails nothing."""
    fill(server)
    assets = build_rudderstack_assets_definitions(rudderstack, disabled="mark", grouping=grouping)

    result = materialize(rudderstack, assets)

    assert result.success
    materialized = {
        event.asset_key.to_user_string()
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert materialized == {CONTACTS, AUDIENCE}


@pytest.mark.parametrize("grouping", ["connection", "all"])
@pytest.mark.parametrize("end", ["source", "destination"])
def test_marked_for_its_source_or_destination_is_skipped(
    server: LocalRudderStack, rudderstack: RudderStackResource, grouping: Any, end: str
) -> None:
    """A connection is not synced while its source or destination is disabled."""
    fill(server)
    server.add_source("off-src", name="Off", enabled=end != "source")
    server.add_destination("off", name="Off", type="HS", enabled=end != "destination")
    server.add_connection("off", "off-src", "off")
    assets = build_rudderstack_assets_definitions(rudderstack, disabled="mark", grouping=grouping)

    result = materialize(rudderstack, assets)

    assert result.success
    assert server.starts("off") == []
    assert len(server.starts()) == 2


@pytest.mark.parametrize("grouping", ["connection", "destination", "all"])
def test_others_fail_beside_a_marked_connection(
    server: LocalRudderStack, rudderstack: RudderStackResource, grouping: Any
) -> None:
    """A connection that is disabled later fails its step, though another one is marked."""
    fill(server)
    assets = build_rudderstack_assets_definitions(rudderstack, disabled="mark", grouping=grouping)
    server.update_connection("audience", enabled=False)

    result = materialize(rudderstack, assets, raise_on_error=False)

    assert not result.success


def test_marked_connection_that_is_enabled_again(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """A marked connection that has been enabled meanwhile is synced."""
    fill(server)
    assets = build_rudderstack_assets_definitions(rudderstack, disabled="mark", grouping="all")
    server.update_connection("paused", enabled=True)

    assert materialize(rudderstack, assets).success
    assert len(server.starts("paused")) == 1


def test_settings_are_handed_on(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """The settings of a sync reach every asset."""
    fill(server)
    assets = build_rudderstack_assets_definitions(
        rudderstack, sync_type="full", rejected_rows_check=None, pool="crm"
    )

    materialize(rudderstack, assets)

    assert [request.body for request in server.starts()] == [{"syncType": "full"}] * 2
    assert [list(each.check_specs) for each in assets] == [[], []]
    assert {each.op.pool for each in assets} == {"crm"}


def test_columns_are_materialized(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """A materialization tells the columns and their lineage, as the definition does."""
    fill(server)
    assets = build_rudderstack_assets_definitions(rudderstack)

    result = materialize(rudderstack, assets)

    for event in result.get_asset_materialization_events():
        spec = next(each for asset in assets for each in asset.specs if each.key == event.asset_key)
        for key in ("dagster/column_schema", "dagster/column_lineage"):
            assert event.materialization.metadata[key] == spec.metadata[key]


def test_two_workspaces(rudderstack: RudderStackResource, server: LocalRudderStack) -> None:
    """Two workspaces, of the US and of the EU, live in one code location, and sync their own."""
    with LocalRudderStack(access_token="eu-token") as eu_server:
        fill(server)
        fill(eu_server)
        eu = RudderStackResource(access_token="eu-token", api_url=eu_server.url)

        class EuTranslator(DagsterRudderStackTranslator):
            def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
                spec = super().get_asset_spec(props)
                return spec.replace_attributes(key=spec.key.with_prefix("eu"))

        assets = [
            *build_rudderstack_assets_definitions(rudderstack, grouping="all"),
            *build_rudderstack_assets_definitions(
                eu, EuTranslator(), grouping="all", name="rudderstack_eu", resource_key="eu"
            ),
        ]
        definitions = dg.Definitions(
            assets=assets, resources={"rudderstack": rudderstack, "eu": eu}
        )
        dg.Definitions.validate_loadable(definitions)
        eu_assets = dg.AssetSelection.assets(*(spec.key for spec in assets[1].specs))
        with dg.instance_for_test() as instance:
            job = definitions.resolve_implicit_global_asset_job_def()
            result = job.execute_in_process(
                instance=instance,
                asset_selection=list(eu_assets.resolve(definitions.resolve_asset_graph())),
            )

        assert result.success
        assert len(eu_server.starts()) == 2
        assert server.starts() == []


# --- a body of one's own

Sync = Callable[[], Iterator[Any]]


def test_decorator(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A function of one's own runs around the sync, and yields what it likes besides."""
    server.add_connection("crm")
    told: list[str] = []

    @rudderstack_assets(connection_id="crm", spec=dg.AssetSpec("contacts", deps=["customers"]))
    def contacts(
        context: dg.AssetExecutionContext, rudderstack: RudderStackResource, sync: Sync
    ) -> Iterator[Any]:
        told.append(f"before {context.asset_key.to_user_string()}")
        yield from sync()
        told.append(f"{len(rudderstack.list_syncs('crm'))} sync")

    result = materialize(rudderstack, [contacts])

    assert contacts.op.name == "contacts"
    assert told == ["before contacts", "1 sync"]
    assert len(result.get_asset_materialization_events()) == 1
    assert len(result.get_asset_check_evaluations()) == 1


def test_decorator_of_many(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A function of one's own can stand around the syncs of many connections."""
    server.add_connection("a")
    server.add_connection("b")

    @rudderstack_assets(connections={"a": "asset_a", "b": "asset_b"}, name="both")
    def syncs(
        context: dg.AssetExecutionContext, rudderstack: RudderStackResource, sync: Sync
    ) -> Iterator[Any]:
        for event in sync():
            context.log.info(f"{event.asset_key.to_user_string()} is done")
            yield event

    result = materialize(rudderstack, [syncs])

    assert syncs.op.name == "both"
    assert len(result.get_asset_materialization_events()) == 2


def test_decorator_with_a_body_that_yields_nothing(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """A function that forgets to yield is told what to yield, before anything is synced."""
    server.add_connection("crm")

    @rudderstack_assets(connection_id="crm")
    def contacts(
        context: dg.AssetExecutionContext, rudderstack: RudderStackResource, sync: Sync
    ) -> Any:
        return None

    with pytest.raises(InvalidSettingError, match=r"yield from sync\(\)"):
        materialize(rudderstack, [contacts])

    assert server.starts() == []


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"connection_id": "a", "connections": {"b": "b"}},
        {"connections": {"a": "a"}, "spec": "a"},
    ],
    ids=["neither", "both", "a spec for many"],
)
def test_decorator_without_a_clear_choice(arguments: dict[str, Any]) -> None:
    """One connection or many: anything else is refused."""
    with pytest.raises(InvalidSettingError, match="either connection_id"):
        rudderstack_assets(**arguments)


def test_columns_are_materialized_by_the_sensor(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """A sync that somebody else started is reported with the columns of its asset as well."""
    fill(server)
    assets = build_rudderstack_assets_definitions(rudderstack)
    sensor = build_rudderstack_polling_sensor(assets=assets, replay=1)
    server.start_sync("contacts", script=SyncScript())

    with dg.instance_for_test() as instance:
        context = dg.build_sensor_context(
            instance=instance,
            resources={"rudderstack": rudderstack},
            definitions=dg.Definitions(
                assets=assets, sensors=[sensor], resources={"rudderstack": rudderstack}
            ),
        )
        result = sensor(context)

    assert isinstance(result, dg.SensorResult)
    (told,) = [each for each in result.asset_events if isinstance(each, dg.AssetMaterialization)]
    assert told.asset_key == dg.AssetKey.from_user_string(CONTACTS)
    assert {"dagster/column_schema", "dagster/column_lineage"} <= told.metadata.keys()
