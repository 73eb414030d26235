"""Runs of Profiles projects and ETL sources, as a client and a test see them."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dagster_rudderstack.testing import (
    Fault,
    LocalRudderStack,
    ManualClock,
    RefusedError,
    RunScript,
    UnknownIdError,
)
from dagster_rudderstack_tests.testing.conftest import ApiMaker

START = "/sources/profiles/start"
NEWEST = "/sources/profiles/status"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> Iterator[LocalRudderStack]:
    with LocalRudderStack(clock=clock) as server:
        server.add_project("profiles", RunScript(duration_seconds=10))
        yield server
        assert server.errors == []


def start(api: httpx.Client, **body: Any) -> str:
    answer = api.post(START, json=body)
    assert answer.status_code == 200
    return str(answer.json()["runId"])


def read(api: httpx.Client, run_id: str) -> dict[str, Any]:
    content = api.get(f"/sources/profiles/runs/{run_id}/status").json()
    assert isinstance(content, dict)
    return content


def play(server: LocalRudderStack, api: httpx.Client, script: RunScript) -> dict[str, Any]:
    """Return the first answer about a run with this script."""
    server.set_run_script("profiles", script)
    return read(api, start(api))


@pytest.mark.parametrize(
    ("script", "status", "error"),
    [
        (RunScript(), "finished", None),
        (RunScript(error="no credits"), "finished", "no credits"),
        (RunScript(error=""), "finished", ""),
        (RunScript(status="failed", error="no credits"), "failed", "no credits"),
        (RunScript(status="Aborted"), "Aborted", None),
    ],
)
def test_end(
    server: LocalRudderStack, api: httpx.Client, script: RunScript, status: str, error: str | None
) -> None:
    """A run ends with the status and error of its script. No error is an absent field."""
    run = play(server, api, script)

    assert (run["status"], run.get("error")) == (status, error)
    assert ("error" in run) == (error is not None)
    assert run["finishedAt"] == "2026-01-05T00:00:00.000Z"


def test_running_status(server: LocalRudderStack, api: httpx.Client) -> None:
    """A run can have another status than `running` while it runs."""
    run = play(server, api, RunScript(running_status="processing", never_ends=True))

    assert run["status"] == run["tasks"][0]["status"] == "processing"


def test_never_ends(server: LocalRudderStack, api: httpx.Client, clock: ManualClock) -> None:
    """A run that never ends runs for ever, and blocks the next start."""
    run_id = play(server, api, RunScript(never_ends=True))["id"]
    clock.advance(1e8)

    assert read(api, run_id)["status"] == "running"
    assert api.post(START).status_code == 409


def test_snake_case(server: LocalRudderStack, api: httpx.Client) -> None:
    """In snake_case, no name in a run or its tasks has a capital letter."""
    run = play(server, api, RunScript(snake_case=True, error="no credits"))

    (task,) = run["tasks"]
    assert [name for name in (*run, *task) if name != name.lower()] == []
    assert {"job_id", "job_run_id", "started_at", "finished_at"} <= set(run)
    assert {"task_id", "task_run_id", "job_id", "started_at", "finished_at"} <= set(task)


@pytest.mark.parametrize("snake_case", [True, False])
def test_missing_fields(server: LocalRudderStack, api: httpx.Client, snake_case: bool) -> None:
    """Fields can be left out. Their camelCase names count in both spellings."""
    script = RunScript(missing_fields=("id", "jobRunId", "tasks"), snake_case=snake_case)

    run = play(server, api, script)

    assert not {"id", "jobRunId", "job_run_id", "tasks"} & set(run)
    assert run["status"] == "finished"


def test_wire_fields(server: LocalRudderStack, api: httpx.Client) -> None:
    """A script can add fields to those that the API returns, and replace them."""
    script = RunScript(wire_fields={"finishedAt": None, "accountId": "a"}, snake_case=True)

    run = play(server, api, script)

    assert (run["finishedAt"], run["accountId"]) == (None, "a")


def test_tasks(server: LocalRudderStack, api: httpx.Client, clock: ManualClock) -> None:
    """The tasks of a script run one after the other, and the last one has the error."""
    script = RunScript(duration_seconds=10, tasks=("extract", "load"), error="disk full")
    run = play(server, api, script)
    clock.advance(5)
    halfway = read(api, run["id"])["tasks"]
    clock.advance(5)
    ended = read(api, run["id"])["tasks"]

    assert [task["taskId"] for task in run["tasks"]] == ["extract"]
    assert [(task["taskId"], task["status"]) for task in halfway] == [
        ("extract", "finished"),
        ("load", "running"),
    ]
    assert halfway[0]["finishedAt"] == halfway[1]["startedAt"] == "2026-01-05T00:00:05.000Z"
    assert [task.get("error") for task in ended] == [None, "disk full"]
    assert len({task["taskRunId"] for task in ended}) == 2


@pytest.mark.parametrize("names", [(), ("a", "b")])
def test_tasks__run_never_ends(
    server: LocalRudderStack, api: httpx.Client, names: tuple[str, ...]
) -> None:
    """Of a run that never ends, the first task runs for ever. A run can have no tasks."""
    run = play(server, api, RunScript(never_ends=True, tasks=names))

    assert [task["taskId"] for task in run["tasks"]] == list(names[:1])


def test_hidden(server: LocalRudderStack, api: httpx.Client, clock: ManualClock) -> None:
    """A new run can be unknown for some seconds. Until then, the newest run is an older one."""
    older = play(server, api, RunScript())["id"]
    server.set_run_script("profiles", RunScript(hidden_for_seconds=5))
    run_id = start(api)
    path = f"/sources/profiles/runs/{run_id}/status"

    assert api.get(path).status_code == 404
    assert api.get(NEWEST).json()["id"] == older
    assert [run.id for run in server.runs()] == [older, run_id]
    clock.advance(5)
    assert api.get(path).json()["id"] == api.get(NEWEST).json()["id"] == run_id


def test_script_next_runs(server: LocalRudderStack, api: httpx.Client) -> None:
    """Scripts can be set for the next runs. The later ones have the script of the project."""
    server.set_run_script("profiles", RunScript(status="last"))
    server.script_next_runs("profiles", RunScript(status="first"), RunScript(status="second"))

    assert [read(api, start(api))["status"] for _ in range(3)] == ["first", "second", "last"]


def test_start_run(server: LocalRudderStack, api: httpx.Client, clock: ManualClock) -> None:
    """A test can start a run as another client, and sees the state of all runs."""
    run_id = server.start_run("profiles", "dashboard", ["--rebase_incremental"])
    (running,) = server.runs("profiles")
    refused = api.post(START)
    clock.advance(10)
    (ended,) = server.runs("profiles")

    assert (running.id, running.source_id, running.origin) == (run_id, "profiles", "dashboard")
    assert running.parameters == ("--rebase_incremental",)
    assert (running.status, running.running, running.finished_at) == ("running", True, None)
    assert (ended.status, ended.running) == ("finished", False)
    assert ended.finished_at == ended.started_at + 10
    assert refused.status_code == 409
    assert api.get(NEWEST).json()["id"] == run_id
    assert server.runs("other") == []
    assert server.run_starts() == []


def test_start_run__own_script(server: LocalRudderStack) -> None:
    """A run that a test starts can have a script of its own, which leaves the queue as it is."""
    server.script_next_runs("profiles", RunScript(status="queued"))

    server.start_run("profiles", script=RunScript(error="no credits"))
    server.start_run("profiles")

    assert [run.error for run in server.runs()] == ["no credits", None]
    assert [run.status for run in server.runs()] == ["finished", "queued"]


def test_start_run__refused(server: LocalRudderStack) -> None:
    """A test cannot start a second run, nor a run of an unknown source."""
    server.start_run("profiles")

    with pytest.raises(RefusedError, match="already running"):
        server.start_run("profiles")
    with pytest.raises(UnknownIdError, match="source other not found"):
        server.start_run("other")


@pytest.mark.parametrize(("status", "body"), [(201, b"{}"), (204, b"")])
def test_start_status(
    server: LocalRudderStack, api: httpx.Client, status: Any, body: bytes
) -> None:
    """A start can be answered without the id of the run, which has started all the same."""
    server.add_project("profiles", start_status=status)

    answer = api.post(START)

    assert (answer.status_code, answer.content) == (status, body)
    assert [request.run_id for request in server.run_starts()] == [server.runs()[0].id]


def test_legacy_status__off_for_a_project(server: LocalRudderStack, api: httpx.Client) -> None:
    """Without its legacy status, a project answers as if the path did not exist."""
    server.add_project("etl", legacy_status=False, deny="no")
    server.start_run("etl")
    server.start_run("profiles")

    answer = api.get("/sources/etl/status")

    assert (answer.status_code, answer.json()) == (404, {"error": "Unknown path"})
    assert api.get(NEWEST).status_code == 200
    server.update_project("etl", legacy_status=True, deny=None)
    assert api.get("/sources/etl/status").status_code == 200


def test_legacy_status__off(make_api: ApiMaker) -> None:
    """The legacy status can be switched off for all projects."""
    with LocalRudderStack(legacy_status=False) as server:
        server.add_project("profiles")
        run_id = server.start_run("profiles")
        api = make_api(server)

        assert api.get(NEWEST).json() == {"error": "Unknown path"}
        assert read(api, run_id)["status"] == "finished"


def test_unknown(server: LocalRudderStack, api: httpx.Client) -> None:
    """Unknown sources and runs are not found, nor is a run of another source."""
    server.add_project("etl")
    run_id = server.start_run("etl")

    assert api.post("/sources/unknown/start").status_code == 404
    assert api.get("/sources/unknown/status").status_code == 404
    assert api.get(f"/sources/unknown/runs/{run_id}/status").status_code == 404
    assert api.get(f"/sources/profiles/runs/{run_id}/status").status_code == 404
    assert api.get(NEWEST).status_code == 404
    server.remove_project("etl")
    assert api.get(f"/sources/etl/runs/{run_id}/status").status_code == 404


def test_denied(server: LocalRudderStack, api: httpx.Client) -> None:
    """A missing permission is answered with 403 and its message, and starts nothing."""
    server.add_project("secret", deny="needs the Enterprise plan")
    server.deny("needs Edit", operation="start_run", source_id="profiles")

    secret = api.post("/sources/secret/start")
    profiles = api.post(START)

    assert (secret.status_code, profiles.status_code) == (403, 403)
    assert secret.json()["message"] == "needs the Enterprise plan"
    assert profiles.json()["message"] == "needs Edit"
    assert server.runs() == []
    server.allow_everything()
    assert api.post("/sources/secret/start").status_code == 200
    assert start(api)


def test_request_log(server: LocalRudderStack, api: httpx.Client) -> None:
    """The log has the source and the run of each request, and the body of a start."""
    run_id = start(api, parameters=["--begin_time 2026-01-01"])
    read(api, run_id)
    api.get(NEWEST)

    names = [(each.operation, each.source_id, each.run_id) for each in server.requests]
    assert names == [
        ("start_run", "profiles", run_id),
        ("get_run", "profiles", run_id),
        ("get_newest_run", "profiles", None),
    ]
    (started,) = server.run_starts("profiles")
    assert started.body == {"parameters": ["--begin_time 2026-01-01"]}
    assert (started.affected, server.run_starts("etl")) == ((run_id,), [])


@pytest.mark.parametrize("kind", ["reset", "close", "truncated", "empty", "wrong_type", "status"])
@pytest.mark.parametrize("effect", [True, False])
def test_faults__lost_answer(
    server: LocalRudderStack, raw: httpx.Client, kind: Any, effect: bool
) -> None:
    """The answer to a start can be lost, with the run started or not."""
    server.add_fault(Fault(kind, operation="start_run", source_id="profiles", effect=effect))

    try:
        answer = raw.post(START)
    except httpx.TransportError:
        assert kind in ("reset", "close", "truncated")
    else:
        assert b"runId" not in answer.content

    assert len(server.runs()) == len(server.run_starts()) == effect
    assert raw.post(START).status_code == (409 if effect else 200)


@pytest.mark.parametrize(
    ("operation", "path"),
    [("get_run", "/sources/profiles/runs/x/status"), ("get_newest_run", NEWEST)],
)
def test_faults__reads(
    server: LocalRudderStack, raw: httpx.Client, operation: str, path: str
) -> None:
    """Faults hit the reads of runs by their names, and can be limited to a source."""
    server.add_project("etl")
    server.add_fault(Fault("status", operation=operation, source_id="etl", times=None))

    assert raw.get(path.replace("profiles", "etl")).status_code == 503
    assert raw.get(path).status_code == 404


def test_scheduled_run(server: LocalRudderStack, api: httpx.Client) -> None:
    """A fault starts a run of the schedule just before a request, unless a run is running."""
    server.add_fault(Fault("scheduled_run", operation="start_run", times=None))

    refused = [api.post(START).status_code for _ in range(2)]

    assert refused == [409, 409]
    assert [run.origin for run in server.runs()] == ["schedule"]


def test_replaced_project(server: LocalRudderStack, api: httpx.Client) -> None:
    """A project that is added again keeps its runs, and a reset removes both."""
    run_id = start(api)
    server.add_project("profiles", RunScript(status="other"))

    assert read(api, run_id)["status"] == "running"
    server.reset()
    assert server.runs() == []
    assert api.post(START).status_code == 404


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"duration_seconds": -1}, "duration_seconds must be 0 or more, not -1"),
        ({"hidden_for_seconds": -1}, "hidden_for_seconds must be 0 or more, not -1"),
        ({"tasks": "extract"}, "tasks must be a list of texts, not 'extract'"),
        ({"missing_fields": "id"}, "missing_fields must be a list of texts, not 'id'"),
        ({"missing_fields": ["run_id"]}, "no field 'run_id' to leave out. Known: id, jobRunId"),
    ],
)
def test_invalid_script(settings: dict[str, Any], message: str) -> None:
    """An invalid setting of a script is refused with the right values."""
    with pytest.raises((TypeError, ValueError), match=message):
        RunScript(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"id": ""}, "needs an id"),
        ({"script": "x"}, "script must be a RunScript, not 'x'"),
        ({"build": "x"}, "build must be a TableBuild, not 'x'"),
        ({"start_status": 202}, "start_status must be 200, 201 or 204, not 202"),
    ],
)
def test_invalid_project(server: LocalRudderStack, settings: dict[str, Any], message: str) -> None:
    """An invalid setting of a project is refused."""
    with pytest.raises((TypeError, ValueError), match=message):
        server.add_project(**{"id": "x", **settings})


def test_invalid_next_script(server: LocalRudderStack) -> None:
    """The script of a sync is no script of a run."""
    with pytest.raises(TypeError, match="script must be a RunScript"):
        server.script_next_runs("profiles", "x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="script must be a RunScript"):
        server.start_run("profiles", script="x")  # type: ignore[arg-type]
