"""Writes the pictures of Dagster's UI that the docs show: `make screenshots`.

It runs the demo in a temporary folder, adds a few nights and a failed sync to its history, and
takes pictures of Dagster's pages with Chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import duckdb
import httpx
from demo import demo
from playwright.sync_api import Locator, Page, ViewportSize, sync_playwright

from dagster_rudderstack.testing import RemoteLocalRudderStack, SyncScript
from dagster_rudderstack.testing.remote import CONTROL_TOKEN_VARIABLE
from dagster_rudderstack_tests.browser.plots import show_plots
from dagster_rudderstack_tests.processes.harness import free_port, wait_for

ROOT = Path(__file__).parents[2]
WINDOW = ViewportSize(width=1440, height=1050)
LOCATION = "reverse_etl_demo"
CONTROL_TOKEN = "pictures"
MAX_BYTES = 250_000
PATIENCE_SECONDS = 300.0
"""A run takes seconds, and Dagster's start half a minute. A busy machine fails nothing."""

FAILED = SyncScript(
    duration_seconds=3,
    status="failed",
    error="HubSpot answered 403: the app lacks the scope crm.objects.contacts.write",
)

NIGHTS = 4
NIGHT = """
    UPDATE raw.customers SET plan = if(plan = 'pro', 'free', 'pro')
    WHERE customer_id % 11 < 2 * {night} AND customer_id % 7 = {night};
    UPDATE raw.customers SET email = replace(email, '@', ' at ') WHERE customer_id % 1000 = {night};
"""

LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) { __typename ... on LaunchRunSuccess { run { runId } } }
}
"""


@dataclass
class Scene:
    """The demo with Dagster's UI.

    Attributes:
        home: The folder of the demo.
        instance: Dagster's instance.
        rudderstack: The local RudderStack.
        url: Dagster's UI.
    """

    home: demo.Home
    instance: dg.DagsterInstance
    rudderstack: RemoteLocalRudderStack
    url: str

    def materialize(self, *assets: str) -> str:
        """Materialize some assets, wait until the run ends, and return its id."""
        selector = {
            "repositoryLocationName": LOCATION,
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": [asset]} for asset in assets],
        }
        variables = {"params": {"selector": selector, "runConfigData": {}}}
        answer = httpx.post(
            f"{self.url}/graphql", json={"query": LAUNCH, "variables": variables}, timeout=60
        ).json()
        run_id: str = answer["data"]["launchRun"]["run"]["runId"]
        wait_for(lambda: self._is_over(run_id), f"the end of run {run_id}", PATIENCE_SECONDS)
        return run_id

    def _is_over(self, run_id: str) -> bool:
        run = self.instance.get_run_by_id(run_id)
        return run is not None and run.is_finished


@contextlib.contextmanager
def scene(home: demo.Home) -> Iterator[Scene]:
    """Run Dagster's UI and daemon on the result of the demo."""
    config = home.dagster_home / "dagster.yaml"
    config.write_text(f"{config.read_text()}nux:\n  enabled: false\n")  # no welcome dialog
    os.environ[CONTROL_TOKEN_VARIABLE] = CONTROL_TOKEN
    port = free_port()
    command = demo.dg_command("dev", "--port", str(port))
    with (
        demo.local_rudderstack(home) as rudderstack_url,
        (home.path / "dev.log").open("w") as log,
        demo.child(
            command,
            cwd=demo.PROJECT,
            env=home.environment(rudderstack_url),
            stdout=log,
            stderr=log,
        ),
        dg.DagsterInstance.from_config(str(home.dagster_home)) as instance,
    ):
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(url), "Dagster's UI", PATIENCE_SECONDS)
        yield Scene(home, instance, RemoteLocalRudderStack(rudderstack_url, CONTROL_TOKEN), url)


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/server_info", trust_env=False).is_success
    return False


def change_rows(home: demo.Home, night: int) -> None:
    """Change the raw tables, as a nightly load does."""
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.execute(NIGHT.format(night=night))


# --- pictures


@dataclass
class Camera:
    """Takes pictures of Dagster's pages.

    Attributes:
        page: A tab of the browser.
        url: Dagster's UI.
        folder: Where the pictures go.
    """

    page: Page
    url: str
    folder: Path

    def open(self, path: str) -> None:
        """Open a page and wait until it has loaded."""
        self.page.goto(f"{self.url}/{path}")
        self.page.wait_for_load_state("networkidle")

    def take(self, name: str) -> None:
        """Write a picture of the window.

        Raises:
            AssertionError: If a dialog covers the page, or if the file is too large.
        """
        # Nothing is highlighted because the mouse is there, and no animation is under way.
        self.page.mouse.move(1, WINDOW["height"] / 2)
        self.page.wait_for_timeout(1000)
        assert self.page.get_by_role("dialog").count() == 0, f"a dialog covers {name}"
        path = self.folder / f"{name}.png"
        self.page.screenshot(path=path, animations="disabled", caret="hide")
        assert path.stat().st_size < MAX_BYTES, f"{path} has more than {MAX_BYTES} bytes"
        print(path)  # noqa: T201 - the output of a command


