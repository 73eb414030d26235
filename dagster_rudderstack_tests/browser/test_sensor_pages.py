"""Dagster's pages of deferred syncs and of the sensor that reports them, as a browser shows them.

The real daemon evaluates the sensor. The sync of `crm_contacts` succeeds, that of `survey` fails.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pytest
from playwright.sync_api import Page, expect

from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.browser import sensor_project
from dagster_rudderstack_tests.browser.pages import ROW, graph_node, open_asset
from dagster_rudderstack_tests.processes.harness import Deployment, Home, deployment, wait_for
from dagster_rudderstack_tests.sensor.world import sync_ids

pytestmark = pytest.mark.browser

SENSOR_PAGE = "/locations/__repository__@tests/sensors/rudderstack_polling_sensor"
FAILURE = 'relation "users" does not exist'
FAILED = SyncScript(duration_seconds=0.5, rows_total=900, status="failed", error=FAILURE)


@dataclass(frozen=True)
class Reports:
    """What the sensor has reported.

    Attributes:
        started: The run that started the sync of `survey`.
        failed: The run that fails for it.
        sync_id: The sync of `survey`.
        good_tick: When the tick began that reported the sync of `crm_contacts`, in seconds since
            1970.
    """

    started: str
    failed: str
    sync_id: str
    good_tick: float


@pytest.fixture(scope="module")
def dagster(home: Home) -> Iterator[Deployment]:
    """A webserver, a code server and a daemon."""
    fill(home.server)
    with deployment(home, sensor_project.__name__) as running:
        yield running


def fill(server: LocalRudderStack) -> None:
    """Add the connections. Their syncs succeed."""
    good = SyncScript(duration_seconds=0.5, rows_total=2021)
    for connection_id in (sensor_project.CRM, sensor_project.SURVEY, sensor_project.ADS):
        server.add_connection(connection_id, script=good)


@pytest.fixture(scope="module")
def history(home: Home, dagster: Deployment) -> Reports:
    """Both syncs, and their reports. The sensor is turned off afterwards."""
    home.server.script_next(sensor_project.SURVEY, FAILED)
    started = dagster.launch("survey")
    started.wait_for_end()
    failures = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
    (failed,) = wait_for(lambda: home.instance.get_runs(failures), "the run that fails")
    (sync,) = home.server.syncs(sensor_project.SURVEY)
    dagster.launch("crm_contacts").wait_for_end()
    wait_for(lambda: sync_ids(home.instance, "crm_contacts"), "the report of the good sync")
    return Reports(started.run_id, failed.run_id, sync.id, turn_off(home.instance))


def turn_off(instance: dg.DagsterInstance) -> float:
    """Turn the sensor off, and return when the tick began that reported a sync without a run.

    The daemon may evaluate the sensor once more afterwards.
    """
    (state,) = instance.all_instigator_state()
    ids = state.instigator_origin_id, state.selector_id
    instance.stop_sensor(*ids, None)

    def reports() -> list[float]:
        ticks = instance.get_ticks(*ids)
        return [
            tick.timestamp for tick in ticks if (tick.skip_reason or "").startswith("Reported ")
        ]

    (good_tick,) = wait_for(reports, "the end of the tick")
    return good_tick


def open_check(page: Page) -> None:
    """Open the check `sync_succeeded` of `survey`."""
    page.goto("/assets/survey?view=checks&checkDetail=sync_succeeded")
    page.get_by_text("Evaluation result").wait_for()


# --- a failed deferred sync


def test_graph__failed(page: Page) -> None:
    """In the graph, an asset whose deferred sync failed is red, and so is its check."""
    node = graph_node(page, "survey")

    expect(node).to_contain_text("Failed")
    expect(node).to_contain_text("0 / 2 Passed")


def test_check__failed(page: Page, history: Reports) -> None:
    """The check of a failed deferred sync says why, and links to the run that started it."""
    open_check(page)

    # Only this check of the asset can fail.
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    expect(page.get_by_text(f"RudderStack says: {FAILURE}").first).to_be_visible()
    expect(page.locator(f"a[href$='/runs/{history.started}']").first).to_be_visible()


def test_check__executed(page: Page, home: Home) -> None:
    """The button `Execute` repeats the result of the last sync. It starts no sync."""
    open_check(page)
    before = [home.run(run.run_id) for run in home.instance.get_runs(limit=1)]
    page.get_by_text("Execute", exact=True).click()
    run = wait_for(lambda: home.newest_run(before), "the run of the check")

    assert run.wait_for_end() == "SUCCESS"
    open_check(page)
    expect(page.locator(f"a[href*='/runs/{run.run_id}']").first).to_be_visible()
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    expect(page.get_by_text(f"RudderStack says: {FAILURE}").first).to_be_visible()
    assert len(home.server.syncs(sensor_project.SURVEY)) == 1


def test_events__failed(page: Page, history: Reports) -> None:
    """The observation of a failed deferred sync links to the run that started it, and to the sync
    in RudderStack's dashboard."""
    open_asset(page, "survey", "events")

    expect(page.get_by_text(f"RudderStack says: {FAILURE}").first).to_be_visible()
    expect(page.locator(f"a[href$='/runs/{history.started}']").first).to_be_visible()
    expect(page.locator(f"a[href*='/syncs/{history.sync_id}']").first).to_be_visible()


def test_run__failed(page: Page, history: Reports) -> None:
    """The run that fails for a deferred sync has the reason, and links to the run that started
    it."""
    page.goto(f"/runs/{history.failed}")

    failure = page.locator(ROW).filter(has_text="STEP_FAILURE")
    expect(failure).to_contain_text(f"RudderStack says: {FAILURE}")
    expect(failure.locator(f"a[href$='/runs/{history.started}']")).to_be_visible()


# --- the page of the sensor


def test_sensor(page: Page) -> None:
    """The page of a sensor names its assets, its workspace and the deferred assets."""
    page.goto(SENSOR_PAGE)

    expect(page.get_by_text(re.compile("^Reports the syncs"))).to_have_text(
        "Reports the syncs of ad_audience, crm_contacts and survey that no step waits for, in the "
        "RudderStack workspace of the resource rudderstack. The steps of crm_contacts and survey "
        "only start syncs (wait=False)."
    )
    expect(page.get_by_text('key:"crm_contacts" or key:"survey"')).to_be_visible()


def test_tick(page: Page, history: Reports) -> None:
    """The tick that reported a sync without a run says what it reported."""
    page.goto(SENSOR_PAGE)
    # Ticks are at least a second apart, and the page shows the second.
    time = page.evaluate(
        "seconds => new Date(seconds * 1000).toLocaleTimeString('en-US')", history.good_tick
    )
    tick = page.get_by_role("row").filter(has=page.get_by_text("View logs")).filter(has_text=time)
    tick.get_by_text("0 runs requested").first.hover()

    expect(
        page.get_by_text("Reported 1 sync: crm_contacts succeeded (2,021 rows).")
    ).to_be_visible()
