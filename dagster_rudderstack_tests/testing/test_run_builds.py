"""Runs that build real tables in a DuckDB warehouse."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_rudderstack.testing import (
    LocalRudderStack,
    ManualClock,
    RunScript,
    SimulatedRun,
    TableBuild,
)
from dagster_rudderstack.testing.rows import builds
from dagster_rudderstack_tests.processes.harness import wait_for
from dagster_rudderstack_tests.testing.conftest import ApiMaker
from dagster_rudderstack_tests.testing.table_setup import CUSTOMERS

USERS = "CREATE OR REPLACE TABLE users AS SELECT customer_id FROM analytics.customers"
FEATURES = "CREATE OR REPLACE TABLE features AS SELECT count(*) AS users FROM users"
MODELS = {"models/users": USERS, "models/features": FEATURES}


class BuildSetup:
    """A warehouse with customers, and a server with the project `profiles`."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = folder / "warehouse.duckdb"
        self.clock = ManualClock()
        self.server = LocalRudderStack(clock=self.clock)
        self.sql(CUSTOMERS)

    def sql(self, statements: str) -> list[Any]:
        """Run SQL in the warehouse."""
        with closing(duckdb.connect(str(self.warehouse))) as connection:
            return connection.execute(statements).fetchall()

    @property
    def tables(self) -> list[str]:
        """The names of the tables that were built."""
        rows = self.sql("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'")
        return sorted(name for (name,) in rows)

    def add(self, models: Mapping[str, str] = MODELS, script: RunScript | None = None) -> None:
        """Add the project."""
        build = TableBuild(self.warehouse, models)
        self.server.add_project("profiles", script or RunScript(), build=build)

    def run(self, *parameters: str) -> SimulatedRun:
        """Run the project to its end."""
        self.server.start_run("profiles", parameters=parameters)
        return self.wait()

    def wait(self) -> SimulatedRun:
        """Wait for the end of the newest run."""
        wait_for(lambda: not self.server.runs()[-1].running, "the end of the run")
        return self.server.runs()[-1]


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[BuildSetup]:
    setup = BuildSetup(tmp_path)
    yield setup
    setup.server.close()


def test_build(setup: BuildSetup, make_api: ApiMaker) -> None:
    """A run builds the models in their order, and lists each as a task."""
    setup.add()
    with setup.server:
        api = make_api(setup.server)
        run_id = api.post("/sources/profiles/start").json()["runId"]
        setup.wait()
        run = api.get(f"/sources/profiles/runs/{run_id}/status").json()

    assert setup.sql("SELECT users FROM features") == [(100,)]
    assert run["status"] == "finished"
    assert "error" not in run
    assert [(task["taskId"], task["status"]) for task in run["tasks"]] == [
        ("models/users", "finished"),
        ("models/features", "finished"),
    ]


def test_error(setup: BuildSetup, make_api: ApiMaker) -> None:
    """If the SQL fails, the run is finished with DuckDB's error, and has built nothing."""
    setup.add({**MODELS, "models/bad": "SELECT * FROM nowhere", "models/after": "SELECT 1"})
    with setup.server:
        api = make_api(setup.server)
        api.post("/sources/profiles/start")
        setup.wait()
        run = api.get("/sources/profiles/status").json()

    assert (run["status"], setup.tables) == ("finished", [])
    assert "nowhere" in run["error"]
    assert [task.get("error") for task in run["tasks"]] == [None, None, run["error"]]


def test_runs_again(setup: BuildSetup) -> None:
    """A failed run leaves the tables of an earlier one."""
    setup.add({"models/users": "CREATE TABLE users AS SELECT 1 AS id"})

    first, second = setup.run(), setup.run()

    assert first.error is None
    assert "already exists" in (second.error or "")
    assert setup.sql("SELECT id FROM users") == [(1,)]


def test_variables(setup: BuildSetup) -> None:
    """The SQL reads the parameters of the start as variables."""
    names = ("begin_time", "end_time", "rebase_incremental")
    columns = ", ".join(f"getvariable('{name}') AS {name}" for name in names)
    setup.add({"models/x": f"CREATE OR REPLACE TABLE x AS SELECT {columns}"})

    setup.run("--begin_time 2026-01-01T00:00:00Z", "--end_time it's late", "--rebase_incremental")
    given = setup.sql("SELECT * FROM x")
    setup.run("--rebase_incremental=false")

    assert given == [("2026-01-01T00:00:00Z", "it's late", True)]
    assert setup.sql("SELECT * FROM x") == [(None, None, False)]


@pytest.mark.parametrize(
    ("parameters", "tables"),
    [
        ((), ["a", "b", "c"]),
        (("--model_refs models/b",), ["b"]),
        (("--model_refs models/c,models/a",), ["a", "c"]),
        (("--model_refs models/c", "--model_refs models/b"), ["b", "c"]),
    ],
)
def test_model_refs(setup: BuildSetup, parameters: tuple[str, ...], tables: list[str]) -> None:
    """The parameter `--model_refs` selects the models to build."""
    setup.add({f"models/{name}": f"CREATE TABLE {name} (id INT)" for name in "abc"})

    run = setup.run(*parameters)

    assert (run.error, setup.tables) == (None, tables)


