"""RudderStack's Airflow provider 2.4.3 with the local RudderStack.

RudderStack wrote it for its API, so it is an independent check of the local RudderStack, and the
only one for ETL sources. Its hooks and operators run unchanged in a Python environment with
Airflow, and send their requests themselves: none is replayed. No Airflow service runs: the
connection to RudderStack is an environment variable, and the operators need neither a scheduler nor
a database.
"""

import json
import os
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dagster_rudderstack.testing import LocalRudderStack, RunScript, SyncScript

pytestmark = pytest.mark.processes

HOOKS = """
    import json
    from importlib.metadata import version

    from rudder_airflow_provider.hooks.rudderstack import (
        RudderStackETLHook,
        RudderStackProfilesHook,
        RudderStackRETLHook,
    )
    from rudder_airflow_provider.operators.rudderstack import (
        RudderstackETLOperator,
        RudderstackProfilesOperator,
        RudderstackRETLOperator,
    )

    assert version("rudderstack-airflow-provider") == "2.4.3"
    hook = {"connection_id": "rudderstack_default", "poll_interval": 0.05, "request_max_retries": 0}
    task = {"task_id": "task", "poll_interval": 0.05, "request_max_retries": 0}
"""


@pytest.fixture
def rudderstack() -> Iterator[LocalRudderStack]:
    with LocalRudderStack() as rudderstack:
        yield rudderstack


@pytest.fixture
def run(airflow_python: str, rudderstack: LocalRudderStack, tmp_path: Path) -> "Run":
    return Run(airflow_python, rudderstack, tmp_path)


class Run:
    """Runs code with the provider, isolated from this checkout."""

    def __init__(self, python: str, rudderstack: LocalRudderStack, home: Path) -> None:
        connection = {
            "conn_type": "http",
            "host": rudderstack.url,
            "password": rudderstack.access_token,
        }
        self._python = python
        self._env = {
            "PATH": os.defpath,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_RUDDERSTACK_DEFAULT": json.dumps(connection),
        }

    def __call__(self, code: str) -> Any:
        """Run the code, and return the JSON of the last line that it prints."""
        finished = subprocess.run(
            [self._python, "-I", "-c", textwrap.dedent(HOOKS) + textwrap.dedent(code)],
            check=False,
            capture_output=True,
            text=True,
            timeout=240,
            env=self._env,
        )
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout.splitlines()[-1])


def operations(rudderstack: LocalRudderStack) -> list[str]:
    """The requests without repetitions: each poll counts once."""
    return list(dict.fromkeys(request.operation for request in rudderstack.requests))


def test_hooks(run: Run, rudderstack: LocalRudderStack) -> None:
    """Its hooks start a sync, a Profiles run and an ETL run, poll them, and read their results."""
    rudderstack.add_connection("crm", script=SyncScript(duration_seconds=0.3, rows_total=100))
    rudderstack.add_project("features", RunScript(duration_seconds=0.3))
    rudderstack.add_project("orders", RunScript(duration_seconds=0.3, snake_case=True))

    code = """
        retl = RudderStackRETLHook(**hook)
        sync = retl.poll_sync("crm", retl.start_sync("crm", "incremental"))
        profiles = RudderStackProfilesHook(**hook)
        parameters = ["--model_refs models/customer_features"]
        profiles_run = profiles.poll_profile_run(
            "features", profiles.start_profile_run("features", parameters)
        )
        etl = RudderStackETLHook(**hook)
        etl_run = etl.poll_sync("orders", etl.start_sync("orders"))
        print(json.dumps([sync, profiles_run, etl_run]))
    """
    sync, profiles_run, etl_run = run(code)

    assert (sync["status"], sync["metrics"]["total"]) == ("succeeded", 100)
    assert (profiles_run["status"], etl_run["status"]) == ("finished", "finished")
    assert profiles_run["finishedAt"]
    assert etl_run["finished_at"]
    starts = [request for request in rudderstack.requests if request.method == "POST"]
    assert [(start.path, start.body) for start in starts] == [
        ("/v2/retl-connections/crm/start", {"syncType": "incremental"}),
        ("/v2/sources/features/start", {"parameters": ["--model_refs models/customer_features"]}),
        ("/v2/sources/orders/start", None),
    ]
    assert operations(rudderstack) == ["start", "get_sync", "start_run", "get_run"]
    assert {request.status for request in rudderstack.requests} == {200}


def test_operators(run: Run, rudderstack: LocalRudderStack) -> None:
    """Its operators run a sync, a Profiles run and an ETL run, as a task of Airflow does."""
    rudderstack.add_connection("crm")
    rudderstack.add_project("features")
    rudderstack.add_project("orders")

    code = """
        for operator in (
            RudderstackRETLOperator(retl_connection_id="crm", **task),
            RudderstackProfilesOperator(profile_id="features", **task),
            RudderstackETLOperator(etl_source_id="orders", **task),
        ):
            operator.execute(context={})
        print(json.dumps("done"))
    """
    assert run(code) == "done"

    starts = [request for request in rudderstack.requests if request.method == "POST"]
    assert [start.body for start in starts] == [{}, None, None]
    assert operations(rudderstack) == ["start", "get_sync", "start_run", "get_run"]
    # The operator names no sync type, and RudderStack then runs a full sync. See docs/migration.md.
    (sync,) = rudderstack.syncs("crm")
    assert (sync.sync_type, sync.status) == ("full", "succeeded")


def test_failures(run: Run, rudderstack: LocalRudderStack) -> None:
    """It reads the reason of a failed sync, and of runs that finished with an error."""
    script = SyncScript(status="failed", error="no such table")
    rudderstack.add_connection("crm", script=script)
    rudderstack.add_project("features", RunScript(error="no such model"))
    rudderstack.add_project("orders", RunScript(error="no such account"))

    code = """
        reasons = []
        for operator in (
            RudderstackRETLOperator(retl_connection_id="crm", **task),
            RudderstackProfilesOperator(profile_id="features", **task),
            RudderstackETLOperator(etl_source_id="orders", **task),
        ):
            try:
                operator.execute(context={})
            except Exception as error:
                reasons.append(str(error).rpartition("failed with error: ")[2])
        print(json.dumps(reasons))
    """
    reasons = run(code)

    assert reasons == ["no such table", "no such model", "no such account"]


def test_failed_status(run: Run, rudderstack: LocalRudderStack) -> None:
    """It polls a run with the status "failed" until the timeout, as docs/migration.md says."""
    rudderstack.add_project("features", RunScript(status="failed", error="no such model"))

    code = """
        try:
            RudderstackProfilesOperator(profile_id="features", poll_timeout=0.2, **task).execute({})
        except Exception as error:
            print(json.dumps(str(error)))
    """
    message = run(code)

    assert message.endswith("timed out")


def test_refused_starts(run: Run, rudderstack: LocalRudderStack) -> None:
    """It gets 404 for an unknown source and 409 for one that runs."""
    rudderstack.add_project("busy", RunScript(never_ends=True))

    code = """
        etl = RudderStackETLHook(**hook)
        etl.start_sync("busy")
        for source_id in ("busy", "unknown"):
            try:
                etl.start_sync(source_id)
            except Exception as error:
                print(type(error).__name__)
        print(json.dumps("done"))
    """
    assert run(code) == "done"

    assert [request.status for request in rudderstack.requests] == [200, 409, 404]
