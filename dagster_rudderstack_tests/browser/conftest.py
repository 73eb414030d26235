"""One set of runs, one webserver and one browser for all tests of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, ViewportSize, expect, sync_playwright

from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.browser import project
from dagster_rudderstack_tests.browser.chromium import chromium_path
from dagster_rudderstack_tests.browser.history import History, make_history
from dagster_rudderstack_tests.browser.pages import new_page
from dagster_rudderstack_tests.processes.harness import (
    INSTANCE_CONFIG,
    Deployment,
    Home,
    deployment,
)

TOKEN = "rst-0123456789abcdefghij"
CONFIG = {**INSTANCE_CONFIG, "nux": {"enabled": False}}  # no welcome dialog

# As wide as a notebook, and high enough for all rows of a list, since Dagster renders only the rows
# that are on the screen.
WINDOW = ViewportSize(width=1500, height=4000)

# A busy machine fails no test.
PATIENCE_MILLISECONDS = 60_000
expect.set_options(timeout=PATIENCE_MILLISECONDS)


@pytest.fixture(scope="module")
def chromium() -> str:
    """The path of the browser."""
    return chromium_path()


@pytest.fixture(scope="module")
def home(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """An instance on disk, and a local RudderStack in real time."""
    with LocalRudderStack(TOKEN) as server:
        made = Home(tmp_path_factory.mktemp("dagster_home"), server, CONFIG)
        yield made
        made.close()
        assert server.errors == []


@pytest.fixture(scope="module")
def dagster(home: Home) -> Iterator[Deployment]:
    """A webserver and a code server."""
    with deployment(home, project.__name__, daemon=False) as running:
        yield running


@pytest.fixture(scope="module")
def history(home: Home, dagster: Deployment) -> History:
    """The runs. The webserver starts in the meantime."""
    return make_history(home.server, home.instance)


@pytest.fixture(scope="module")
def window(chromium: str, dagster: Deployment, history: History) -> Iterator[BrowserContext]:
    """A window of the browser, opened after the runs."""
    with sync_playwright() as playwright:
        # Chromium has no sandbox for root, the user of many containers.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        window = browser.new_context(base_url=dagster.url, viewport=WINDOW)
        window.set_default_timeout(PATIENCE_MILLISECONDS)
        yield window
        browser.close()


@pytest.fixture
def page(window: BrowserContext, tmp_path: Path) -> Iterator[Page]:
    """A new page. pytest keeps a picture of it, also after a test that passed."""
    with new_page(window, tmp_path) as page:
        yield page
