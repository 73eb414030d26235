"""The state of a workspace in YAML: when it is refreshed, and what happens without it."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.defs_state.blob_storage_state_storage import UPathDefsStateStorage

from dagster_rudderstack import DiscoveryError, StatusError
from dagster_rudderstack.discovery.snapshot_file import MAX_RETRIES_WHILE_LOADING
from dagster_rudderstack.testing import Fault, LocalRudderStack
from dagster_rudderstack_tests.components.conftest import (
    TOKEN,
    WORKSPACE,
    Project,
    assets_of,
    causes,
    component_of,
    deps_of,
)
from dagster_rudderstack_tests.discovery.conftest import AUDIENCE, CONTACTS, OUTAGE


def test_state(project: Project, workspace: dict[str, Any], server: LocalRudderStack) -> None:
    """Outside of development, definitions load from the state without a request."""
    assets_of(project, workspace)
    server.clear_requests()
    project.in_development(yes=False)

    assert set(deps_of(project.load())) == {CONTACTS, AUDIENCE}
    assert server.requests == []


def test_state__no_token(
    project: Project, workspace: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Definitions load from the state if the token is not set, for example in a build."""
    assets_of(project, workspace)
    monkeypatch.delenv(TOKEN)

    assert set(deps_of(project.load())) == {CONTACTS, AUDIENCE}


def test_state__files(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack
) -> None:
    """The state is in `.local_defs_state`, which git ignores, with no token in its name or text."""
    assets_of(project, workspace)

    folder = project.sandbox.defs_folder_path / ".local_defs_state"
    state, ignored = sorted(each for each in folder.rglob("*") if each.is_file())[::-1]
    assert (state.name, ignored.name) == ("state", ".gitignore")
    assert ignored.read_text().splitlines()[0] == "*"
    assert server.access_token not in f"{state}{state.read_text()}"


def test_development(project: Project, workspace: dict[str, Any], server: LocalRudderStack) -> None:
    """In development, each load refreshes the state, unless that is switched off."""
    assets_of(project, workspace)
    server.remove_connection("audience")
    no_refresh = {"management_type": "LOCAL_FILESYSTEM", "refresh_if_dev": False}

    assert set(deps_of(assets_of(project, workspace, defs_state=no_refresh))) == {
        CONTACTS,
        AUDIENCE,
    }
    assert set(deps_of(assets_of(project, workspace))) == {CONTACTS}


