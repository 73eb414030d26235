"""RudderStack's own package 1.3.0 with the local RudderStack.

RudderStack wrote it for its API, so it is an independent check of the local RudderStack. It has the
same name as this package, so it runs in its own Python environment.
"""

import json
import os
import subprocess
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from dagster_rudderstack.testing import LocalRudderStack, RunScript, SyncScript
from dagster_rudderstack.vendor_names import NEW_NAMES

pytestmark = pytest.mark.processes

RESOURCES = """
    import json, os
    from importlib.metadata import version

    from dagster_rudderstack.resources.rudderstack import (
        RudderStackProfilesResource,
        RudderStackRETLResource,
    )

    assert version("dagster-rudderstack") == "1.3.0"
    settings = {
        "access_token": os.environ["TOKEN"],
        "rs_cloud_url": os.environ["URL"],
        "poll_interval": 0.05,
        "request_max_retries": 0,
    }
    resource = RudderStackRETLResource(**settings)
    profiles = RudderStackProfilesResource(**settings)
"""


@pytest.fixture
def rudderstack() -> Iterator[LocalRudderStack]:
    with LocalRudderStack() as rudderstack:
        yield rudderstack


def run(
    vendor_python: str, rudderstack: LocalRudderStack, code: str
) -> subprocess.CompletedProcess[str]:
    """Run code with the vendor's resources, isolated from this checkout."""
    return subprocess.run(
        [vendor_python, "-I", "-c", textwrap.dedent(RESOURCES) + textwrap.dedent(code)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": os.defpath, "URL": rudderstack.url, "TOKEN": rudderstack.access_token},
    )


def last_line(finished: subprocess.CompletedProcess[str]) -> Any:
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


def test_sync(vendor_python: str, rudderstack: LocalRudderStack) -> None:
    """It starts a sync, polls it, and reads its final rows."""
    script = SyncScript(duration_seconds=0.3, rows_total=100, rows_changed=20, rows_failed=3)
    rudderstack.add_connection("crm", script=script)

    code = "print(json.dumps(resource.start_and_poll('crm').sync_run_details))"
    details = last_line(run(vendor_python, rudderstack, code))

    (sync,) = rudderstack.syncs("crm")
    polls = [request for request in rudderstack.requests if request.method == "GET"]
    assert (details["id"], details["status"]) == (sync.id, "succeeded")
    assert details["metrics"] == {
        "total": 100,
        "changed": {"total": 20},
        "succeeded": {"total": 17},
        "failed": {"total": 3},
    }
    assert {request.status for request in rudderstack.requests} == {200}
    assert len(polls) > 1


def test_op_in_a_job(vendor_python: str, rudderstack: LocalRudderStack) -> None:
    """Its op runs an incremental sync in a Dagster job."""
    rudderstack.add_connection("crm")

    code = """
        import dagster as dg
        from dagster_rudderstack.ops.retl import rudderstack_sync_op

        @dg.job(resource_defs={"retl_resource": resource})
        def activate():
            rudderstack_sync_op()

        ops = {"rudderstack_sync_op": {"config": {"connection_id": "crm"}}}
        print(json.dumps(activate.execute_in_process({"ops": ops}).success))
    """
    succeeded = last_line(run(vendor_python, rudderstack, code))

    (sync,) = rudderstack.syncs("crm")
    assert succeeded
    assert (sync.sync_type, sync.status) == ("incremental", "succeeded")


def test_failed_sync(vendor_python: str, rudderstack: LocalRudderStack) -> None:
    """It reads the reason of a failed sync."""
    rudderstack.add_connection("crm", script=SyncScript(status="failed", error="no such table"))

    finished = run(vendor_python, rudderstack, "resource.start_and_poll('crm')")

    assert finished.returncode == 1
    assert "failed with error: no such table" in finished.stderr


@pytest.mark.parametrize("snake_case", [False, True])
def test_profiles(vendor_python: str, rudderstack: LocalRudderStack, snake_case: bool) -> None:
    """It starts a run of a Profiles project with parameters, polls it, and reads its details."""
    script = RunScript(duration_seconds=0.3, snake_case=snake_case)
    rudderstack.add_project("features", script)

    code = """
        parameters = ["--model_refs models/customer_features", "--rebase_incremental"]
        output = profiles.start_and_poll("features", parameters)
        print(json.dumps(output.profiles_run_details))
    """
    details = last_line(run(vendor_python, rudderstack, code))

    start, *polls = rudderstack.requests
    assert (start.operation, start.body) == (
        "start_run",
        {"parameters": ["--model_refs models/customer_features", "--rebase_incremental"]},
    )
    assert len(polls) > 1
    assert {request.operation for request in polls} == {"get_run"}
    assert {request.status for request in rudderstack.requests} == {200}
    assert details["status"] == "finished"
    assert details["started_at" if snake_case else "startedAt"]
    assert len(details["tasks"]) == 1


def test_profiles__op_in_a_job(vendor_python: str, rudderstack: LocalRudderStack) -> None:
    """Its op runs a Profiles project in a Dagster job, by default without parameters."""
    rudderstack.add_project("features")

    code = """
        import dagster as dg
        from dagster_rudderstack.ops.profiles import rudderstack_profiles_op

        @dg.job(resource_defs={"profiles_resource": profiles})
        def build_features():
            rudderstack_profiles_op()

        ops = {"rudderstack_profiles_op": {"config": {"profile_id": "features"}}}
        print(json.dumps(build_features.execute_in_process({"ops": ops}).success))
    """
    succeeded = last_line(run(vendor_python, rudderstack, code))

    start, *polls = rudderstack.requests
    assert succeeded
    assert (start.operation, start.body) == ("start_run", None)
    assert {request.operation for request in polls} == {"get_run"}


def test_profiles__failed(vendor_python: str, rudderstack: LocalRudderStack) -> None:
    """It reads the reason of a failed run."""
    script = RunScript(status="failed", error="no such model")
    rudderstack.add_project("features", script)

    finished = run(vendor_python, rudderstack, "profiles.start_and_poll('features')")

    assert finished.returncode == 1
    assert "failed with error: no such model" in finished.stderr


def test_profiles__finished_with_an_error(
    vendor_python: str, rudderstack: LocalRudderStack
) -> None:
    """It takes a run that finished with an error for a success, as docs/migration.md says."""
    rudderstack.add_project("features", RunScript(error="no such model"))

    code = "print(json.dumps(profiles.start_and_poll('features').profiles_run_details))"
    details = last_line(run(vendor_python, rudderstack, code))

    assert (details["status"], details["error"]) == ("finished", "no such model")


@pytest.mark.parametrize(("source_id", "status"), [("unknown", 404), ("busy", 409)])
def test_profiles__refused_start(
    vendor_python: str, rudderstack: LocalRudderStack, source_id: str, status: int
) -> None:
    """It gets 404 for an unknown project and 409 for one that runs."""
    rudderstack.add_project("busy", RunScript(never_ends=True))
    code = f"""
        if {source_id!r} == "busy":
            profiles.start_profile_run("busy")
        profiles.start_profile_run({source_id!r})
    """

    finished = run(vendor_python, rudderstack, code)

    assert finished.returncode == 1
    assert f"{status} Client Error" in finished.stderr


def test_old_names(vendor_python: str, rudderstack: LocalRudderStack) -> None:
    """The table of old and new names has those of the package, by module."""
    code = """
        import importlib, inspect

        found = {}
        for module in ("ops.profiles", "ops.retl", "resources.rudderstack", "types"):
            loaded = importlib.import_module(f"dagster_rudderstack.{module}")
            found[module] = sorted(
                name
                for name, value in vars(loaded).items()
                if name.endswith("_op") or getattr(value, "__module__", "") == loaded.__name__
            )
        print(json.dumps(found))
    """
    found = last_line(run(vendor_python, rudderstack, code))

    # A base class, and three lists of texts.
    values = {"BaseRudderStackResource", "ProfilesRunStatus", "RETLSyncStatus", "RETLSyncType"}
    resources = set(found.pop("resources.rudderstack")) - values
    assert {**found, "resources": sorted(resources)} == {
        module: sorted(names) for module, names in NEW_NAMES.items()
    }


@pytest.mark.parametrize(("connection_id", "status"), [("unknown", 404), ("busy", 409)])
def test_refused_start(
    vendor_python: str, rudderstack: LocalRudderStack, connection_id: str, status: int
) -> None:
    """It gets 404 for an unknown connection and 409 for a running one."""
    rudderstack.add_connection("busy", script=SyncScript(never_ends=True))
    rudderstack.start_sync("busy")

    code = f"resource.start_sync({connection_id!r})"
    finished = run(vendor_python, rudderstack, code)

    assert finished.returncode == 1
    assert f"{status} Client Error" in finished.stderr


def test_wrong_token(vendor_python: str, rudderstack: LocalRudderStack) -> None:
    """It gets 401 with a wrong token."""
    rudderstack.add_connection("crm")

    code = "resource.model_copy(update={'access_token': 'wrong'}).start_sync('crm')"
    finished = run(vendor_python, rudderstack, code)

    assert finished.returncode == 1
    assert "401 Client Error" in finished.stderr
