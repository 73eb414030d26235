"""Dagster's pages of an asset and of its runs, as a browser shows them.

`crm_contacts` was synced well three times, failed once, and was canceled once.
"""

import re
from collections.abc import Iterable, Mapping

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from dagster_rudderstack_tests.browser import project
from dagster_rudderstack_tests.browser.history import DASHBOARD, RUDDERSTACK_SAYS, History
from dagster_rudderstack_tests.browser.pages import (
    Entry,
    LogRow,
    graph_node,
    metadata,
    new_page,
    open_asset,
    open_run,
    read_events,
    records,
)
from dagster_rudderstack_tests.browser.plots import Plot, read_plot, show_plots

pytestmark = pytest.mark.browser

SYNC = r"[0-9A-Za-z]{27}"


# --- the events of an asset

Entries = Mapping[str, Entry]


@pytest.fixture(scope="module")
def entries(
    window: BrowserContext, history: History, tmp_path_factory: pytest.TempPathFactory
) -> Entries:
    """The only five events of `crm_contacts`, the newest first."""
    with new_page(window, tmp_path_factory.mktemp("events")) as page:
        names = ("third", "canceled", "second", "failed", "first")
        runs = [getattr(history, name) for name in names]
        return dict(zip(names, read_events(page, "crm_contacts", runs), strict=True))


def test_events(entries: Entries, history: History) -> None:
    """An asset has one event for each run: a materialization for a good one, or an observation."""
    assert [entry.headline for entry in entries.values()] == [
        f"Materialized in run {history.third[:8]}",
        f"Observed in run {history.canceled[:8]}",
        f"Materialized in run {history.second[:8]}",
        f"Observed in run {history.failed[:8]}",
        f"Materialized in run {history.first[:8]}",
    ]


def test_events__failed(entries: Entries) -> None:
    """The observation of a failed sync says what failed, what RudderStack said and what to do."""
    assert re.fullmatch(
        rf"Sync {SYNC} of connection {project.CRM} failed after 0\.2 s \(the dashboard shows it as "
        rf"aborted\)\. RudderStack says: {RUDDERSTACK_SAYS}\. "
        r"Fix the source or the destination, then sync again\.",
        entries["failed"].description or "",
    )


def test_events__failed_metadata(entries: Entries) -> None:
    """The metadata of a failed sync begins with the error and the rows, and ends with the rest."""
    facts = entries["failed"].metadata

    assert list(facts) == [
        "rudderstack/error",
        "rudderstack/rows_failed",
        "rudderstack/rows_succeeded",
        "rudderstack/rows_changed",
        "rudderstack/rows_total",
        "dagster/row_count",
        "rudderstack/failed_rows_sql",
        "rudderstack/status",
        "rudderstack/duration_seconds",
        "rudderstack/link",
        "rudderstack/finished_at",
        "rudderstack/sync_id",
        "rudderstack/connection_id",
        "rudderstack/details",
    ]
    assert facts["rudderstack/error"] == RUDDERSTACK_SAYS
    assert facts["rudderstack/rows_failed"] == "300"
    assert '"success_ratio": 0.6667' in facts["rudderstack/details"]
    assert facts["rudderstack/status"] == "failed"
    assert facts["rudderstack/duration_seconds"] == "0.2"


def test_events__canceled(entries: Entries) -> None:
    """The observation of a canceled sync says that the run was canceled."""
    assert re.fullmatch(
        rf"Sync {SYNC} of connection {project.CRM} was stopped because the run was canceled\.",
        entries["canceled"].description or "",
    )


def test_events__canceled_metadata(entries: Entries) -> None:
    """The observation of a canceled sync has the status `stopped`, and the time until its stop."""
    facts = entries["canceled"].metadata

    assert facts["rudderstack/status"] == "stopped"
    assert 0 < float(facts["rudderstack/duration_seconds"]) < 60


# --- the plots of an asset


