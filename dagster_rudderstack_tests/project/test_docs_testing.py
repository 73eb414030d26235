"""The page on tests of a user's project: its example passes, and its names exist."""

import importlib

import pytest

from dagster_rudderstack_tests.project import pages
from dagster_rudderstack_tests.testing import test_command_line

PAGE = pages.DOCS / "guides" / "testing.md"

pytest_plugins = ["pytester"]


def test_own_tests(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of a user's test passes."""
    # The plugins of this project slow down the start, and users do not have them.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(test_syncs=pages.block("Test your own project", "python", PAGE))

    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_local_rudderstack_as_a_process() -> None:
    """The page names the command that `testing/test_command_line.py` runs."""
    command = " ".join(["python", *test_command_line.COMMAND[-2:]])

    assert command == "python -m dagster_rudderstack.testing"
    assert f"`{command}`" in PAGE.read_text()


def test_names_in_prose() -> None:
    """The names in the text are exported."""
    testing = importlib.import_module("dagster_rudderstack.testing")

    assert {"Fault", "ScaledClock", "TableSync", "LocalRudderStack"} <= set(testing.__all__)