def scroll_to_top(heading: Locator) -> None:
    """Scroll until a heading is the first line of the page."""
    heading.evaluate("heading => heading.scrollIntoView({block: 'start'})")


def graph(camera: Camera) -> None:
    """The graph: raw tables, models, features and syncs."""
    page = camera.page
    page.set_viewport_size({"width": WINDOW["width"], "height": 1250})
    camera.open("asset-groups")
    page.get_by_text("Hide navigation").click()
    page.get_by_label("panel_show_right").last.click()  # hides the list of groups
    page.keyboard.press("Alt+e")  # expands all groups
    page.locator("foreignObject").filter(has_text="crm_contacts").first.wait_for()
    for _ in range(6):
        page.get_by_label("zoom_out").click()
    camera.take("graph")
    page.set_viewport_size(WINDOW)


def asset(camera: Camera) -> None:
    """The page of a sync: its status, and the plots of its numbers."""
    camera.open("assets/crm_contacts?view=overview")
    show_plots(camera.page)
    scroll_to_top(camera.page.get_by_text("Metadata", exact=True))
    camera.take("asset")


def run(camera: Camera, run_id: str) -> None:
    """The page of a run: how it synced."""
    camera.open(f"runs/{run_id}?logs=step:crm_contacts")
    camera.page.get_by_text("STEP_SUCCESS").first.wait_for()
    camera.page.mouse.move(WINDOW["width"] / 2, WINDOW["height"] * 0.8)
    camera.page.mouse.wheel(0, -100_000)
    camera.take("run")


def failed_sync(camera: Camera, run_id: str) -> None:
    """The page of a failed run: the reason."""
    camera.open(f"runs/{run_id}?logs=type:STEP_FAILURE")
    camera.page.get_by_text(FAILED.error or "").first.wait_for()
    camera.take("failed-sync")


def failed_rows(camera: Camera) -> None:
    """The check on rejected rows, and the SQL that lists them."""
    camera.open("assets/crm_contacts?view=checks&checkDetail=rejected_rows")
    camera.page.get_by_text("Latest execution").wait_for()
    camera.take("failed-rows")


def launchpad(camera: Camera) -> None:
    """The launchpad of a job: a run with another sync type."""
    config = quote("ops:\n  crm_contacts:\n    config:\n      sync_type: full\n")
    camera.open(f"locations/{LOCATION}/jobs/daily_activation/playground/setup?config={config}")
    camera.page.get_by_text("No errors").wait_for()
    camera.take("launchpad")


def component(camera: Camera) -> None:
    """The page of the component of a connection."""
    name = "dagster_rudderstack.RudderStackConnectionComponent"
    camera.open(f"locations/{LOCATION}/components/library/packages/dagster_rudderstack/{name}")
    scroll_to_top(camera.page.get_by_text("Schema", exact=True).last)
    camera.take("component")


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    images = ROOT / "docs" / "images"
    parser.add_argument("--images", type=Path, default=images, help="default: %(default)s")
    options = parser.parse_args()
    options.images.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = demo.Home(Path(folder))
        with home.locked():
            demo.run(home)
            with scene(home) as running:
                good, failed = make_history(running)
                take_all(running.url, options.images, good, failed)


def make_history(running: Scene) -> tuple[str, str]:
    """Sync for a few nights, then fail once. Return the last good run and the failed one."""
    for night in range(1, NIGHTS + 1):
        change_rows(running.home, night)
        good = running.materialize("customer_360", "crm_contacts")
    running.rudderstack.script_next("crm-segments", FAILED)
    return good, running.materialize("crm_segments")


def take_all(url: str, folder: Path, good: str, failed: str) -> None:
    with sync_playwright() as playwright:
        # Chromium has no sandbox for root, the user of many containers.
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(
            viewport=WINDOW, color_scheme="light", locale="en-US", timezone_id="UTC"
        )
        page.set_default_timeout(60_000)
        camera = Camera(page, url, folder)
        graph(camera)
        asset(camera)
        run(camera, good)
        failed_sync(camera, failed)
        failed_rows(camera)
        launchpad(camera)
        component(camera)
        browser.close()


if __name__ == "__main__":
    main()
