"""Fixtures of the project tests."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.project.pages import CONNECTION, SECOND_CONNECTION

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def vendor_python() -> str:
    """A Python with RudderStack's own package 1.3.0. The Makefile installs it if it is missing."""
    python = ROOT / ".venv-vendor" / "bin" / "python"
    subprocess.run(["make", "--silent", ".venv-vendor/installed"], check=True, cwd=ROOT)  # noqa: S607
    return str(python)


@pytest.fixture(scope="session")
def airflow_python() -> str:
    """A Python with RudderStack's Airflow provider 2.4.3. The Makefile installs it if missing."""
    python = ROOT / ".venv-airflow" / "bin" / "python"
    subprocess.run(["make", "--silent", ".venv-airflow/installed"], check=True, cwd=ROOT)  # noqa: S607
    return str(python)


@pytest.fixture
def documented(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRudderStack]:
    """A local RudderStack with the connections of the documentation, and its token in the
    environment."""
    with LocalRudderStack() as server:
        script = SyncScript(rows_total=100, rows_changed=20, rows_failed=3)
        server.add_connection(CONNECTION, script=script)
        server.add_connection(SECOND_CONNECTION, script=script)
        monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
        yield server
