"""Run the benchmarks and write `RESULTS.md`.

    python -m benchmarks [--vendor-python PATH] [--repeats 3] [--only NAME ...] [--long]

Needs the vendor's package 1.3.0 in an environment of its own; `make bench` sees to that. All
requests go to servers on this machine.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import discovery, grouping, imports, noticing, sensing
from benchmarks.measure import Numbers, Watched, machine, ratio_text

RESULTS = Path(__file__).with_name("RESULTS.md")
QUICK_SYNCS = 12
HOUR_SYNCS = 3
TOGETHER = 100
MANY = 1000
GROUP_SIZES = (1, 10, 100, 1000)
SENSOR_SIZES = (10, 100, 1000, 10_000)
LOOP_SIZE = 100


@dataclass(frozen=True)
class Settings:
    """What was asked for on the command line."""

    vendor: str
    repeats: int
    long: bool


@dataclass(frozen=True)
class Row:
    """A line of the table of goals; `reached` None: there is no goal."""

    what: str
    vendor: str
    ours: str
    ratio: str = ""
    goal: str = ""
    reached: bool | None = None

    def text(self) -> str:
        """Return the line."""
        verdict = {None: "", True: "reached", False: "**missed**"}[self.reached]
        cells = (self.what, self.vendor, self.ours, self.ratio, self.goal, verdict)
        return f"| {' | '.join(cells)} |"


@dataclass(frozen=True)
class Section:
    """What one benchmark has to say: lines of the table of goals, and a text of its own."""

    rows: list[Row]
    text: str = ""


def main() -> int:
    """Run what was asked for; 1 if a goal was missed."""
    arguments = _arguments()
    settings = Settings(arguments.vendor_python, arguments.repeats, arguments.long)
    sections = []
    for name in arguments.only or BENCHMARKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        sections.append(BENCHMARKS[name](settings))
    report = _report(sections)
    if not arguments.only:
        RESULTS.write_text(report)
    print(report)
    return int(any(row.reached is False for section in sections for row in section.rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Compare with peers.")
    parser.add_argument("--vendor-python", default=str(Path(".venv-vendor/bin/python").absolute()))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=BENCHMARKS, help="writes no file")
    parser.add_argument(
        "--long",
        action="store_true",
        help=f"let the vendor's package run {TOGETHER} syncs two at a time: half an hour more",
    )
    return parser.parse_args()


def _report(sections: list[Section]) -> str:
    rows = "\n".join(row.text() for section in sections for row in section.rows)
    texts = "\n\n".join(section.text for section in sections if section.text)
    today = datetime.now(timezone.utc).date().isoformat()
    return f"""# Benchmarks

Measured on {today}: {machine()}. `make bench` runs them again and writes this file.

Against the package `dagster-rudderstack` 1.3.0 of RudderStack ("vendor"), in an environment of its
own, in the same run on the same local RudderStack. Numbers are medians, with the least and the most
in brackets; ratios are vendor over ours, of all pairs of measurements. Memory is the peak of all
processes of a run together (proportional set size).

| | vendor 1.3.0 | ours | ratio | goal | |
|---|---|---|---|---|---|
{rows}

