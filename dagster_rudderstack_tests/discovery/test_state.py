"""A workspace without a snapshot file: it is kept with the code location."""

import base64
import zlib

import dagster as dg
import pytest
from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)
from dagster._core.definitions.repository_definition import RepositoryLoadData

from dagster_rudderstack import (
    DiscoveryError,
    RudderStackResource,
    build_rudderstack_assets_definitions,
    load_rudderstack_asset_specs,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import AUDIENCE, CONTACTS, OUTAGE, fill

TOKEN = "RUDDERSTACK_ACCESS_TOKEN"


@pytest.fixture
def workspace(server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch) -> RudderStackResource:
    """A workspace whose token comes from an environment variable."""
    fill(server)
    monkeypatch.setenv(TOKEN, server.access_token)
    return RudderStackResource(
        access_token=dg.EnvVar(TOKEN), api_url=server.url, request_max_retries=0
    )


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> DefinitionsLoadContext:
    """The load of a code location, as a code server begins it."""
    context = DefinitionsLoadContext(DefinitionsLoadType.INITIALIZATION)
    monkeypatch.setattr(DefinitionsLoadContext, "_instance", context)
    return context


def reload(load: DefinitionsLoadContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin the load of the same code location in the process of a run."""
    data = RepositoryLoadData(
        cacheable_asset_data={}, reconstruction_metadata=load.get_pending_reconstruction_metadata()
    )
    context = DefinitionsLoadContext(DefinitionsLoadType.RECONSTRUCTION, data)
    monkeypatch.setattr(DefinitionsLoadContext, "_instance", context)


def keys(resource: RudderStackResource) -> set[str]:
    return {asset.key.to_user_string() for asset in build_rudderstack_assets_definitions(resource)}


@pytest.mark.usefixtures("load")
def test_load__once(workspace: RudderStackResource, server: LocalRudderStack) -> None:
    """While a code location loads, its workspace is read once for all calls of the factories."""
    assert keys(workspace) >= {CONTACTS, AUDIENCE}
    requests = len(server.requests)

    again = RudderStackResource(access_token=dg.EnvVar(TOKEN), api_url=server.url)
    assert len(load_rudderstack_asset_specs(again)) >= 2

    assert len(server.requests) == requests


def test_run(
    workspace: RudderStackResource,
    server: LocalRudderStack,
    load: DefinitionsLoadContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process of a run has the assets of its code location, without a request or a token."""
    loaded = keys(workspace)
    server.add_fault(OUTAGE)
    server.clear_requests()
    reload(load, monkeypatch)
    monkeypatch.delenv(TOKEN)

    assert keys(workspace) == loaded
    assert server.requests == []


def test_other_workspace(
    workspace: RudderStackResource, load: DefinitionsLoadContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each workspace is kept by the name of its token's variable and its address."""
    keys(workspace)

    with LocalRudderStack() as eu:
        monkeypatch.setenv("EU_TOKEN", eu.access_token)
        other = RudderStackResource(access_token=dg.EnvVar("EU_TOKEN"), api_url=eu.url)
        assert keys(other) == set()

    kept = list(load.get_pending_reconstruction_metadata())
    assert [key.rpartition("/")[2] for key in kept] == [TOKEN, "EU_TOKEN"]


@pytest.mark.usefixtures("load")
def test_token_in_code(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A workspace whose token is written in code is read each time, since it has no name."""
    fill(server)
    keys(rudderstack)
    requests = len(server.requests)

    keys(rudderstack)

    assert len(server.requests) == 2 * requests


def test_no_code_location(
    workspace: RudderStackResource, server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a notebook or a script, each call reads the workspace."""
    monkeypatch.setattr(DefinitionsLoadContext, "_instance", None)
    before = keys(workspace)
    server.add_connection("new", "customers-src", "hubspot", object="Company")

    assert len(keys(workspace)) == len(before) + 1


def test_content(
    workspace: RudderStackResource, server: LocalRudderStack, load: DefinitionsLoadContext
) -> None:
    """What is kept has no secret, and is the same text until the workspace changes."""
    keys(workspace)
    (first,) = load.get_pending_reconstruction_metadata().values()
    context = DefinitionsLoadContext(DefinitionsLoadType.INITIALIZATION)
    DefinitionsLoadContext.set(context)

    keys(workspace)

    (second,) = context.get_pending_reconstruction_metadata().values()
    assert first == second
    text = zlib.decompress(base64.b64decode(first)).decode()
    assert server.access_token not in text
    assert "s3cr3t" not in text


@pytest.mark.usefixtures("load")
def test_outage(workspace: RudderStackResource, server: LocalRudderStack) -> None:
    """If the workspace cannot be read when the code location loads, the error says what helps."""
    server.add_fault(OUTAGE)

    with pytest.raises(DiscoveryError, match="Set snapshot to the path of a file"):
        keys(workspace)
