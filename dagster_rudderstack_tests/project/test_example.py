"""The tests of the example projects, run as their users run them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("example", ["reverse_etl_demo", "cluster"])
def test_own_tests(example: str) -> None:
    """The tests of the example pass with its own pytest settings and no other plugins."""
    if example == "cluster":
        pytest.importorskip("dagster_celery", reason="it is in the dependency group `cluster`")
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        check=True,
        cwd=ROOT / "examples" / example,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
