"""The client accepts every 2xx answer that the description allows.

There is one exception: the id of a started sync must be usable, or the sync cannot be polled.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dagster_rudderstack.api.client import RudderStackClient
from dagster_rudderstack.api.fields import ApiModel
from dagster_rudderstack.api.models import (
    Connection,
    Destination,
    Source,
    Sync,
    SyncState,
    Workspace,
)
from dagster_rudderstack.api.source_runs import SourceRun
from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.errors import InvalidSettingError, UnexpectedResponseError
from dagster_rudderstack_tests.api.contract import (
    DOCUMENT,
    Schema,
    allowed,
    answer_schema,
    is_allowed,
)
from dagster_rudderstack_tests.api.raw_server import RawServer, client_of, http, in_json

CONNECTION = "/retl-connections/{connectionId}"
SOURCE = "/sources/{sourceId}"
many = settings(
    max_examples=150,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)


@dataclass(frozen=True)
class One:
    """An answer with one object.

    Attributes:
        key: Its key in the answer. None if it is the answer.
        id: The id that was asked for, if the answer must have it.
    """

    path: str
    call: Callable[[RudderStackClient], ApiModel]
    key: str | None = None
    id: str | None = None


@dataclass(frozen=True)
class Many:
    """An answer with one page of objects."""

    path: str
    key: str
    call: Callable[[RudderStackClient], list[Any]]


ONES = [
    One("/workspace", lambda client: client.get_workspace(), key="workspace"),
    One(CONNECTION, lambda client: client.get_connection("crm")),
    One(f"{CONNECTION}/syncs/{{syncId}}", lambda client: client.get_sync("crm", "s1"), id="s1"),
    One(
        f"{SOURCE}/runs/{{runId}}/status",
        lambda client: client.get_source_run("prj", "r1"),
        id="r1",
    ),
    One(f"{SOURCE}/status", lambda client: client.get_newest_source_run("prj"), id="r1"),
]
MANIES = [
    Many("/retl-connections", "data", RudderStackClient.list_connections),
    Many(f"{CONNECTION}/syncs", "syncs", lambda client: client.list_syncs("crm")),
    Many("/retl-sources", "data", RudderStackClient.list_sources),
    Many("/destinations", "destinations", RudderStackClient.list_destinations),
]


@dataclass
class Api:
    """A server whose answer a test can set, and a client of it."""

    client: RudderStackClient
    content: Any = None


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with RawServer(lambda _: in_json(opened.content)) as server, client_of(server.url) as client:
        opened = Api(client)
        yield opened


def check_allowed(content: Any, schema: Schema) -> None:
    """The strategies generate what the description allows, and nothing else."""
    assert is_allowed(content, schema), content


@pytest.mark.parametrize("case", ONES, ids=lambda case: case.path)
def test_one(case: One, api: Api) -> None:
    """An object is read with the values of the answer."""
    schema = answer_schema(case.path, "get")

    @many
    @given(allowed(schema))
    def holds(content: Any) -> None:
        check_allowed(content, schema)
        if case.id is not None:
            content["id"] = case.id
        api.content = content
        item = content if case.key is None else content[case.key]
        says_the_same(case.call(api.client), item)

    holds()


@pytest.mark.parametrize("case", MANIES, ids=lambda case: case.path)
def test_many(case: Many, api: Api) -> None:
    """A list is read, and each object occurs once."""
    schema = answer_schema(case.path, "get")

    @many
    @given(allowed(schema))
    def holds(content: Any) -> None:
        check_allowed(content, schema)
        # A list that leads to further pages gives each of them the same answer: nothing new.
        api.content = content
        objects = case.call(api.client)
        wanted: dict[str, Any] = {}
        for item in content[case.key]:
            wanted.setdefault(item["id"], item)
        for found, item in zip(objects, wanted.values(), strict=True):
            says_the_same(found, item)

    holds()


START_ANSWERS: dict[str, tuple[str, Callable[[RudderStackClient], str]]] = {
    f"{CONNECTION}/start": ("syncId", lambda client: client.start_sync("crm")),
    f"{SOURCE}/start": ("runId", lambda client: client.start_source_run("prj")),
}


@pytest.mark.parametrize("path", START_ANSWERS)
def test_start(path: str, api: Api) -> None:
    """The answer to a start is read if its id is usable. Otherwise it is unexpected."""
    schema = answer_schema(path, "post")
    field, start = START_ANSWERS[path]

    @many
    @given(allowed(schema) | st.fixed_dictionaries({field: st.from_regex(r"[A-Za-z0-9]{1,40}\Z")}))
    def holds(content: Any) -> None:
        check_allowed(content, schema)
        api.content = content
        try:
            usable = checked_id(content[field], field)
        except InvalidSettingError:
            with pytest.raises(UnexpectedResponseError, match=field):
                start(api.client)
        else:
            assert start(api.client) == usable

    holds()


def test_stop() -> None:
    """The documented answer to a stop has no content and is accepted."""
    answers = DOCUMENT["paths"][f"{CONNECTION}/stop"]["post"]["responses"]
    assert [status for status in answers if status < "300"] == ["204"]

    with RawServer(lambda _: http(204)) as server, client_of(server.url) as client:
        client.stop_sync("crm")


def test_every_answer_is_here() -> None:
    """Every 2xx answer of the client's endpoints is tested."""
    described = {
        (path, method)
        for path, methods in DOCUMENT["paths"].items()
        for method in methods
        if path.startswith(("/retl-", "/destinations", "/workspace", "/sources"))
    }
    not_in_the_client = {
        ("/retl-sources/{sourceId}", "get"),
        ("/destinations/{destinationId}", "get"),
    }
    tested = {
        (path, "get") for path in [each.path for each in ONES] + [each.path for each in MANIES]
    }
    tested |= {(path, "post") for path in [*START_ANSWERS, f"{CONNECTION}/stop"]}

    assert tested == described - not_in_the_client


