"""The fixture `local_rudderstack`.

A `conftest.py` brings it in with `pytest_plugins = ["dagster_rudderstack.testing.pytest_plugin"]`.
"""

from collections.abc import Iterator

import pytest

from dagster_rudderstack.testing import LocalRudderStack


@pytest.fixture
def local_rudderstack() -> Iterator[LocalRudderStack]:
    """Run an empty local RudderStack for one test, which fails if the server itself had a bug."""
    with LocalRudderStack() as rudderstack:
        yield rudderstack
        if rudderstack.errors:
            pytest.fail("\n".join(rudderstack.errors))
