"""The tests of the example project, run as its user runs them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_own_tests() -> None:
    """The tests of the example pass with its own pytest settings and no other plugins."""
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        check=True,
        cwd=ROOT / "examples" / "reverse_etl_demo",
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
