"""The warning for secrets in code."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    RudderStackResource,
)


@pytest.fixture
def warnings_of(caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """Loads definitions with a resource of these settings, and returns the warnings."""

    def load(**settings: Any) -> list[str]:
        caplog.clear()
        resource = RudderStackResource(**settings)
        for _ in range(2):
            dg.Definitions(resources={"rudderstack": resource}).get_repository_def()
        return [record.message for record in caplog.records if record.levelname == "WARNING"]

    return load


def test_token_in_code(warnings_of: Callable[..., list[str]]) -> None:
    """A token in code gives one warning, which does not show the token."""
    (message,) = warnings_of(access_token="literal-token-in-code")

    assert "are written in code: access_token. " in message
    assert "EnvVar('RUDDERSTACK_ACCESS_TOKEN')" in message
    assert "literal-token" not in message


def test_other_secrets_in_code(warnings_of: Callable[..., list[str]]) -> None:
    """The same holds for headers and for a proxy with a password."""
    (message,) = warnings_of(
        access_token=dg.EnvVar("TOKEN"),
        proxy_url="http://me:hush-hush@proxy.example:3128",
        extra_headers={"X-Key": "hush-hush", "X-Other": dg.EnvVar("OTHER")},
    )

    assert "are written in code: proxy_url, extra_headers['X-Key']. " in message
    assert "hush-hush" not in message
    assert warnings_of(access_token=dg.EnvVar("TOKEN"), proxy_url="http://proxy:3128") == []


def test_token_in_code__no_warning(
    warnings_of: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no warning for an `EnvVar`, or for a server on this machine."""
    monkeypatch.setenv("TOKEN", "token-of-the-environment")

    assert warnings_of(access_token=dg.EnvVar("TOKEN")) == []
    assert warnings_of(access_token="made-up-token", api_url="http://localhost:8000") == []


def test_token_in_code__no_warning_in_a_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A run, where the variable has been read, gives no warning."""
    monkeypatch.setenv("TOKEN", "token-of-the-environment")

    @dg.asset
    def reading(rudderstack: RudderStackResource) -> None:
        assert rudderstack.access_token == "token-of-the-environment"

    resource = RudderStackResource(access_token=dg.EnvVar("TOKEN"))
    assert dg.materialize([reading], resources={"rudderstack": resource}).success
    assert "written in code" not in caplog.text