NUMBERS = {
    "rudderstack/rows_succeeded": [1000, 1398, 1596],
    "rudderstack/rows_failed": [0, 2, 4],
    "rudderstack/rows_changed": [1000, 1400, 1600],
    "rudderstack/rows_total": [1000, 1400, 1600],
    "dagster/row_count": [1000, 1398, 1596],
    "rudderstack/duration_seconds": [0.3, 0.5, 0.4],
}
"""The plotted numbers of the good syncs, the oldest first."""


@pytest.fixture(scope="module")
def plots(window: BrowserContext, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Plot]:
    """The plots of `crm_contacts` by their titles."""
    with new_page(window, tmp_path_factory.mktemp("plots")) as page:
        open_asset(page, "crm_contacts")
        show_plots(page)
        return {key: read_plot(page, key) for key in NUMBERS}


@pytest.mark.parametrize("key", NUMBERS)
def test_plot(plots: Mapping[str, Plot], key: str) -> None:
    """The plot of a number is one line through all syncs, also failed and canceled ones."""
    plot = plots[key]

    first, _failed, second, _canceled, third = plot.values
    assert [first, second, third] == NUMBERS[key]
    assert plot.is_one_line, plot


def test_plot__partitions(page: Page) -> None:
    """Plots of a partitioned asset show its partitions, or all syncs as one line."""
    open_asset(page, "mail_by_day")
    show_plots(page)

    partitions = read_plot(page, "rudderstack/rows_succeeded")
    page.get_by_role("button", name="Events").click()
    events = read_plot(page, "rudderstack/rows_succeeded", other_than=partitions)

    assert (partitions.values[0], partitions.values[2]) == (1000, 1398)
    assert events.values == (1000, 600, 1398)
    assert events.is_one_line, events


# --- the rest of an asset's page


def test_row_count(page: Page) -> None:
    """The status of an asset shows the rows that its last good sync delivered."""
    open_asset(page, "crm_contacts")

    count = page.get_by_text("Row count", exact=True).locator("xpath=following::*[text()][1]")
    expect(count).to_have_text("1,596")


def test_rejected_rows(page: Page) -> None:
    """The page of an asset with rejected rows shows the SQL that lists them."""
    open_asset(page, "crm_contacts")

    sync_id = metadata(page)["rudderstack/sync_id"]
    code = page.locator("pre").filter(has_text="SELECT sl.primary_key")
    expect(code.first).to_contain_text(f"WHERE sl.sync_run_id = '{sync_id}'")


def test_before_the_first_sync(page: Page) -> None:
    """The page of an asset that was never synced shows its connection, its mode and its limits."""
    open_asset(page, "survey")

    facts = metadata(page)
    expect(page.get_by_text("Never materialized", exact=True)).to_be_visible()
    assert facts["rudderstack/connection_id"] == project.SURVEY
    assert facts["rudderstack/deferred"] == "true"
    limits = facts["rudderstack/checks"]
    assert '"max_failed_rows": 5' in limits
    assert '"max_failed_ratio": 0.01' in limits
    assert '"severity": "WARN"' in limits


@pytest.mark.parametrize(
    ("asset", "status"), [("ad_audience", "Failed"), ("crm_contacts", "Materialized")]
)
def test_graph(page: Page, asset: str, status: str) -> None:
    """In the graph, an asset has the status of its last sync."""
    expect(graph_node(page, asset)).to_contain_text(status)


# --- the page of a run

RUNS = ("first", "failed", "canceled")
Logs = Mapping[str, list[LogRow]]


@pytest.fixture(scope="module")
def logs(
    window: BrowserContext, history: History, tmp_path_factory: pytest.TempPathFactory
) -> Logs:
    """The logs of a good, the failed and the canceled run, as their pages show them."""
    with new_page(window, tmp_path_factory.mktemp("runs")) as page:
        return {name: open_run(page, getattr(history, name)) for name in RUNS}


def texts(rows: Iterable[LogRow]) -> list[str]:
    """Return the texts of rows, with short words instead of ids."""
    return [re.sub(SYNC, "...", row.text.replace(project.CRM, "CRM")) for row in rows]


def failure(log: Iterable[LogRow]) -> str:
    """Return the text of the only step that failed."""
    (text,) = texts(row for row in log if row.kind == "STEP_FAILURE")
    return text


