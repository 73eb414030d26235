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

from dagster_rudderstack.testing import LocalRudderStack, SyncScript

pytestmark = pytest.mark.processes

RESOURCE = """
    import json, os
    from importlib.metadata import version

    from dagster_rudderstack.resources.rudderstack import RudderStackRETLResource

    assert version("dagster-rudderstack") == "1.3.0"
    resource = RudderStackRETLResource(
        access_token=os.environ["TOKEN"],
        rs_cloud_url=os.environ["URL"],
        poll_interval=0.05,
        request_max_retries=0,
    )
"""


@pytest.fixture
def rudderstack() -> Iterator[LocalRudderStack]:
    with LocalRudderStack() as rudderstack:
        yield rudderstack


def run(
    vendor_python: str, rudderstack: LocalRudderStack, code: str
) -> subprocess.CompletedProcess[str]:
    """Run code with the vendor's resource, isolated from this checkout."""
    return subprocess.run(
        [vendor_python, "-I", "-c", textwrap.dedent(RESOURCE) + textwrap.dedent(code)],
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