# --- what the models say of an answer


def says_the_same(found: ApiModel, item: dict[str, Any]) -> None:
    """Fail if a model differs from the object that it was read from."""
    shown = item["id"]
    assert found.model_dump()["id"] == shown or not shown.isprintable()
    if isinstance(found, SourceRun):
        _same_run(found, item)
    elif isinstance(found, Sync):
        _same_sync(found, item)
    elif isinstance(found, Connection):
        _same_connection(found, item)
    else:
        assert isinstance(found, (Source, Destination, Workspace))
        assert found.name == item["name"]
        assert isinstance(found, Workspace) or found.enabled is item.get("enabled", True)


def _same_sync(sync: Sync, item: dict[str, Any]) -> None:
    metrics = item.get("metrics") or {}
    for name, rows in (
        ("succeeded", sync.rows_succeeded),
        ("failed", sync.rows_failed),
        ("changed", sync.rows_changed),
    ):
        assert rows == _known((metrics.get(name) or {}).get("total"))
    assert sync.rows_total == _known(metrics.get("total"))
    documented = item["status"] in ("running", "succeeded", "failed")
    assert not documented or sync.state.value == item["status"]
    assert sync.state is not SyncState.SUCCEEDED or item["status"].strip().lower() == "succeeded"
    assert sync.error == (item.get("error") or None)
    for moment in (sync.started_at, sync.finished_at):
        assert moment is None or moment.utcoffset() is not None


def _same_run(run: SourceRun, item: dict[str, Any]) -> None:
    """A run has succeeded only if it is finished without an error."""
    status, error = item["status"].strip().lower(), item.get("error") or ""
    assert (run.state is SyncState.SUCCEEDED) == (status == "finished" and not error.strip())
    assert run.error == (error if error.strip() else None)
    for moment in (run.started_at, run.finished_at):
        assert moment is None or moment.utcoffset() is not None


def _known(count: float | None) -> int | None:
    """A count that no warehouse can have is unknown."""
    return None if count is None or count >= 2**63 else int(count)


def _same_connection(connection: Connection, item: dict[str, Any]) -> None:
    assert connection.enabled is item.get("enabled", True)
    pairs = [(each["from"], each["to"]) for each in item.get("mappings") or []]
    assert [(each.source_column, each.destination_field) for each in connection.mappings] == pairs
    schedule = item.get("schedule")
    assert (schedule is None) == (connection.schedule is None)
    assert (
        schedule is None
        or connection.schedule is None
        or connection.schedule.type == schedule["type"]
    )
