"""Fixtures of the tests on the project."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def vendor_python() -> str:
    """A Python that has the vendor's own package 1.3.0; made by the Makefile if it is missing."""
    python = ROOT / ".venv-vendor" / "bin" / "python"
    subprocess.run(["make", "--silent", ".venv-vendor/installed"], check=True, cwd=ROOT)  # noqa: S607
    return str(python)