@pytest.mark.parametrize("run", ["first", "failed"])
def test_run__records(logs: Logs, run: str) -> None:
    """The page of a run says in a line that a sync was started, and of which type."""
    assert texts(records(logs[run])) == [
        "Starting a sync of connection CRM.",
        "Started sync ... of connection CRM (incremental).",
    ]


def test_run__records_of_a_canceled_run(logs: Logs) -> None:
    """The page of a canceled run also says that RudderStack was asked to stop the sync."""
    assert texts(records(logs["canceled"])) == [
        "Starting a sync of connection CRM.",
        "Started sync ... of connection CRM (incremental).",
        "Asked RudderStack to stop sync ... of connection CRM.",
    ]


@pytest.mark.parametrize("run", RUNS)
def test_run__one_line(logs: Logs, run: str) -> None:
    """A record takes one line of the screen."""
    assert {row.lines_on_screen for row in records(logs[run])} == {1}


@pytest.mark.parametrize("run", RUNS)
def test_run__data_of_a_record(logs: Logs, run: str) -> None:
    """What only a later attempt reads is behind a button, below the ids that people look for."""
    for row in records(logs[run]):
        assert "rudderstack/connection_id" in row.metadata
        assert "retry_number" not in row.metadata


def test_run__failed(logs: Logs) -> None:
    """The page of a failed run says what failed, what RudderStack said, and what to do."""
    assert failure(logs["failed"]).endswith(
        "Failure: Sync ... of connection CRM failed after 0.2 s (the dashboard shows it as "
        f"aborted). RudderStack says: {RUDDERSTACK_SAYS}. "
        "Fix the source or the destination, then sync again."
    )


def test_run__failed_once(page: Page, history: History) -> None:
    """The full message of a failed sync begins with the reason, and no other traceback follows."""
    page.goto(f"/runs/{history.failed}?logs=type:STEP_FAILURE")

    page.get_by_text("View full message").first.click()
    message = page.get_by_role("dialog").inner_text()

    assert message.count("failed after 0.2 s") == 1
    assert "caused" not in message
    assert "The above exception" not in message


def test_run__canceled(logs: Logs) -> None:
    """The page of a canceled run says that the run was canceled, and what became of the sync."""
    assert failure(logs["canceled"]).endswith(
        "The run was canceled. Sync ... of connection CRM: RudderStack was asked to stop it."
    )


# --- the pages of the resource and of a job


def test_resource(page: Page) -> None:
    """A secret that is not set is shown as not set, and one from a variable as its name."""
    page.goto("/locations/tests/resources/rudderstack")

    page.get_by_text("proxy_url", exact=True).wait_for()
    expect(page.get_by_text("RUDDERSTACK_ACCESS_TOKEN").first).to_be_visible()
    expect(page.get_by_text("********")).to_have_count(0)


def test_resource__description(page: Page) -> None:
    """The description of the resource has its example as code, and nothing about its internals."""
    page.goto("/locations/tests/resources/rudderstack")

    code = page.locator("pre").filter(has_text="rudderstack.sync_and_poll(")
    expect(code).to_be_visible()
    expect(page.get_by_text("teardown")).to_have_count(0)


def test_launchpad(page: Page) -> None:
    """The launchpad inserts no mask for a secret that is not set, and its settings are valid."""
    page.goto("/locations/tests/jobs/activation/playground")

    expect(page.get_by_text("No errors")).to_be_visible()
    settings = page.locator(".CodeMirror").first
    expect(settings).to_contain_text("access_token: '********'")
    expect(settings).not_to_contain_text("extra_headers")
    expect(settings).not_to_contain_text("proxy_url")


def test_dashboard(page: Page) -> None:
    """The page of an asset links to the page of its last sync in RudderStack's dashboard."""
    open_asset(page, "crm_contacts")

    sync_id = metadata(page)["rudderstack/sync_id"]
    url = DASHBOARD.format(connection_id=project.CRM, sync_id=sync_id)
    expect(page.locator(f'a[href="{url}"]').first).to_be_visible()