{texts}
"""


# --- one sync


def _noticing(settings: Settings) -> Section:
    quick = {peer: noticing.quick(peer, python, QUICK_SYNCS) for peer, python in _pythons(settings)}
    hour = {peer: noticing.hour(peer, python, HOUR_SYNCS) for peer, python in _pythons(settings)}
    alone = [
        {peer: noticing.quick(peer, python, 1) for peer, python in _pythons(settings)}
        for _ in range(settings.repeats)
    ]
    tcp = {
        peer: Numbers([each[peer].tcp_connections.median for each in alone])
        for peer in ("ours", "vendor")
    }
    ours, vendor = quick["ours"], quick["vendor"]
    return Section(
        [
            Row(
                f"3 s sync ({QUICK_SYNCS} of them, 2.5 to 3.5 s): from its end to the return",
                vendor.late_seconds.text(" s", 2),
                ours.late_seconds.text(" s", 2),
                ratio_text(vendor.late_seconds.over(ours.late_seconds)),
                "median under 0.7 s",
                ours.late_seconds.median < 0.7,
            ),
            Row(
                "1 h sync (clock 60 times as fast): requests",
                hour["vendor"].requests.text(digits=0),
                hour["ours"].requests.text(digits=0),
                ratio_text(hour["vendor"].requests.over(hour["ours"].requests)),
                "at most 200",
                max(hour["ours"].requests.values) <= 200,
            ),
            Row(
                "1 h sync: from its end to the return",
                hour["vendor"].late_seconds.text(" s"),
                hour["ours"].late_seconds.text(" s"),
                "",
                "within 30 s",
                max(hour["ours"].late_seconds.values) <= 30,
            ),
            Row(
                "TCP connections of a 3 s sync",
                tcp["vendor"].text(digits=0),
                tcp["ours"].text(digits=0),
                ratio_text(tcp["vendor"].over(tcp["ours"])),
                "1",
                max(tcp["ours"].values) == 1,
            ),
        ]
    )


def _pythons(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "ours", sys.executable
    yield "vendor", settings.vendor


# --- many syncs


def _grouping(settings: Settings) -> Section:
    def repeat(peer: str, count: int) -> list[Watched]:
        return [grouping.run(peer, sys.executable, count) for _ in range(settings.repeats)]

    one, together, plain = repeat("ours", 1), repeat("ours", TOGETHER), repeat("plain", TOGETHER)
    beyond = _seconds(together).minus(_seconds(plain))
    memory = _megabytes(together).over(_megabytes(one))
    at_once = grouping.run("vendor", settings.vendor, TOGETHER, concurrent=TOGETHER)
    rows = [
        Row(
            f"{TOGETHER} syncs of 20 s in one run, Dagster's default executor: wall time",
            f"{at_once.seconds:.0f} s with {TOGETHER} steps at once",
            _seconds(together).text(" s"),
            ratio_text(Numbers([at_once.seconds]).over(_seconds(together))),
        ),
        Row(
            "the same, beyond a run of as many plain assets",
            "",
            beyond.text(" s"),
            "",
            "under 25 s",
            beyond.median < 25,
        ),
        Row(
            "the same: memory",
            f"{at_once.peak_megabytes:,.0f} MB",
            _megabytes(together).text(" MB", 0),
            ratio_text(Numbers([at_once.peak_megabytes]).over(_megabytes(together))),
        ),
        Row(
            "the same: memory, against a run with one sync",
            "",
            f"{memory.median:.2f} of {_megabytes(one).text(' MB', 0)}",
            "",
            "at most 1.25",
            memory.median <= 1.25,
        ),
    ]
    if settings.long:
        two = grouping.run("vendor", settings.vendor, TOGETHER)
        rows.append(
            Row(
                "the same, two steps at once, which is Dagster's default on two cores",
                f"{two.seconds / 60:.0f} min, {two.peak_megabytes:,.0f} MB",
                _seconds(together).text(" s"),
                ratio_text(Numbers([two.seconds]).over(_seconds(together))),
            )
        )
    return Section(rows)


def _growth(_: Settings) -> Section:
    runs = {count: grouping.run("ours", sys.executable, count) for count in GROUP_SIZES}
    plain = {count: grouping.run("plain", sys.executable, count) for count in GROUP_SIZES}
    one, many = runs[1].peak_megabytes, runs[MANY].peak_megabytes
    lines = "\n".join(
        f"| {count:,} | {runs[count].seconds:.0f} s | {plain[count].seconds:.0f} s | "
        f"{runs[count].peak_megabytes:.0f} MB | {plain[count].peak_megabytes:.0f} MB |"
        for count in GROUP_SIZES
    )
    return Section(
        [
            Row(
                f"{MANY:,} syncs in one step: memory beyond that of one",
                "",
                f"{many - one:.0f} MB",
                "",
                "at most 60 MB",
                many - one <= 60,
            )
        ],
        f"""## How the cost of a run grows

Syncs of 20 s, all in one step. "Plain" is a step of as many assets and checks that do nothing: the
time that Dagster takes to store their events.

