"""The files and the tables of `docs/migration.md`.

The files before the migration run in the environments of RudderStack's own packages.
"""

import inspect
import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import dagster_rudderstack
from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.options import asset_options
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.project.pages import blocks_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "migration.md").read_text()

CONNECTION = "2hkeBOp0lGJpMPyur0oXUxxIDhw"
PROJECT = "2hkeLm3Wq8ZtYbNcRvXaEoJdKfU"
ETL_SOURCE = "2hkeQz7TnVwLkXpGsHyDbMcReJa"

CODE = re.compile(r"`(\w+)(?:\(([^)]*)\))?`")

PARAMETERS = {"parameters": ["--model_refs models/customer_features"]}
SYNC = (f"/v2/retl-connections/{CONNECTION}/start", {"syncType": "incremental"})
PROFILES_RUN = (f"/v2/sources/{PROJECT}/start", PARAMETERS)
ETL_RUN = (f"/v2/sources/{ETL_SOURCE}/start", None)

# Section, job, and the expected starts with their bodies.
SYNCS = ("Syncs", "sync_contacts", [SYNC])
PROFILES = ("Profiles", "activate_features", [PROFILES_RUN, SYNC])
Starts = Sequence[tuple[str, Any]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRudderStack]:
    """A local RudderStack with the connection and the sources of the page."""
    with LocalRudderStack() as server:
        server.add_connection(CONNECTION)
        server.add_project(PROJECT)
        server.add_project(ETL_SOURCE)
        monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
        yield server


def section(heading: str) -> str:
    _, _, rest = PAGE.partition(f"## {heading}\n")
    return rest.partition("\n## ")[0]


def files(heading: str, when: str) -> list[str]:
    """Return the files before or after the migration."""
    blocks = blocks_of(section(heading), "python")
    assert all(block.startswith(("# Before: ", "# After: ")) for block in blocks)
    return [block for block in blocks if block.startswith(f"# {when}: ")]


def starts(server: LocalRudderStack) -> Starts:
    """Return the paths and bodies of the requests that started something."""
    return [(each.path, each.body) for each in server.requests if each.method == "POST"]


def run_vendor(python: str, code: str, **env: str) -> None:
    """Run code with a package of RudderStack, isolated from this checkout."""
    finished = subprocess.run(
        [python, "-I", "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
        env={"PATH": os.defpath, **env},
    )
    assert finished.returncode == 0, finished.stderr


def run_after(code: str, server: LocalRudderStack, job: str) -> dg.ExecuteInProcessResult:
    """Run a job of a file with the address of the local RudderStack."""
    names: dict[str, Any] = {"__name__": "page"}
    local = code.replace("access_token=", f"api_url={server.url!r}, access_token=")
    exec(compile(local, "docs/migration.md", "exec"), names)  # noqa: S102 - our own page
    definitions: dg.Definitions = names["defs"]
    (schedule,) = definitions.schedules or ()
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.job_name, schedule.cron_schedule) == (job, "0 6 * * *")
    with dg.instance_for_test() as instance:
        return definitions.resolve_job_def(job).execute_in_process(instance=instance)


@pytest.mark.processes
@pytest.mark.parametrize(("heading", "job", "expected"), [SYNCS, PROFILES])
def test_before(
    vendor_python: str, server: LocalRudderStack, heading: str, job: str, expected: Starts
) -> None:
    """The file runs with RudderStack's own package."""
    (code,) = files(heading, "Before")
    local = code.replace("access_token=", f"rs_cloud_url={server.url!r}, access_token=")

    run_vendor(
        vendor_python,
        f"{local}\nassert defs.resolve_job_def({job!r}).execute_in_process().success",
        RUDDERSTACK_ACCESS_TOKEN=server.access_token,
    )

    assert starts(server) == expected


@pytest.mark.parametrize("number", [0, 1], ids=["assets", "ops"])
@pytest.mark.parametrize(("heading", "job", "expected"), [SYNCS, PROFILES])
def test_after(
    server: LocalRudderStack, heading: str, job: str, expected: Starts, number: int
) -> None:
    """Both files run with this package, and start the same as the file before."""
    result = run_after(files(heading, "After")[number], server, job)

    assert result.success
    assert starts(server) == expected


def test_after__order(server: LocalRudderStack) -> None:
    """The asset of the sync is downstream of the features."""
    result = run_after(files("Profiles", "After")[0], server, "activate_features")

    events = result.get_asset_materialization_events()
    assert [event.asset_key.to_user_string() for event in events if event.asset_key] == [
        "customer_features",
        "crm_contacts",
    ]


