"""Fetching a workspace: all pages, in parallel, without broken objects and secrets."""

import itertools
import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from dagster_rudderstack import (
    AuthenticationError,
    DiscoveryError,
    PermissionDeniedError,
    RudderStackResource,
    TransportError,
    WorkspaceSnapshot,
    fetch_rudderstack_workspace,
)
from dagster_rudderstack.api import paging
from dagster_rudderstack.api.paging import CONNECTIONS, DESTINATIONS, SOURCES, Listing, Page
from dagster_rudderstack.discovery.fetch import fetch_workspace
from dagster_rudderstack.errors import (
    NotFoundError,
    RudderStackError,
    UnexpectedResponseError,
)
from dagster_rudderstack.testing import Fault, LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import fill
from dagster_rudderstack_tests.discovery.test_read import fanned_out

LOG = logging.getLogger("test-workspace")


def numbered(count: int) -> list[dict[str, object]]:
    """Return items that are connections, sources and destinations at once."""
    return [
        {
            "id": f"i{number}",
            "name": f"Item {number}",
            "type": "HS",
            "sourceType": "table",
            "sourceId": f"i{number}",
            "destinationId": f"i{number}",
        }
        for number in range(count)
    ]


class Pages:
    """An API whose pages a test controls.

    Args:
        items: The items of all three lists.
        size: The size of a page.
        total: The total on each page. None if there is none.
        before_page: Called with the list and the number of each page before it is built.
    """

    def __init__(
        self,
        items: list[dict[str, object]],
        size: int = 10,
        total: int | None = None,
        before_page: Callable[[Listing[Any], int], None] = lambda _listing, _number: None,
    ) -> None:
        self.items = items
        self._size = size
        self._total = total
        self._before_page = before_page
        self._lock = threading.Lock()

    def get_page(self, listing: Listing[Any], query: Mapping[str, str]) -> Page:  # noqa: D102 - see the protocol
        number = int(query.get("page", "1"))
        self._before_page(listing, number)
        with self._lock:
            start, end = (number - 1) * self._size, number * self._size
            return Page(self.items[start:end], self._total, has_next=end < len(self.items))


def read(pages: Pages) -> WorkspaceSnapshot:
    return fetch_workspace(pages, log=LOG)


