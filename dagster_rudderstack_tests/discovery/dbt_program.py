"""Finds dbt. It needs other versions of our dependencies, so `make` installs it separately."""

import sys
from pathlib import Path

import pytest

PLACES = (
    Path(__file__).parents[2] / ".venv-dbt" / "bin" / "dbt",
    Path(sys.executable).with_name("dbt"),
)
DBT = next((path for path in PLACES if path.exists()), None)

needs_dbt = pytest.mark.skipif(DBT is None, reason="needs dbt: make test-processes installs it")