@pytest.mark.processes
def test_airflow__before(airflow_python: str, server: LocalRudderStack, tmp_path: Path) -> None:
    """The file runs with RudderStack's Airflow provider. Its sync is full."""
    (code,) = files("From Airflow", "Before")
    connection = {"conn_type": "http", "host": server.url, "password": server.access_token}

    run_vendor(
        airflow_python,
        f"{code}\n"
        "assert dag.get_task('orders').downstream_task_ids == {'features'}\n"
        "assert dag.get_task('features').downstream_task_ids == {'contacts'}\n"
        "for task in (orders, features, contacts):\n"
        "    task.execute(context={})\n",
        AIRFLOW_HOME=str(tmp_path),
        AIRFLOW_CONN_RUDDERSTACK_DEFAULT=json.dumps(connection),
    )

    assert starts(server) == [ETL_RUN, PROFILES_RUN, (SYNC[0], {})]
    assert [sync.sync_type for sync in server.syncs(CONNECTION)] == ["full"]


def test_airflow__after(server: LocalRudderStack) -> None:
    """The file starts the same in the same order, and the sync is full as well."""
    (code,) = files("From Airflow", "After")

    result = run_after(code, server, "activation")

    assert result.success
    assert starts(server) == [ETL_RUN, PROFILES_RUN, (SYNC[0], {"syncType": "full"})]
    keys = {event.asset_key for event in result.get_asset_materialization_events()}
    names = ("orders", "customers", "customer_features", "crm_contacts")
    assert keys == {dg.AssetKey(name) for name in names}


# The tables


def rows(heading: str) -> list[list[str]]:
    """Return the rows of the only table of a section, without its head."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names_in(heading: str, column: int) -> set[str]:
    names = {name for row in rows(heading) for name, _ in CODE.findall(row[column])}
    assert names
    return names


def test_new_names() -> None:
    """The new names of the tables exist: they are exported, settings, options or methods."""
    profiles = inspect.signature(getattr(dagster_rudderstack, "ProfilesParameters")).parameters  # noqa: B009
    known = {
        *dagster_rudderstack.__all__,
        *RudderStackResource.model_fields,
        *dir(RudderStackResource),
        *asset_options({}),
        *profiles,
        "rudderstack",
        # Arguments of the factories.
        "connection_id",
        "source_id",
    }

    assert names_in("What is called what", 1) | names_in("From Airflow", 1) <= known


@pytest.mark.processes
def test_old_names(vendor_python: str) -> None:
    """The old names of the table exist in RudderStack's own package."""
    code = """
import importlib, pkgutil, dagster_rudderstack
for module in pkgutil.walk_packages(dagster_rudderstack.__path__, "dagster_rudderstack."):
    module = importlib.import_module(module.name)
    for value in vars(module).values():
        print(getattr(value, "__name__", getattr(value, "name", "")))
        print(*getattr(value, "model_fields", ()), *dir(value), sep="\\n")
        print(*getattr(value, "required_resource_keys", ()))
"""
    finished = subprocess.run(
        [vendor_python, "-I", "-c", code], check=True, capture_output=True, text=True
    )

    assert names_in("What is called what", 0) <= set(finished.stdout.split())


@pytest.mark.processes
def test_old_names__airflow(airflow_python: str) -> None:
    """The old names of the table exist in RudderStack's Airflow provider, or in every operator."""
    code = """
import inspect
from airflow.sdk import BaseOperator
from rudder_airflow_provider.hooks import rudderstack as hooks
from rudder_airflow_provider.operators import rudderstack as operators
print(*dir(hooks), *dir(operators), *inspect.signature(BaseOperator).parameters)
for name, value in vars(operators).items():
    if name.startswith("Rudderstack"):
        print(*inspect.signature(value).parameters)
"""
    finished = subprocess.run(
        [airflow_python, "-I", "-c", code], check=True, capture_output=True, text=True
    )

    assert names_in("From Airflow", 0) <= set(finished.stdout.split())


def test_default_of_the_timeout() -> None:
    """The page names the defaults of the resource."""
    fields = RudderStackResource.model_fields

    assert fields["sync_timeout_seconds"].default == 24 * 3600
    assert "fails after a day, or `sync_timeout_seconds`" in PAGE
    assert fields["outage_tolerance_seconds"].default == 45 * 60
    assert "keeps polling for 45 minutes" in PAGE
    assert fields["request_max_retries"].default == 6
    assert "`request_max_retries` | `request_max_retries` | 6 instead of 3" in PAGE


@pytest.mark.parametrize("page", ["README.md", "docs/from-other-integrations.md"])
def test_links__from_other_pages(page: str) -> None:
    """The pages from which a reader comes here have a link."""
    assert "migration.md)" in (ROOT / page).read_text()