def test_development__outage(
    project: Project,
    workspace: dict[str, Any],
    server: LocalRudderStack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """During an outage, definitions load from the last state with a warning."""
    assets_of(project, workspace)
    server.add_fault(OUTAGE)

    with caplog.at_level(logging.WARNING):
        definitions = project.load()

    assert set(deps_of(definitions)) == {CONTACTS, AUDIENCE}
    assert "The assets are those of the last refresh." in caplog.text


def test_development__refused_list(
    project: Project,
    workspace: dict[str, Any],
    server: LocalRudderStack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If the token may no longer list the sources, the assets keep their names."""
    assets_of(project, workspace)
    server.add_fault(Fault("status", operation="list_sources", status=403, times=None))

    with caplog.at_level(logging.WARNING):
        definitions = project.load()

    assert set(deps_of(definitions)) == {CONTACTS, AUDIENCE}
    assert "No source could be read, but the last snapshot has 2." in caplog.text


@pytest.mark.parametrize("in_development", [True, False])
def test_no_state(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack, in_development: bool
) -> None:
    """The error for a missing state says how to refresh it."""
    server.add_fault(OUTAGE)
    project.in_development(in_development)
    project.component("crm", WORKSPACE, {"workspace": workspace})

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        project.load()

    message = causes(caught.value)
    assert "There is no state of the RudderStack workspace" in message
    assert "dg utils refresh-defs-state" in message
    assert ("answered 503" in message) == in_development
    # The message stands out, instead of the way through threads and retries down to the socket.
    assert message.splitlines()[-1].startswith("There is no state")


DAMAGED = {
    "not JSON": (b"{", "is damaged"),
    "not UTF-8": (b"\xff", "is not a snapshot"),
    "newer release": (b'{"version": 2}', "this release of dagster-rudderstack reads version 1"),
}


@pytest.mark.parametrize(("content", "words"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_state(
    project: Project, workspace: dict[str, Any], content: bytes, words: str
) -> None:
    """The error for an unreadable state names its key, and says how to refresh it."""
    assets_of(project, workspace)
    state_file(project).write_bytes(content)
    project.in_development(yes=False)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        project.load()

    message = causes(caught.value)
    assert "The state 'RudderStackWorkspaceComponent[" in message
    assert words in message
    assert "dg utils refresh-defs-state" in message


def test_damaged_state__development(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack
) -> None:
    """In development, a refresh replaces an unreadable state. If it fails, the error says why."""
    assets_of(project, workspace)
    state_file(project).write_bytes(b"\xff")
    server.add_fault(OUTAGE)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        project.load()
    server.clear_faults()

    message = causes(caught.value)
    assert "is not a snapshot" in message
    assert "The refresh failed: RudderStack answered 503" in message
    assert set(deps_of(project.load())) == {CONTACTS, AUDIENCE}


@pytest.mark.parametrize(
    "error",
    [PermissionError(13, "Permission denied"), KeyError("a bug"), DiscoveryError("Not storable.")],
    ids=lambda error: type(error).__name__,
)
def test_development__any_error(
    project: Project,
    workspace: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """After an error of any kind, definitions load from the last state with a warning."""
    assets_of(project, workspace)
    refuse(monkeypatch, Path, "replace", error)

    assert set(deps_of(project.load())) == {CONTACTS, AUDIENCE}
    assert str(error) in caplog.text
    assert "The assets are those of the last refresh." in caplog.text


def test_versioned_storage__error(
    project: Project,
    workspace: dict[str, Any],
    server: LocalRudderStack,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """If Dagster cannot store the new state, definitions load from the last one too."""
    storage = {
        "module": UPathDefsStateStorage.__module__,
        "class": UPathDefsStateStorage.__name__,
        "config": {"base_path": str(tmp_path / "states")},
    }
    (tmp_path / "dagster.yaml").write_text(json.dumps({"defs_state_storage": storage}))
    versioned = {"management_type": "VERSIONED_STATE_STORAGE"}

    with dg.DagsterInstance.from_config(str(tmp_path)):
        assets_of(project, workspace, defs_state=versioned)
        server.remove_connection("audience")
        refuse(monkeypatch, UPathDefsStateStorage, "upload_state_from_path", OSError("No space."))

        assert set(deps_of(project.load())) == {CONTACTS, AUDIENCE}


def test_in_memory_state__outage(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack
) -> None:
    """State in memory has no last state, so an outage is an error after one attempt."""
    server.add_fault(OUTAGE)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        assets_of(
            project, workspace, defs_state={"management_type": "LEGACY_CODE_SERVER_SNAPSHOTS"}
        )

    assert "answered 503" in causes(caught.value)
    requests = [request for request in server.requests if "connections" in request.path]
    assert len(requests) == 1 + MAX_RETRIES_WHILE_LOADING


def test_explicit_refresh__outage(
    project: Project, workspace: dict[str, Any], server: LocalRudderStack
) -> None:
    """An explicit refresh raises the error itself, and keeps the last state."""
    assets_of(project, workspace)
    component = component_of(project, workspace)
    before = state_file(project).read_bytes()
    server.add_fault(OUTAGE)

    with pytest.raises(StatusError, match="503"):
        asyncio.run(component.refresh_state(project.sandbox.project_root))

    assert state_file(project).read_bytes() == before


def test_translation__error(project: Project, workspace: dict[str, Any]) -> None:
    """The error of a translation names the connection."""
    translation = {"group_name": "{{ props.object.lower() }}"}

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        assets_of(project, workspace, translation=translation)

    assert "connection 'Big spenders to Braze (EU)' (audience)" in causes(caught.value)


def state_file(project: Project) -> Path:
    """Return the file of the workspace's state."""
    (state,) = project.sandbox.defs_folder_path.rglob("state")
    return state


def refuse(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, error: Exception) -> None:
    """Let a method raise an error."""

    def raise_error(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(owner, name, raise_error)