| syncs | wall | plain | memory | plain |
|---|---|---|---|---|
{lines}""",
    )


def _seconds(runs: list[Watched]) -> Numbers:
    return Numbers([run.seconds for run in runs])


def _megabytes(runs: list[Watched]) -> Numbers:
    return Numbers([run.peak_megabytes for run in runs])


# --- the sensor


def _sensing(settings: Settings) -> Section:
    rounds = {
        count: sensing.measure("ours", count, settings.repeats if count <= MANY else 1)
        for count in SENSOR_SIZES
    }
    loop = sensing.measure("loop", LOOP_SIZE, 1)[0]
    ticks = Numbers([sum(each.ticks) for each in rounds[MANY]])
    lines = "\n".join(_sensing_line(count, measured) for count, measured in rounds.items())
    return Section(
        [
            Row(
                f"sensor tick over {MANY:,} connections, 100 ms per answer",
                "none",
                ticks.text(" s"),
                "",
                "under 10 s",
                ticks.median < 10,
            )
        ],
        f"""## How the cost of the sensor grows

A round over all connections in which nothing has ended, against a server that takes 100 ms per
answer, 16 requests at once. A plain loop over {LOOP_SIZE} connections, one after the other, takes
{sum(loop.ticks):.0f} s.

| connections | seconds for all | ticks | characters of the cursor | memory |
|---|---|---|---|---|
{lines}""",
    )


def _sensing_line(count: int, rounds: list[sensing.Round]) -> str:
    cells = (
        f"{count:,}",
        Numbers([sum(each.ticks) for each in rounds]).text(" s"),
        f"{max(len(each.ticks) for each in rounds)}",
        f"{max(each.cursor for each in rounds):,}",
        f"{max(each.peak_megabytes for each in rounds):.0f} MB",
    )
    return f"| {' | '.join(cells)} |"


# --- discovery


def _discovering(settings: Settings) -> Section:
    found = discovery.discover(settings.repeats)
    loaded = discovery.load(settings.repeats)
    ratio = loaded.ours.median / loaded.plain.median
    size = f"{discovery.CONNECTIONS:,} connections, {discovery.SOURCES} sources and "
    return Section(
        [
            Row(
                f"{size}{discovery.DESTINATIONS} destinations discovered, 100 ms per answer",
                f"one page after the other: {found.walk.text(' s')}",
                found.ours.text(" s"),
                ratio_text(found.walk.over(found.ours)),
                "at most 3 s",
                found.ours.median <= 3,
            ),
            Row(
                "their definitions loaded from the snapshot, without a request",
                f"plain assets on the same tables: {loaded.plain.text(' s')}",
                loaded.ours.text(" s"),
                f"{ratio:.2g}x the plain assets",
                "at most 2x",
                ratio <= 2,
            ),
        ]
    )


# --- what an import costs


def _importing(settings: Settings) -> Section:
    times = 4 * settings.repeats

    def row(what: str, vendor: str, ours: str, *, has_goal: bool = False) -> Row:
        theirs = imports.milliseconds(settings.vendor, vendor, times)
        own = imports.milliseconds(sys.executable, ours, times)
        ratio = own.median / theirs.median
        return Row(
            what,
            theirs.text(" ms"),
            own.text(" ms"),
            ratio_text(theirs.over(own)),
            "at most 1.5 times the vendor's" if has_goal else "",
            ratio <= 1.5 if has_goal else None,
        )

    return Section(
        [
            row(
                "`import dagster_rudderstack` beyond `import dagster`; the vendor's `__init__` is "
                "empty",
                imports.PACKAGE,
                imports.PACKAGE,
            ),
            row(
                "import of the resource and the op beyond `import dagster`",
                imports.VENDOR_NAMES,
                imports.OUR_NAMES,
                has_goal=True,
            ),
            row(
                "the same, with ours the factories of assets and of the sensor besides",
                imports.VENDOR_NAMES,
                imports.OUR_FACTORIES,
                has_goal=True,
            ),
        ]
    )


BENCHMARKS: dict[str, Callable[[Settings], Section]] = {
    "noticing": _noticing,
    "grouping": _grouping,
    "growth": _growth,
    "sensing": _sensing,
    "discovering": _discovering,
    "importing": _importing,
}


if __name__ == "__main__":
    sys.exit(main())
