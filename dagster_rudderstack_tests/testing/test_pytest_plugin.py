"""The fixture `local_rudderstack`, as a user's project enables it."""

import subprocess
import sys
from pathlib import Path

CONFTEST = 'pytest_plugins = ["dagster_rudderstack.testing.pytest_plugin"]'
TESTS = """
import urllib.request

def test_it_runs(local_rudderstack):
    local_rudderstack.add_connection("crm")
    answer = urllib.request.urlopen(local_rudderstack.url + "/_control/state")
    assert answer.status == 200

def test_it_is_empty(local_rudderstack):
    assert local_rudderstack.syncs() == []

def test_it_has_a_bug(local_rudderstack):
    local_rudderstack._simulator.add_error(ValueError("a bug"))
"""


def test_plugin(tmp_path: Path) -> None:
    """Each test has its own server, and fails if the server has a bug."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_users.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    environment = {
        "PATH": "",
        "PYTHONPATH": ":".join(sys.path),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "no_proxy": "*",
    }

    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert "3 passed, 1 error" in result.stdout
    assert "ValueError: a bug" in result.stdout
