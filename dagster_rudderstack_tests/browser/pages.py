"""What a person reads on Dagster's pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import BrowserContext, Locator, Page, expect

ROW = "[data-index]"
"""An element of a list: of the events of an asset, or of the log of a run."""

# The cells of each row of each table, without those that are only a place for a button.
TABLES = """rows => rows.map(
  row => [...row.cells].map(cell => cell.innerText.trim()).filter(text => text)
)"""

# On how many lines of the screen a text is shown.
LINES_ON_SCREEN = """(row, text) => {
  const nodes = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
  while (nodes.nextNode()) {
    if (nodes.currentNode.data.trim() !== text) continue;
    const range = document.createRange();
    range.selectNodeContents(nodes.currentNode);
    return new Set([...range.getClientRects()].map(line => line.top)).size;
  }
  return 0;
}"""


@contextmanager
def new_page(window: BrowserContext, folder: Path) -> Iterator[Page]:
    """Open a page, and save a picture of what it has become."""
    with window.new_page() as page:
        try:
            yield page
        finally:
            page.screenshot(path=folder / "page.png")


def metadata(page: Page) -> Mapping[str, str]:
    """Return the tables of metadata on a page, from top to bottom."""
    page.locator("tr").first.wait_for()
    rows: list[list[str]] = page.locator("tr").evaluate_all(TABLES)
    return {cells[0]: cells[-1] for cells in rows if cells}


# --- the page of an asset


def open_asset(page: Page, asset: str, view: str = "overview") -> None:
    """Open a tab of an asset's page."""
    page.goto(f"/assets/{asset}?view={view}")


@dataclass(frozen=True)
class Entry:
    """An event of an asset.

    Attributes:
        headline: What happened, and in which run.
        description: The description. None if the event has none.
        metadata: The table of metadata.
    """

    headline: str
    description: str | None
    metadata: Mapping[str, str]


def read_events(page: Page, asset: str, runs: Sequence[str]) -> list[Entry]:
    """Choose each event of an asset in the list, the newest first, and return what it says.

    Args:
        page: The page to use.
        asset: The asset.
        runs: The run of each event. Each is of another run.
    """
    open_asset(page, asset, "events")
    events = page.locator(ROW)
    expect(events).to_have_count(len(runs))
    return [read_event(page, event, run) for event, run in zip(events.all(), runs, strict=True)]


def read_event(page: Page, event: Locator, run_id: str) -> Entry:
    event.click()
    headline = page.get_by_text(f"in run {run_id[:8]}")
    headline.wait_for()
    return Entry(headline.inner_text(), description(page), metadata(page))


def description(page: Page) -> str | None:
    """Return the description of the chosen event. None if it has none."""
    heading = page.get_by_text("Description", exact=True)
    if heading.count() == 0:
        return None
    text = heading.locator("xpath=following::*[text()][1]")
    # Dagster shows the heading a moment before the text.
    expect(text).not_to_have_text("Metadata")
    return text.inner_text().strip()


def graph_node(page: Page, asset: str) -> Locator:
    """Open the graph around an asset, and return what stands for the asset."""
    open_asset(page, asset, "lineage")
    return page.locator("foreignObject").filter(has_text=asset)


# --- the page of a run


@dataclass(frozen=True)
class LogRow:
    """A row of a run's log.

    Attributes:
        step: The step. "-" if it is of the whole run.
        kind: The type of the event.
        text: The first line of the text.
        metadata: All that is shown below it.
        lines_on_screen: How many lines of the screen the text takes.
    """

    step: str
    kind: str
    text: str
    metadata: str
    lines_on_screen: int


def open_run(page: Page, run_id: str) -> list[LogRow]:
    """Open the page of a run that has ended, and return its log."""
    page.goto(f"/runs/{run_id}")
    page.locator(ROW).filter(has_text="Execution of run").last.wait_for()
    return [log_row(row) for row in page.locator(ROW).all()]


def log_row(row: Locator) -> LogRow:
    lines = [line for line in row.inner_text().splitlines() if line.strip()]
    _time, step, kind, text, *rest = lines
    return LogRow(step, kind, text, "\n".join(rest), row.evaluate(LINES_ON_SCREEN, text))


def records(log: list[LogRow]) -> list[LogRow]:
    """Return the engine events of steps, which are this library's."""
    return [row for row in log if row.kind == "ENGINE_EVENT" and row.step != "-"]
