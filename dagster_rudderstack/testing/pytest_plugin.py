"""The fixture `local_rudderstack`.

Enable it in `conftest.py`: `pytest_plugins = ["dagster_rudderstack.testing.pytest_plugin"]`.
"""

from collections.abc import Iterator

import pytest

from dagster_rudderstack.testing import LocalRudderStack


@pytest.fixture
def local_rudderstack() -> Iterator[LocalRudderStack]:
    """Run an empty local RudderStack for one test. The test fails if the server has a bug."""
    with LocalRudderStack() as rudderstack:
        yield rudderstack
        if rudderstack.errors:
            pytest.fail("\n".join(rudderstack.errors))
