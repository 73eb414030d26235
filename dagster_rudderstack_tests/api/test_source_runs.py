"""Runs of Profiles projects and of ETL sources: what is sent, and what an answer means."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from dagster_rudderstack.api.client import RudderStackClient
from dagster_rudderstack.api.models import SyncState
from dagster_rudderstack.api.source_runs import SourceRun, SourceRunTask
from dagster_rudderstack.errors import (
    ApiError,
    AuthenticationError,
    ConflictError,
    InvalidSettingError,
    NotFoundError,
    PermissionDeniedError,
    StatusError,
    UnexpectedResponseError,
)
from dagster_rudderstack.testing import LocalRudderStack, RunScript
from dagster_rudderstack_tests.api.raw_server import (
    client_of,
    exchange,
    http,
    in_json,
)

BEGAN, ENDED = "2026-01-05T10:00:00Z", "2026-01-05T10:04:00Z"


def read(**fields: Any) -> SourceRun:
    """Return a run as the client reads it."""
    return SourceRun.model_validate({"id": "r1", "status": "finished", **fields})


# --- start


@pytest.mark.parametrize(
    ("parameters", "body", "content_type"),
    [
        ((), b"", None),
        (
            ("--model_refs models/a", "--rebase_incremental"),
            b'{"parameters":["--model_refs models/a","--rebase_incremental"]}',
            "application/json",
        ),
    ],
    ids=["without", "with"],
)
def test_start__parameters(
    parameters: tuple[str, ...], body: bytes, content_type: str | None
) -> None:
    """The parameters of a Profiles run are sent. A start without parameters has no body."""
    with exchange(in_json({"runId": " r1 "})) as (server, client):
        assert client.start_source_run("prj", parameters) == "r1"

    (seen,) = server.seen
    assert server.targets == ["POST /v2/sources/prj/start"]
    assert seen.body.replace(b'", "', b'","').replace(b": [", b":[") == body
    assert seen.headers.get("content-type") == content_type


@pytest.mark.parametrize(
    ("run_id", "what"),
    [
        (None, "no runId"),
        ("", "runId is not an id, but ''"),
        ("a/b", "runId is not an id, but 'a/b'"),
        (7, "runId is not an id, but int"),
        ({"id": "r1"}, "runId is not an id, but dict"),
    ],
)
def test_start__unusable_run_id(run_id: object, what: str) -> None:
    """A start that is answered without a usable id is unexpected, and the error says why."""
    with (
        exchange(in_json({"runId": run_id})) as (_, client),
        pytest.raises(UnexpectedResponseError) as caught,
    ):
        client.start_source_run("prj")

    assert str(caught.value) == (
        "RudderStack's answer to POST /sources/prj/start does not have the documented format: "
        f"{what}."
    )


@pytest.mark.parametrize(
    "answer", [http(201), http(204), in_json({}, 201), in_json({}), http(200, "<html></html>")]
)
def test_start__no_run_id(answer: bytes) -> None:
    """A 2xx answer without a run id, which older clients accept, is unexpected."""
    with exchange(answer) as (_, client), pytest.raises(UnexpectedResponseError):
        client.start_source_run("prj")


@pytest.mark.parametrize("status", [201, 204])
def test_start__local_rudderstack_without_run_id(status: Any) -> None:
    """The run of a start without an id in its answer goes on in RudderStack."""
    with LocalRudderStack() as server:
        server.add_project("prj", start_status=status)
        with (
            client_of(f"{server.url}/v2", access_token=server.access_token) as client,
            pytest.raises(UnexpectedResponseError),
        ):
            client.start_source_run("prj")

        assert len(server.runs("prj")) == 1


def test_start__conflict() -> None:
    """A start while a run of the source is running is a conflict."""
    with LocalRudderStack() as server:
        server.add_project("prj", RunScript(never_ends=True))
        with client_of(f"{server.url}/v2", access_token=server.access_token) as client:
            client.start_source_run("prj")
            with pytest.raises(ConflictError, match="already running"):
                client.start_source_run("prj")


@pytest.mark.parametrize("source_id", ["", " ", "a/b", "../x", "a b", None, 7])
def test_invalid_source_id(source_id: Any) -> None:
    """An invalid id is refused before any request, and the error names it."""
    with exchange(in_json({})) as (server, client):
        for call in (client.start_source_run, client.get_newest_source_run):
            with pytest.raises(InvalidSettingError, match=r"^source_id"):
                call(source_id)
        with pytest.raises(InvalidSettingError, match=r"^run_id"):
            client.get_source_run("prj", source_id)

    assert server.seen == []


# --- errors and their hints


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (401, AuthenticationError, "right address (api_url)"),
        (403, PermissionDeniedError, "permission to edit the Profiles project or the source. Or"),
        (403, PermissionDeniedError, "Profiles needs the Enterprise plan"),
        (404, NotFoundError, "Check the id of the Profiles project or ETL source and that of the"),
        (500, StatusError, ""),
    ],
)
def test_status__hint(status: int, kind: type[StatusError], hint: str) -> None:
    """A refused request about a run says what to check, in the words of runs."""
    calls: list[Callable[[RudderStackClient], object]] = [
        lambda c: c.start_source_run("prj"),
        lambda c: c.get_source_run("prj", "r1"),
        lambda c: c.get_newest_source_run("prj"),
    ]
    with exchange(in_json({"message": "not today"}, status)) as (_, client):
        for call in calls:
            with pytest.raises(kind) as caught:
                call(client)
            assert "RudderStack says: not today." in str(caught.value)
            assert hint in str(caught.value)
            assert "Edit and Connect" not in str(caught.value)


# --- one run


@pytest.fixture
def api() -> Any:
    """A local RudderStack with a project, and a client of it."""
    with LocalRudderStack() as server:
        server.add_project("prj")
        with client_of(f"{server.url}/v2", access_token=server.access_token) as client:
            yield server, client


@pytest.mark.parametrize("snake_case", [False, True])
def test_get(api: tuple[LocalRudderStack, RudderStackClient], snake_case: bool) -> None:
    """A run is read from both spellings of its fields, and so are its tasks."""
    server, client = api
    server.set_run_script(
        "prj", RunScript(snake_case=snake_case, error="no table", tasks=("models/a", "models/b"))
    )
    run_id = client.start_source_run("prj")

    run = client.get_source_run("prj", run_id)

    assert (run.id, run.job_id) == (run_id, f"{run_id}job0000")
    assert (run.status, run.error) == ("finished", "no table")
    assert None not in (run.started_at, run.finished_at, run.duration_seconds)
    assert [task.task_id for task in run.tasks] == ["models/a", "models/b"]
    assert [task.task_run_id for task in run.tasks] == [f"{run_id}-1", f"{run_id}-2"]
    assert [task.error for task in run.tasks] == [None, "no table"]
    assert {task.status for task in run.tasks} == {"finished"}
    assert all(task.started_at and task.finished_at for task in run.tasks)
    assert (run.rows_total, run.rows_succeeded, run.rows_failed) == (None, None, None)


@pytest.mark.parametrize("missing", [{}, {"id": None}, {"id": ""}])
def test_get__no_id(missing: Mapping[str, object]) -> None:
    """An answer without an id, which RudderStack documents, is about the run that was asked for."""
    with exchange(in_json({"status": "running", **missing})) as (server, client):
        run = client.get_source_run("prj", " r1 ")

    assert (run.id, run.state) == ("r1", SyncState.RUNNING)
    assert server.targets == ["GET /v2/sources/prj/runs/r1/status"]


@pytest.mark.parametrize("other", ["r2", "R1", "r1/../r2", 7, ["r1"]])
def test_get__another_run(other: object) -> None:
    """An answer about another run is an error and never reported."""
    answer = in_json({"id": other, "status": "finished"})
    with (
        exchange(answer) as (_, client),
        pytest.raises(UnexpectedResponseError, match="is about another run, "),
    ):
        client.get_source_run("prj", "r1")


@pytest.mark.parametrize("content", [{"id": "r1"}, {"id": "r1", "status": 7}, [], "finished"])
def test_get__not_documented(content: object) -> None:
    """An answer without a status is unexpected, since it could be taken for any state."""
    with exchange(in_json(content)) as (_, client), pytest.raises(UnexpectedResponseError):
        client.get_source_run("prj", "r1")


# --- the newest run


def test_newest(api: tuple[LocalRudderStack, RudderStackClient]) -> None:
    """The newest run is read with its id."""
    server, client = api
    server.start_run("prj")
    run_id = server.start_run("prj")

    assert client.get_newest_source_run("prj").id == run_id


@pytest.mark.parametrize("legacy_status", [True, False], ids=["no run", "no endpoint"])
def test_newest__not_found(
    api: tuple[LocalRudderStack, RudderStackClient], legacy_status: bool
) -> None:
    """A source without a run, and a RudderStack without the endpoint, both answer 404."""
    server, client = api
    server.update_project("prj", legacy_status=legacy_status)
    if not legacy_status:
        server.start_run("prj")

    with pytest.raises(NotFoundError):
        client.get_newest_source_run("prj")


@pytest.mark.parametrize("run_id", [None, "", "a/b", 7])
def test_newest__no_usable_id(run_id: object) -> None:
    """The newest run without a usable id is unexpected, since it cannot be waited for."""
    with (
        exchange(in_json({"id": run_id, "status": "running"})) as (_, client),
        pytest.raises(UnexpectedResponseError, match="its id is not usable"),
    ):
        client.get_newest_source_run("prj")


# --- what an answer means


@pytest.mark.parametrize(
    ("status", "finished", "state"),
    [
        ("running", None, SyncState.RUNNING),
        ("running", ENDED, SyncState.RUNNING),
        ("processing", ENDED, SyncState.RUNNING),
        (" Finished ", None, SyncState.SUCCEEDED),
        ("finished", ENDED, SyncState.SUCCEEDED),
        ("failed", None, SyncState.FAILED),
        ("aborted", ENDED, SyncState.ABORTED),
        ("aborted", None, SyncState.UNKNOWN_RUNNING),
        ("succeeded", None, SyncState.UNKNOWN_RUNNING),
        ("succeeded", ENDED, SyncState.UNKNOWN_OVER),
        ("Succeeded ", ENDED, SyncState.UNKNOWN_OVER),
        ("completed", ENDED, SyncState.UNKNOWN_OVER),
        ("queued", None, SyncState.UNKNOWN_RUNNING),
        ("", ENDED, SyncState.UNKNOWN_OVER),
        ("finished_with_errors", ENDED, SyncState.UNKNOWN_OVER),
    ],
)
def test_state(status: str, finished: str | None, state: SyncState) -> None:
    """Only `finished` is a success. An unknown status with an end time is over, without one it
    runs. `succeeded` is a status of syncs and unknown for a run."""
    run = read(status=status, startedAt=BEGAN, finishedAt=finished)

    assert run.state is state
    assert run.is_over is state.is_over


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("no table", "no table"),
        ({"message": "größer"}, '{"message": "größer"}'),
        (["a", "b"], '["a", "b"]'),
        (7, "7"),
        (True, "true"),
        ("\ud800", "\ufffd"),
    ],
)
def test_error(error: object, text: str) -> None:
    """A finished run with an error of any type has failed."""
    run = read(error=error)

    assert (run.state, run.error) == (SyncState.FAILED, text)


@pytest.mark.parametrize("error", [None, "", "  \n", {}, [], False, 0])
def test_error__nothing(error: object) -> None:
    """An error that says nothing is none, so that the run has succeeded."""
    run = read(error=error)

    assert (run.state, run.error) == (SyncState.SUCCEEDED, None)


@pytest.mark.parametrize("status", ["running", "processing", "unknown"])
def test_error__running(status: str) -> None:
    """An error ends no run whose status does not say that it is over."""
    assert not read(status=status, error="a model was retried").is_over


@pytest.mark.parametrize(
    "fields",
    [
        {"startedAt": BEGAN, "finishedAt": ENDED, "jobId": "j"},
        {"started_at": BEGAN, "finished_at": ENDED, "job_id": "j"},
        {"startedAt": None, "started_at": BEGAN, "finishedAt": ENDED, "job_id": "j", "jobId": None},
        {"startedAt": BEGAN, "started_at": None, "finished_at": ENDED, "jobId": "j"},
        {"startedAt": BEGAN, "started_at": ENDED, "finishedAt": ENDED, "jobId": "j", "job_id": "k"},
    ],
)
def test_spelling(fields: Mapping[str, object]) -> None:
    """A field is read in both spellings. If both have a value, that in camel case counts."""
    run = read(**fields)

    assert (run.duration_seconds, run.job_id) == (240, "j")
    assert not run.model_extra


def test_unknown_fields() -> None:
    """Unknown fields are kept, and broken optional ones are unknown."""
    run = read(startedAt="soon", tasks=[{"taskId": 7}, "x", {"task_id": "t"}], jobRunId="x", new=1)

    assert run.started_at is None
    assert [task.task_id for task in run.tasks] == [None, "t"]
    assert run.model_extra == {"jobRunId": "x", "new": 1}


def test_goes_round() -> None:
    """A run that was written as JSON is read again unchanged."""
    run = read(error="no", jobId="j", startedAt=BEGAN, tasks=[{"taskId": "t", "error": "no"}])

    assert SourceRun.model_validate_json(run.model_dump_json()) == run
    assert SourceRun.model_validate(json.loads(run.model_dump_json(by_alias=True))) == run
    assert run.tasks == (SourceRunTask(task_id="t", error="no"),)


def test_huge_answer() -> None:
    """An answer about a run may have 2 MB, like that about a sync."""
    answer = in_json({"id": "r1", "status": "running", "x": "y" * 3_000_000})
    with exchange(answer) as (_, client), pytest.raises(ApiError, match="2"):
        client.get_source_run("prj", "r1")