@pytest.mark.parametrize(
    ("parameter", "error"),
    [
        ("--modelrefs x", "Unknown parameter '--modelrefs x'. Known: --model_refs, --begin_time"),
        ("--begin_time", "The parameter '--begin_time' has no value"),
        ("--model_refs models/x", "The project has no model 'models/x'. Its models: models/users"),
        ("--rebase_incremental maybe", "--rebase_incremental must be true or false, not 'maybe'"),
    ],
)
def test_invalid_parameter(setup: BuildSetup, parameter: str, error: str) -> None:
    """A run with an invalid parameter is finished with an error that names it."""
    setup.add()

    run = setup.run(parameter)

    assert run.status == "finished"
    assert (run.error or "").startswith(error)
    assert setup.tables == []


def test_minimum_duration(setup: BuildSetup) -> None:
    """A run lasts as long as its script says, also if its tables are built earlier."""
    setup.add(script=RunScript(duration_seconds=60))
    setup.server.start_run("profiles")
    wait_for(lambda: setup.tables == ["features", "users"], "the tables")
    running = setup.server.runs()[0]
    setup.clock.advance(60)
    ended = setup.wait()

    assert (running.running, running.error) == (True, None)
    assert ended.finished_at == ended.started_at + 60


Held = tuple[threading.Event, threading.Event]


@pytest.fixture
def held_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """Events: a run has reached its first model, and it may go on."""
    reached, go = threading.Event(), threading.Event()
    build_tables = builds.build_tables

    def hold(build: Any, parameters: Any, must_stop: Any, begin: Any, **settings: Any) -> None:
        def begin_and_wait(name: str) -> None:
            begin(name)
            reached.set()
            go.wait(30)

        build_tables(build, parameters, must_stop, begin_and_wait, **settings)

    monkeypatch.setattr("dagster_rudderstack.testing.rows.workers.build_tables", hold)
    yield reached, go
    go.set()


def test_closed_server(setup: BuildSetup, held_model: Held) -> None:
    """A run that the end of the server interrupts is finished with an error, and built nothing."""
    reached, go = held_model
    setup.add()
    setup.server.start_run("profiles")
    assert reached.wait(30)
    (work,) = setup.server._simulator.workers._works
    closing_thread = threading.Thread(target=setup.server.close)
    closing_thread.start()
    wait_for(work._abandoned.is_set, "the request to end the work")
    go.set()
    closing_thread.join()
    (run,) = setup.server.runs()

    assert (run.running, run.status) == (False, "finished")
    assert run.error == "The local RudderStack was closed before the run had ended."
    assert setup.tables == []


def test_while_it_builds(
    setup: BuildSetup,
    held_model: Held,
    make_api: ApiMaker,
) -> None:
    """A run is running until its tables are built, and refuses another start meanwhile."""
    reached, go = held_model
    setup.add()
    with setup.server:
        api = make_api(setup.server)
        run_id = api.post("/sources/profiles/start").json()["runId"]
        assert reached.wait(30)
        second = api.post("/sources/profiles/start")
        run = api.get(f"/sources/profiles/runs/{run_id}/status").json()
        setup.clock.advance(7)
        go.set()
        ended = setup.wait()

    assert (second.status_code, run["status"]) == (409, "running")
    assert [(task["taskId"], task["status"]) for task in run["tasks"]] == [
        ("models/users", "running")
    ]
    assert ended.finished_at == ended.started_at + 7


def test_open_in_this_process(setup: BuildSetup) -> None:
    """A run waits while another connection has the warehouse open."""
    setup.add()
    with closing(duckdb.connect(str(setup.warehouse), read_only=True)):
        setup.server.start_run("profiles")
        assert setup.server.runs()[0].running

    assert setup.wait().error is None
    assert setup.tables == ["features", "users"]


def test_other_files(setup: BuildSetup, tmp_path: Path) -> None:
    """On request, the SQL of a project writes no other files."""
    setup.server = LocalRudderStack(clock=setup.clock, reads_files=False)
    setup.add({**MODELS, "models/export": f"COPY users TO '{tmp_path}/users.csv'"})

    refused = setup.run()
    built = setup.run("--model_refs models/users,models/features")

    assert "Permission Error" in (refused.error or "")
    assert (built.error, setup.tables) == (None, ["features", "users"])
    assert not (tmp_path / "users.csv").exists()


@pytest.mark.parametrize("models", [{}, ["SELECT 1"]])
def test_invalid_models(models: Any) -> None:
    """A build needs a mapping of models to SQL."""
    with pytest.raises(ValueError, match="models of a TableBuild must map model refs to SQL"):
        TableBuild("warehouse.duckdb", models)
