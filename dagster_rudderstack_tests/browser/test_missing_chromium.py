"""What happens to the tests of pages on a machine without Chromium."""

import pytest

from dagster_rudderstack_tests.browser.chromium import MISSING, chromium_path


@pytest.fixture(autouse=True)
def empty_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


def test_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a developer's machine they are skipped."""
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        chromium_path()


def test_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under CI they fail, and say what to install."""
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match=MISSING):
        chromium_path()
