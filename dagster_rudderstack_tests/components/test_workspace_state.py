"""The state of a workspace in YAML: when it is refreshed, and what happens without it."""

import logging
from typing import Any

import pytest

from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.components.conftest import (
    TOKEN,
    WORKSPACE,
    Project,
    assets_of,
    causes,
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


def test_damaged_state(project: Project, workspace: dict[str, Any]) -> None:
    """The error for an unreadable state says how to refresh it."""
    assets_of(project, workspace)
    (state,) = project.sandbox.defs_folder_path.rglob("state")
    state.write_text('{"version": 0}')
    project.in_development(yes=False)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps the error
        project.load()

    assert "dg utils refresh-defs-state" in causes(caught.value)
