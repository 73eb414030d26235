"""The fixture `local_rudderstack`, as a user's project enables it."""

import pytest

pytest_plugins = ["pytester"]

CONFTEST = 'pytest_plugins = ["dagster_rudderstack.testing.pytest_plugin"]'
TESTS = """
from dagster_rudderstack import RudderStackResource

def test_it_runs(local_rudderstack):
    local_rudderstack.add_connection("crm")
    token, url = local_rudderstack.access_token, local_rudderstack.url
    with RudderStackResource(access_token=token, api_url=url) as rudderstack:
        assert rudderstack.get_connection("crm").id == "crm"

def test_it_is_empty(local_rudderstack):
    assert local_rudderstack.syncs() == []

def test_it_has_a_bug(local_rudderstack):
    local_rudderstack._simulator.add_error(ValueError("a bug"))
"""


def test_plugin(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own server, and fails if the server has a bug."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("no_proxy", "*")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_users=TESTS)

    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")

    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines("*ValueError: a bug*")
