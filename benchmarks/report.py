"""The report of the benchmarks: rows of the table of goals, and texts."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from benchmarks.measure import machine


@dataclass(frozen=True)
class Settings:
    """The options of the command line.

    Attributes:
        vendor: Path of the Python with the vendor's package.
        repeats: Number of measurements.
        long: Whether to include the measurement that takes half an hour.
    """

    vendor: str
    repeats: int
    long: bool

    def pythons(self) -> Iterator[tuple[str, str]]:
        """Return both packages with their Python."""
        yield "ours", sys.executable
        yield "vendor", self.vendor


@dataclass(frozen=True)
class Row:
    """A row of the table of goals. `reached` is None if there is no goal."""

    what: str
    vendor: str
    ours: str
    ratio: str = ""
    goal: str = ""
    reached: bool | None = None

    def text(self) -> str:
        """Return the row as Markdown."""
        verdict = {None: "", True: "reached", False: "**missed**"}[self.reached]
        cells = (self.what, self.vendor, self.ours, self.ratio, self.goal, verdict)
        return f"| {' | '.join(cells)} |"


@dataclass(frozen=True)
class Section:
    """The result of one benchmark: rows of the table of goals, and a text."""

    rows: Sequence[Row]
    text: str = ""


def report(sections: Sequence[Section]) -> str:
    """Return the report as Markdown."""
    rows = "\n".join(row.text() for section in sections for row in section.rows)
    texts = "\n\n".join(section.text for section in sections if section.text)
    today = datetime.now(timezone.utc).date().isoformat()
    return f"""# Benchmarks

Measured on {today}: {machine()}. `make bench` runs them again and writes this file.

The vendor is RudderStack's own package `dagster-rudderstack` 1.3.0. It runs in its own environment,
with the same local RudderStack. Numbers are medians, followed by the minimum and the maximum in
brackets. Ratios are the vendor's number divided by ours, for all pairs of measurements. Memory is
the peak of all processes of a run together (proportional set size).

| | vendor 1.3.0 | ours | ratio | goal | |
|---|---|---|---|---|---|
{rows}

{texts}
"""