def test_everything(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A snapshot has every connection, source and destination of all pages."""
    for number in range(250):
        server.add_connection(f"c{number:03}", f"s{number:03}", f"d{number:03}")

    snapshot = fetch_rudderstack_workspace(rudderstack)

    assert [each.id for each in snapshot.connections] == [f"c{number:03}" for number in range(250)]
    assert {each.id for each in snapshot.sources} == {f"s{number:03}" for number in range(250)}
    assert {each.id for each in snapshot.destinations} == {f"d{number:03}" for number in range(250)}


def test_pages__concurrent(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """The lists, and the pages after the first page of each list, are read concurrently."""
    for number in range(400):
        server.add_connection(f"c{number}", f"s{number}", f"d{number}")
    server.latency_seconds = 0.3

    fetch_rudderstack_workspace(rudderstack)

    assert len(server.requests) == 4 + 4 + 8
    # More than there are lists. On a busy machine, not all requests are sent at the same time.
    assert server.peak_concurrency > 3


@pytest.mark.parametrize(
    "total",
    [None, 35, 0, 1, 5, 34, 36, 95, 1_000_000],
    ids=[
        "no total",
        "right",
        "0",
        "1",
        "5",
        "one too few",
        "one too many",
        "60 too many",
        "a million",
    ],
)
def test_pages__any_total(total: int | None, caplog: pytest.LogCaptureFixture) -> None:
    """Every page is read for any total on the first page. Items that seem to be missing give a
    warning for each list."""
    pages = Pages(numbered(35), total=total)

    snapshot = read(pages)

    assert len(snapshot.connections) == len(snapshot.sources) == len(snapshot.destinations) == 35
    warnings = [each for each in caplog.messages if "but lists 35" in each]
    assert len(warnings) == (3 if total and total > 35 else 0)


def test_pages__missing_page() -> None:
    """If the total is too large, the pages are read one after another."""

    def refuse(_: Listing[Any], number: int) -> None:
        if number > 4:
            raise NotFoundError("No.", method="GET", path="/", status_code=404)

    assert len(read(Pages(numbered(35), total=95, before_page=refuse)).connections) == 35


def test_pages__deleted_item() -> None:
    """If an item is deleted between two reads, no other item is missed."""
    first_page_read = threading.Event()

    def delete(listing: Listing[Any], number: int) -> None:
        if listing is CONNECTIONS and number == 2 and not first_page_read.is_set():
            first_page_read.set()
            del pages.items[0]

    pages = Pages(numbered(35), total=35, before_page=delete)

    found = {connection.id for connection in read(pages).connections}

    assert found >= {f"i{number}" for number in range(1, 35)}


@pytest.mark.parametrize("total", [15, None])
def test_pages__deleted_item__two_pages(total: int | None) -> None:
    """That also holds for a list of two pages, if its total is known."""

    def delete(listing: Listing[Any], number: int) -> None:
        if listing is CONNECTIONS and number == 2 and len(pages.items) == 15:
            del pages.items[0]

    pages = Pages(numbered(15), total=total, before_page=delete)

    found = {connection.id for connection in read(pages).connections}

    assert found >= {f"i{number}" for number in range(1, 15) if total or number != 10}


def test_pages__repeated_page(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """Reading ends if the next page is always the same page."""
    fill(server)
    server.add_fault(Fault("paging", operation="list_connections", times=None))

    assert len(fetch_rudderstack_workspace(rudderstack).connections) == 3


class EndlessPages(Pages):
    """An API that always names a next page, whatever is on it."""

    def __init__(self, after_last: Callable[[Page], Page], total: int | None = None) -> None:
        super().__init__(numbered(35), total=total)
        self._after_last = after_last
        self.requests = 0

    def get_page(self, listing: Listing[Any], query: Mapping[str, str]) -> Page:  # noqa: D102
        self.requests += 1
        page = super().get_page(listing, query)
        return replace(page if page.items else self._after_last(page), has_next=True)


def repeat(page: Page) -> Page:
    return replace(page, items=numbered(35)[30:])


def refuse_page(_: Page) -> Page:
    raise NotFoundError("No.", method="GET", path="/", status_code=404)


def test_pages__endless() -> None:
    """Pages that repeat are an error, since other items may never be listed."""
    with pytest.raises(UnexpectedResponseError, match="its pages repeat"):
        read(EndlessPages(repeat))


@pytest.mark.parametrize("after_last", [repeat, refuse_page])
def test_pages__endless__total(after_last: Callable[[Page], Page]) -> None:
    """They are no error if as many items are listed as there are."""
    assert len(read(EndlessPages(after_last, total=35)).connections) == 35


@pytest.mark.parametrize("total", [None, 36])
def test_pages__missing_next_page(total: int | None) -> None:
    """A next page that cannot be read is an error, since some items are or may be on it."""
    with pytest.raises(NotFoundError):
        read(EndlessPages(refuse_page, total=total))


def test_pages__endless__empty() -> None:
    """Empty pages that name a next page end the list."""
    pages = EndlessPages(lambda page: page)

    assert len(read(pages).connections) == 35
    assert pages.requests == 3 * (4 + 4)


def test_pages__huge_total() -> None:
    """A total that is wrong by thousands of pages costs a few requests."""
    numbers: list[int] = []
    pages = Pages(numbered(35), total=90_000, before_page=lambda _, number: numbers.append(number))

    assert len(read(pages).connections) == 35
    # The pages are read by 16 threads, and then once more, since some seem to be missing.
    assert len(numbers) <= 3 * (4 + 16 + 4)


def test_pages__new_ids_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that always have new items are an error after a number of requests, for any total."""
    monkeypatch.setattr(paging, "MAX_PAGES", 50)
    numbers = itertools.count()

    def unseen(page: Page) -> Page:
        return replace(page, items=[{**numbered(1)[0], "id": f"new{next(numbers)}"}])

    for total in (None, 100, 500, 100_000):
        pages = EndlessPages(unseen, total=total)
        with pytest.raises(UnexpectedResponseError, match="more than 50 pages"):
            read(pages)
        assert pages.requests <= 3 * 50


def test_pages__too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A workspace that would fill the memory is an error."""
    monkeypatch.setattr(paging, "MAX_WORKSPACE_LENGTH", 10_000)

    with pytest.raises(UnexpectedResponseError, match="more than 10000 characters"):
        read(Pages(numbered(1000)))


def test_pages__item_on_two_pages() -> None:
    """An item on two pages is kept once."""
    items = numbered(20)
    items.insert(10, items[9])

    assert len(read(Pages(items)).connections) == 20


def test_empty(rudderstack: RudderStackResource) -> None:
    """The snapshot of an empty workspace is empty."""
    assert fetch_rudderstack_workspace(rudderstack).connections == ()


def test_broken_object(
    server: LocalRudderStack, rudderstack: RudderStackResource, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken object is skipped with a warning that names it and not its contents."""
    fill(server)
    server.add_connection("broken", "customers-src", "hubspot", destinationId={"key": "s3cr3t"})
    server.add_source("broken-src", name="Broken source", sourceType=["s3cr3t"])

    with caplog.at_level(logging.WARNING):
        snapshot = fetch_rudderstack_workspace(rudderstack)

    assert {connection.id for connection in snapshot.connections} == {
        "contacts",
        "audience",
        "paused",
    }
    logged = "\n".join(caplog.messages)
    assert "'broken'" in logged
    assert "destinationId" in logged
    assert "'broken-src' (Broken source)" in logged
    assert "s3cr3t" not in logged


@pytest.mark.parametrize("wrong_id", ["", "a/b", "../x", "a b"])
def test_wrong_id(wrong_id: str, caplog: pytest.LogCaptureFixture) -> None:
    """A connection whose id could change a URL is skipped with a warning."""
    items = numbered(3)
    items[1]["id"] = wrong_id

    with caplog.at_level(logging.WARNING):
        snapshot = read(Pages(items))

    assert [connection.id for connection in snapshot.connections] == ["i0", "i2"]
    assert "The id of a connection" in caplog.text


def test_not_storable(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that a snapshot cannot hold is skipped with a warning."""
    items = numbered(3)
    items[1]["constants"] = [{"key": "half a pair: \ud83d"}]

    with caplog.at_level(logging.WARNING):
        snapshot = read(Pages(items))

    assert [connection.id for connection in snapshot.connections] == ["i0", "i2"]
    assert "Skipped connection 'i1'" in caplog.text


@pytest.mark.parametrize("key", ["sourceId", "destinationId"])
def test_item__not_listed(key: str, caplog: pytest.LogCaptureFixture) -> None:
    """A source or destination that a connection uses and that is not listed gives a warning."""
    items = numbered(3)
    items[1][key] = "gone"

    read(Pages(items))

    (warning,) = [each for each in caplog.messages if "not list" in each]
    noun = "sources" if key == "sourceId" else "destinations"
    assert warning.startswith(f"Connections use {noun} that RudderStack does not list: gone.")


@pytest.mark.parametrize("item", [None, 3, "text", [], {}])
def test_item__not_an_object(item: object, caplog: pytest.LogCaptureFixture) -> None:
    """An item of a list that is not an object is skipped."""
    items = numbered(3)
    items[1] = item  # type: ignore[call-overload]

    with caplog.at_level(logging.WARNING):
        snapshot = read(Pages(items))

    assert [connection.id for connection in snapshot.connections] == ["i0", "i2"]


@pytest.mark.parametrize(
    ("operation", "listing"),
    [("list_sources", SOURCES), ("list_destinations", DESTINATIONS)],
    ids=["sources", "destinations"],
)
@pytest.mark.parametrize("status", [403, 404])
def test_list__not_permitted(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    caplog: pytest.LogCaptureFixture,
    operation: str,
    listing: Listing[Any],
    status: int,
) -> None:
    """A list that the token may not read is left out, with one warning."""
    fill(server)
    server.add_fault(Fault("status", operation=operation, status=status))

    with caplog.at_level(logging.WARNING):
        snapshot = fetch_rudderstack_workspace(rudderstack)

    assert len(snapshot.connections) == 3
    left_out = snapshot.sources if listing is SOURCES else snapshot.destinations
    assert left_out == ()
    assert len(caplog.messages) == 1
    assert listing.path in caplog.messages[0]


def test_connections__not_permitted(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """If the connections cannot be read, the error is raised."""
    server.deny("no", operation="list_connections")

    with pytest.raises(PermissionDeniedError):
        fetch_rudderstack_workspace(rudderstack)


def test_wrong_token(server: LocalRudderStack) -> None:
    """A wrong token is an error, not a workspace without names."""
    rudderstack = RudderStackResource(access_token="wrong-token", api_url=server.url)

    with pytest.raises(AuthenticationError):
        fetch_rudderstack_workspace(rudderstack)


@pytest.mark.parametrize("operation", ["list_connections", "list_sources", "list_destinations"])
def test_outage(server: LocalRudderStack, rudderstack: RudderStackResource, operation: str) -> None:
    """An outage of any list is an error, since assets must not change their names."""
    fill(server)
    server.add_fault(Fault("status", operation=operation, status=503, times=None))

    with pytest.raises(RudderStackError, match="503"):
        fetch_rudderstack_workspace(rudderstack)


def test_outage__transient(server: LocalRudderStack) -> None:
    """A transient error is retried."""
    fill(server)
    server.add_fault(Fault("status", operation="list_sources", status=429, retry_after=0))
    rudderstack = RudderStackResource(access_token=server.access_token, api_url=server.url)

    assert len(fetch_rudderstack_workspace(rudderstack).sources) == 2


def test_error__ends_other_retries() -> None:
    """If one list fails, the retries of the other lists end at once."""
    waiting, ended = threading.Event(), threading.Event()

    def retried(call: Callable[[], Page], wait: Callable[[float], object]) -> Page:
        try:
            return call()
        except TransportError as error:
            if "connections" in error.path:
                waiting.wait(5)
                raise
            waiting.set()
            wait(60)
            ended.set()
            return call()

    def refuse(listing: Listing[Any], _: int) -> None:
        raise TransportError("No.", method="GET", path=listing.path, request_sent=False)

    with pytest.raises(TransportError):
        fetch_workspace(Pages([], before_page=refuse), retried=retried, log=LOG)

    assert ended.wait(5)


def test_no_secrets(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A snapshot holds no credential: no destination's config, no constant's value."""
    fill(server)
    server.add_source("s", config={"schema": "a", "table": "b", "password": "s3cr3t"})
    server.add_connection("c", "s", "hubspot", destinationConfig={"token": "s3cr3t"})

    text = fetch_rudderstack_workspace(rudderstack).dumps()

    assert "s3cr3t" not in text
    assert "origin" in text  # the field that a constant fills


def test_round_trip(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A snapshot that is written and read is equal."""
    fill(server)
    snapshot = fetch_rudderstack_workspace(rudderstack)

    assert WorkspaceSnapshot.loads(snapshot.dumps()) == snapshot
    assert set(snapshot.queries) == {"spenders-src"}


def test_queries__no_sqlglot(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without sqlglot, one warning says how to get the tables of SQL models."""
    fill(server)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # noqa: ARG005 - the name of the argument

    with caplog.at_level(logging.WARNING):
        snapshot = fetch_rudderstack_workspace(rudderstack)

    assert snapshot.queries == {}
    assert [
        "pip install 'dagster-rudderstack[lineage]>=2'" in message for message in caplog.messages
    ] == [True]


def test_queries__unreadable(
    server: LocalRudderStack, rudderstack: RudderStackResource, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning names a SQL model that cannot be read."""
    server.add_source(
        "broken", name="Broken model", source_type="model", config={"sql": "select from ("}
    )
    server.add_connection("c", "broken", "d")

    with caplog.at_level(logging.WARNING):
        fetch_rudderstack_workspace(rudderstack)

    assert "'Broken model' (broken)" in caplog.text


UNREAD = {
    "named table": ("select id from identifier($people)", "identifier(…)"),
    "function": ("select id from table(crm.people(1))", "people(…)"),
    "stage": ("select $1 as id from @crm.stage", "a stage"),
    "beside a table": ("select p.id from crm.people p, table(result_scan(1))", "result_scan(…)"),
}


@pytest.mark.parametrize(("sql", "what"), UNREAD.values(), ids=UNREAD.keys())
def test_queries__unread(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    caplog: pytest.LogCaptureFixture,
    sql: str,
    what: str,
) -> None:
    """If a SQL model may read tables that cannot be known, a warning says so."""
    config = {"sql": sql}
    server.add_source("s", name="S", source_type="model", definition="snowflake", config=config)
    server.add_connection("c", "s", "d")

    with caplog.at_level(logging.WARNING):
        fetch_rudderstack_workspace(rudderstack)

    (message,) = [message for message in caplog.messages if "SQL" in message]
    assert message == (
        f"The SQL of source 'S' (s) may read tables that are not shown, from {what}. Add them as "
        "dependencies with get_asset_spec or, in YAML, with translation."
    )


def test_source__no_table(
    server: LocalRudderStack, rudderstack: RudderStackResource, caplog: pytest.LogCaptureFixture
) -> None:
    """A source that does not say where its rows are, such as an audience, gives a warning."""
    server.add_source("vips", name="VIPs", source_type="audience", config={})
    server.add_connection("c", "vips", "d")

    with caplog.at_level(logging.WARNING):
        fetch_rudderstack_workspace(rudderstack)

    (message,) = [message for message in caplog.messages if "VIPs" in message]
    assert "does not say which tables these sources read" in message


def test_queries__unknown_columns(
    server: LocalRudderStack, rudderstack: RudderStackResource, caplog: pytest.LogCaptureFixture
) -> None:
    """If only the columns of a SQL model are unknown, the warning says so."""
    sql = fanned_out(300)
    server.add_source("broken", name="Broken model", source_type="model", config={"sql": sql})
    server.add_connection("c", "broken", "d")

    with caplog.at_level(logging.WARNING):
        snapshot = fetch_rudderstack_workspace(rudderstack)

    assert [str(table) for table in snapshot.queries["broken"].tables] == ["crm.people"]
    (message,) = [message for message in caplog.messages if "SQL" in message]
    assert message == (
        "The SQL of source 'Broken model' (broken) shows its upstream tables, but not its upstream "
        "columns: too many columns are behind its columns."
    )


DAMAGED = {
    "not JSON": "{",
    "not an object": "[]",
    "no version": "{}",
    "list instead of a connection": json.dumps(
        {"version": 1, "fetched_at": "2026-01-01T00:00:00Z", "connections": [[]]}
    ),
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_snapshot(text: str) -> None:
    """The error says that the snapshot is damaged."""
    with pytest.raises(DiscoveryError, match="damaged"):
        WorkspaceSnapshot.loads(text)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_other_version(version: object) -> None:
    """The error for another version names the version that the library reads."""
    with pytest.raises(DiscoveryError, match=r"reads version 1\."):
        WorkspaceSnapshot.loads(json.dumps({"version": version}))


def test_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of broken objects are a few warnings and a number."""
    broken: list[dict[str, object]] = [
        {"id": f"b{number}", "name": "Broken"} for number in range(3000)
    ]

    with caplog.at_level(logging.WARNING):
        snapshot = read(Pages([*broken, *numbered(5)], size=100))

    assert len(snapshot.connections) == 5
    assert len(caplog.messages) == 21
    assert caplog.messages[-1].startswith("There are ")


def test_hostile_sql(
    server: LocalRudderStack, rudderstack: RudderStackResource, caplog: pytest.LogCaptureFixture
) -> None:
    """A SQL model that cannot be read costs its connection the upstream tables and nothing else."""
    hostile = r"select '\', " + "(" * 4000 + "1" + ")" * 4000 + " as id"
    for name, sql in {"hostile": hostile, "good": "select id from crm.people"}.items():
        server.add_source(f"{name}-src", name=name, sourceType="model", config={"sql": sql})
        server.add_destination(name)
        server.add_connection(name, f"{name}-src", name)

    with caplog.at_level(logging.WARNING):
        snapshot = fetch_rudderstack_workspace(rudderstack)

    assert {each.id for each in snapshot.connections} == {"hostile", "good"}
    assert [len(snapshot.queries[f"{name}-src"].tables) for name in ("hostile", "good")] == [0, 1]
    assert len(caplog.messages) == 1
    assert "The SQL of source 'hostile' (hostile-src) cannot be read" in caplog.messages[0]
    assert "Add its tables as dependencies with get_asset_spec" in caplog.messages[0]
