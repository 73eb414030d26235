"""The page of settings: its table, and what it says about variables and misspelled names."""

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack_tests.project import pages


def test_settings() -> None:
    """The table has all fields of the resource, with default and description.

    `python -m dagster_rudderstack_tests.project.pages` updates it.
    """
    page = pages.SETTINGS.read_text()

    assert page == pages.with_settings_table(page)


def test_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strings and integers can come from the environment, and are validated at run time."""
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", "a-token")
    monkeypatch.setenv("SYNC_TIMEOUT", "60")
    resource = RudderStackResource(
        access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
        sync_timeout_seconds=dg.EnvVar.int("SYNC_TIMEOUT"),
    )

    with resource as rudderstack:
        assert rudderstack.sync_timeout_seconds == 60
    monkeypatch.setenv("SYNC_TIMEOUT", "-1")
    with pytest.raises(ValueError, match="sync_timeout_seconds -1"), resource:
        pass


def test_misspelled_setting() -> None:
    """A misspelled setting is an error."""
    with pytest.raises(ValueError, match="sync_timeout_secs"):
        RudderStackResource(access_token="a-token", sync_timeout_secs=60)  # type: ignore[call-arg]
