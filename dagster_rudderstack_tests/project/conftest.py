"""Fixtures of the project tests."""

import subprocess
from pathlib import Path

import pytest

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
