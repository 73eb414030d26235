"""Reads a plot from its canvas: the points that Dagster plots, and the lines that it has drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

from dagster_rudderstack_tests.processes.harness import wait_for

# The values that the chart was given, null for an event that lacks the number; and how many pieces
# the drawing has, where a piece is a set of neighbouring pixels in the colour of the line. The line
# is a saturated blue, while the axes, their labels and the background are grey.
READ_CANVAS = """canvas => {
  const name = Object.keys(canvas).find(key => key.startsWith("__reactFiber"));
  let element = canvas[name];
  while (element && !element.memoizedProps?.data?.datasets) element = element.return;
  const values = element ? element.memoizedProps.data.datasets[0].data : null;

  const {width, height} = canvas;
  const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const isDrawn = new Set();
  for (let at = 0; at < width * height; at++) {
    const [red, green, blue, opacity] = pixels.slice(4 * at, 4 * at + 4);
    if (opacity > 64 && blue - Math.max(red, green) > 80) isDrawn.add(at);
  }
  const drawn = isDrawn.size;
  let pieces = 0;
  while (isDrawn.size) {
    pieces++;
    const [first] = isDrawn;
    const queue = [first];
    isDrawn.delete(first);
    while (queue.length) {
      const at = queue.pop();
      for (const row of [-width, 0, width]) {
        for (const column of [-1, 0, 1]) {
          if (isDrawn.delete(at + row + column)) queue.push(at + row + column);
        }
      }
    }
  }
  return {values: values?.map(at => Number.isNaN(at.y) ? null : at.y), pieces, drawn};
}"""


@dataclass(frozen=True)
class Plot:
    """A plot of one metadata key over the events of an asset.

    Attributes:
        values: The value of each event, the oldest first. None if an event lacks it.
        pieces: How many pieces the drawing has. A line through all points is one piece, and two
            dots are two.
        drawn: How many pixels are drawn.
    """

    values: tuple[float | None, ...]
    pieces: int
    drawn: int

    @property
    def is_one_line(self) -> bool:
        """Whether one line goes through a point for each event."""
        return self.pieces == 1 and len(self.values) > 1 and None not in self.values


def show_plots(page: Page) -> None:
    """Show the plots on the overview of an asset instead of the table."""
    page.get_by_role("button", name="Plots").click()
    page.locator("canvas").first.wait_for()


def read_plot(page: Page, key: str, *, other_than: Plot | None = None) -> Plot:
    """Return the plot with this title, as soon as its drawing no longer changes.

    Args:
        page: The overview of an asset, with its plots.
        key: The title.
        other_than: What was plotted before, if other values are about to be plotted.
    """
    canvas = page.get_by_text(key, exact=True).locator("xpath=following::canvas").first
    seen: list[Plot] = []

    def finished() -> Plot | None:
        plot = plot_of(canvas.evaluate(READ_CANVAS))
        seen.append(plot)
        is_new = other_than is None or plot.values != other_than.values
        return plot if is_new and plot.drawn and seen[-2:] == [plot, plot] else None

    return wait_for(finished, f"the plot of {key}", seconds=30)


def plot_of(read: Mapping[str, Any]) -> Plot:
    assert read["values"] is not None, "Dagster no longer draws a canvas with React and Chart.js"
    return Plot(tuple(read["values"]), read["pieces"], read["drawn"])
