"""Names and error texts of RudderStack that are Markdown are text on Dagster's pages.

An image in them would be loaded by the browser of each person who opens the page.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from dagster_rudderstack import build_rudderstack_polling_sensor
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.api.recorder import Recorder, recorder
from dagster_rudderstack_tests.browser import hostile_project
from dagster_rudderstack_tests.browser.pages import ROW, open_asset
from dagster_rudderstack_tests.processes.harness import Deployment, Home, deployment
from dagster_rudderstack_tests.sensor.world import World
from dagster_rudderstack_tests.step.world import resource_of

pytestmark = pytest.mark.browser

NORMAL_NAME = "users_daily → HubSpot & Co. (prod)"


@pytest.fixture(scope="module")
def tracker() -> Iterator[Recorder]:
    """The server that the images refer to."""
    with recorder() as server:
        yield server


def image(tracker: Recorder, name: str) -> str:
    """Return Markdown with an image, and the same image in HTML."""
    return f'![{name}]({tracker.url}/{name}) <img src="{tracker.url}/html">'


def fill(server: LocalRudderStack, tracker: Recorder) -> None:
    """Add two connections whose texts are images, except for the name of one source."""
    key = f"```.{image(tracker, 'key')}"
    table = {"schema": "crm", "table": image(tracker, "table"), "primaryKey": key}
    server.add_source("hostile", name=image(tracker, "source"), definition="mysql", config=table)
    orders = {"schema": "shop", "table": "orders"}
    warehouse = image(tracker, "warehouse")
    server.add_source("normal", name=NORMAL_NAME, definition=warehouse, config=orders)
    server.add_destination("tool", name=image(tracker, "destination"), type="HS")
    mappings = {image(tracker, "column"): "email"}
    object_name = image(tracker, "object")
    server.add_connection("waited", "hostile", "tool", object=object_name, mappings=mappings)
    server.add_connection("deferred", "normal", "tool", mappings={"amount": "total"})


def report(server: LocalRudderStack, home: Home, tracker: Recorder) -> None:
    """Let each asset have a sync with rejected rows, and then a failed one."""
    rudderstack = resource_of(server)
    assets = hostile_project.assets_of(rudderstack)
    sensor = build_rudderstack_polling_sensor(assets=assets)
    scene = World(home.instance, rudderstack, assets, sensor)
    scene.tick()
    rejected = SyncScript(rows_total=9, rows_failed=2)
    failed = SyncScript(status="failed", error=image(tracker, "error"))
    for script in (rejected, failed):
        server.set_script("waited", script)
        scene.run("rudderstack/waited")
        server.start_sync("deferred", script=script)
        scene.tick()


@pytest.fixture(scope="module")
def dagster(home: Home, tracker: Recorder) -> Iterator[Deployment]:
    """A webserver and a code server, whose definitions are those of the workspace."""
    fill(home.server, tracker)
    with deployment(home, hostile_project.__name__, daemon=False) as running:
        yield running


@pytest.fixture(scope="module")
def history(home: Home, dagster: Deployment, tracker: Recorder) -> None:
    """The runs and ticks. The webserver starts in the meantime."""
    report(home.server, home, tracker)


@pytest.fixture(autouse=True)
def no_request(tracker: Recorder) -> Iterator[None]:
    """The browser loads nothing that the texts of RudderStack refer to."""
    yield
    assert tracker.seen == []


def shows(page: Page, text: str) -> None:
    """Wait until a page shows this text."""
    expect(page.get_by_text(text).first).to_be_visible()


def test_definition(page: Page, tracker: Recorder) -> None:
    """The page of an asset shows the names in its description and in those of its columns."""
    open_asset(page, "rudderstack/waited")

    shows(page, f"Reverse ETL sync of {image(tracker, 'source')} (table crm.![table](")
    shows(page, f" to {image(tracker, 'destination')} (HS), object {image(tracker, 'object')}.")
    shows(page, f"From {image(tracker, 'column')}")


def test_definition__normal_name(page: Page) -> None:
    """A normal name is shown as it is."""
    open_asset(page, "rudderstack/deferred")
    shows(page, f"Reverse ETL sync of {NORMAL_NAME} (table")


def test_definition__columns(page: Page) -> None:
    """The description of a column has the upstream column and its table."""
    open_asset(page, "rudderstack/deferred")
    shows(page, "From amount of shop.orders")


WHAT_THE_NOTES_SHOW = {"waited": "```.![key](", "deferred": "Run this SQL in ![warehouse]("}


@pytest.mark.parametrize("asset", WHAT_THE_NOTES_SHOW)
def test_events(page: Page, tracker: Recorder, asset: str) -> None:
    """The events that a step and the sensor have reported show the error, and where the rejected
    rows are."""
    open_asset(page, f"rudderstack/{asset}", "events")
    events = page.locator(ROW)
    expect(events).to_have_count(2)

    events.nth(0).click()
    shows(page, f"RudderStack says: {image(tracker, 'error')}. Fix the source")
    events.nth(1).click()
    shows(page, WHAT_THE_NOTES_SHOW[asset])


def test_check_on_rejected_rows(page: Page) -> None:
    """The result of the check shows where the rejected rows are."""
    open_asset(page, "rudderstack/deferred", "checks")

    page.get_by_text("[Show Markdown]").click()
    shows(page, WHAT_THE_NOTES_SHOW["deferred"])


def test_check_on_success(page: Page, tracker: Recorder) -> None:
    """The result of the check that the sensor evaluates shows the error."""
    open_asset(page, "rudderstack/deferred", "checks")

    page.get_by_text("sync_succeeded", exact=True).first.click()
    error = f"RudderStack says: {image(tracker, 'error')}. Fix the source"
    shows(page, error)
    page.get_by_text("Execution history").click()
    shows(page, error)
