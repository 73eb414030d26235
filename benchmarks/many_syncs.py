"""Many syncs in one run: the duration and the memory."""

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Numbers, Watched, ratio_text, watch
from benchmarks.report import Row, Section, Settings
from dagster_rudderstack.testing import LocalRudderStack, SyncScript

SCRIPT = Path(__file__).with_name("many_syncs_job.py")
SYNC_SECONDS = 20.0
TOGETHER = 100
MANY = 1000
GROUP_SIZES = (1, 10, 100, 1000)


def run(peer: str, python: str, count: int, *, concurrent: int = 2) -> Watched:
    """Execute one run in its own process, and measure all processes that it starts.

    Args:
        peer: `ours`, `plain` or `vendor`.
        python: Path of the Python with the package.
        count: Number of connections.
        concurrent: Number of steps at once. Dagster's default is the number of cores.
    """
    script = SyncScript(duration_seconds=SYNC_SECONDS, rows_total=100)
    with LocalRudderStack() as server, tempfile.TemporaryDirectory() as home:
        for number in range(count):
            server.add_connection(f"c{number}", script=script)
        command = [python, str(SCRIPT), peer, str(count), str(concurrent)]
        environment = {"DAGSTER_HOME": home, "PATH": "/usr/bin:/bin", "DO_NOT_TRACK": "1"}
        Path(home, "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        watched = watch(
            [*command, server.url, server.access_token], cwd=SCRIPT.parent, env=environment
        )
        outcome = json.loads(watched.output.splitlines()[-1])
        starts = len(server.starts())
    if not outcome["success"] or starts != (0 if peer == "plain" else count):
        raise RuntimeError(f"{peer} with {count} syncs: {outcome}, {starts} starts")
    watched.seconds = outcome["seconds"]
    return watched


def section(settings: Settings) -> Section:
    """Measure a run with 100 syncs, and return the rows."""

    def repeat(peer: str, count: int) -> list[Watched]:
        return [run(peer, sys.executable, count) for _ in range(settings.repeats)]

    one, together, plain = repeat("ours", 1), repeat("ours", TOGETHER), repeat("plain", TOGETHER)
    beyond = _seconds(together).minus(_seconds(plain))
    memory = _megabytes(together).over(_megabytes(one))
    at_once = run("vendor", settings.vendor, TOGETHER, concurrent=TOGETHER)
    rows = [
        Row(
            f"Duration of a run with {TOGETHER} syncs of 20 s, with Dagster's default executor",
            f"{at_once.seconds:.0f} s with {TOGETHER} steps at once",
            _seconds(together).text(" s"),
            ratio_text(Numbers([at_once.seconds]).over(_seconds(together))),
        ),
        Row(
            f"Same run: duration beyond that of a run with {TOGETHER} plain assets",
            "",
            beyond.text(" s"),
            "",
            "under 25 s",
            beyond.median < 25,
        ),
        Row(
            "Same run: memory",
            f"{at_once.peak_megabytes:,.0f} MB",
            _megabytes(together).text(" MB", 0),
            ratio_text(Numbers([at_once.peak_megabytes]).over(_megabytes(together))),
        ),
        Row(
            "Same run: memory relative to a run with one sync",
            "",
            f"{memory.median:.0%} of {_megabytes(one).text(' MB', 0)}",
            "",
            "at most 125%",
            memory.median <= 1.25,
        ),
    ]
    if settings.long:
        two = run("vendor", settings.vendor, TOGETHER)
        rows.append(
            Row(
                "Same run, with two steps at once (Dagster's default on two cores)",
                f"{two.seconds / 60:.0f} min, {two.peak_megabytes:,.0f} MB",
                _seconds(together).text(" s"),
                ratio_text(Numbers([two.seconds]).over(_seconds(together))),
            )
        )
    return Section(rows)


def growth_section(settings: Settings) -> Section:
    """Measure runs of several sizes, and return the rows and the table.

    A run of Dagster alone varies by some seconds from one time to the next, so the large runs are
    measured in turn, and their medians are compared.
    """
    ours: dict[int, list[Watched]] = {count: [] for count in GROUP_SIZES}
    plain: dict[int, list[Watched]] = {count: [] for count in GROUP_SIZES}
    for _ in range(settings.repeats):
        for count in GROUP_SIZES:
            plain[count].append(run("plain", sys.executable, count))
            ours[count].append(run("ours", sys.executable, count))
    beyond = _seconds(ours[MANY]).minus(_seconds(plain[MANY]))
    memory = _megabytes(ours[MANY]).minus(_megabytes(ours[1]))
    lines = "\n".join(
        f"| {count:,} | {_seconds(ours[count]).text(' s', 0)} | "
        f"{_seconds(plain[count]).text(' s', 0)} | {_megabytes(ours[count]).text(' MB', 0)} | "
        f"{_megabytes(plain[count]).text(' MB', 0)} |"
        for count in GROUP_SIZES
    )
    return Section(
        [
            Row(
                f"Duration of {MANY:,} syncs of 20 s in one step beyond {MANY:,} plain assets",
                "",
                beyond.text(" s"),
                "",
                "at most 23 s",
                beyond.median <= 23,
            ),
            Row(
                f"Memory of {MANY:,} syncs in one step beyond that of one sync",
                "",
                memory.text(" MB", 0),
                "",
                "at most 55 MB",
                memory.median <= 55,
            ),
        ],
        f"""## Cost of a run by number of syncs

All syncs take 20 s and run in one step. "Plain" is a step with as many assets and checks but
without syncs: the cost of Dagster itself.

| syncs | duration | duration, plain | memory | memory, plain |
|---|---|---|---|---|
{lines}""",
    )


def _seconds(runs: list[Watched]) -> Numbers:
    return Numbers([run.seconds for run in runs])


def _megabytes(runs: list[Watched]) -> Numbers:
    return Numbers([run.peak_megabytes for run in runs])
