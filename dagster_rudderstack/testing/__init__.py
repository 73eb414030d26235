"""A local RudderStack for tests: it needs no workspace, no token and no network.

It is an HTTP server with RudderStack's API. A test scripts its syncs:

    with LocalRudderStack() as rudderstack:
        rudderstack.add_connection("crm", script=SyncScript(duration_seconds=2, rows_total=100))
        ...  # api_url=rudderstack.url, access_token=rudderstack.access_token
        assert len(rudderstack.starts("crm")) == 1

`Fault` breaks requests. `ManualClock` and `ScaledClock` compress hours into milliseconds.
`TableSync` lets a connection move the rows of a DuckDB table into a destination file.
`add_project` adds a Profiles project or an ETL source, whose runs follow a `RunScript`.
`TableBuild` lets the runs of a project build tables in a DuckDB file.
`python -m dagster_rudderstack.testing` runs the server as a process, and
`pytest_plugins = ["dagster_rudderstack.testing.pytest_plugin"]` adds the fixture
`local_rudderstack`.
"""

try:
    import starlette as _starlette  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ImportError as _error:
    raise ImportError(
        "The local RudderStack needs the extra 'testing': "
        "pip install 'dagster-rudderstack[testing]>=2'"
    ) from _error

from dagster_rudderstack.testing.builds import TableBuild
from dagster_rudderstack.testing.clock import Clock, ManualClock, ScaledClock
from dagster_rudderstack.testing.config import WorkspaceConfig, read_config
from dagster_rudderstack.testing.dataclass_json import ConfigError
from dagster_rudderstack.testing.errors import RefusedError, UnknownIdError
from dagster_rudderstack.testing.faults import Fault, FaultKind
from dagster_rudderstack.testing.remote import RemoteLocalRudderStack
from dagster_rudderstack.testing.request_log import RecordedRequest
from dagster_rudderstack.testing.runs import SimulatedRun
from dagster_rudderstack.testing.scripts import RunScript, SyncScript
from dagster_rudderstack.testing.server import LocalRudderStack
from dagster_rudderstack.testing.syncs import SimulatedSync
from dagster_rudderstack.testing.tables import TableSync

__all__ = [
    "Clock",
    "ConfigError",
    "Fault",
    "FaultKind",
    "LocalRudderStack",
    "ManualClock",
    "RecordedRequest",
    "RefusedError",
    "RemoteLocalRudderStack",
    "RunScript",
    "ScaledClock",
    "SimulatedRun",
    "SimulatedSync",
    "SyncScript",
    "TableBuild",
    "TableSync",
    "UnknownIdError",
    "WorkspaceConfig",
    "read_config",
]
