"""The polling sensor, with a server that takes 100 ms per answer."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Numbers, watch
from benchmarks.report import Row, Section, Settings

HERE = Path(__file__).parent
LATENCY_SECONDS = 0.1
SYNCS = 10
MANY = 1000
SENSOR_SIZES = (10, 100, 1000, 10_000)
LOOP_SIZE = 100


@dataclass(frozen=True)
class SensorPass:
    """One pass over all connections.

    Attributes:
        ticks: Seconds of each tick.
        cursor: Characters of the cursor. 0: there is none.
        peak_megabytes: Peak memory of the process.
    """

    ticks: list[float]
    cursor: int
    peak_megabytes: float


def section(settings: Settings) -> Section:
    """Measure passes over many connections, and return the row and the table."""
    passes = {
        count: _measure("ours", count, settings.repeats if count <= MANY else 1)
        for count in SENSOR_SIZES
    }
    loop = _measure("loop", LOOP_SIZE, 1)[0]
    ticks = Numbers([sum(each.ticks) for each in passes[MANY]])
    lines = "\n".join(_line(count, measured) for count, measured in passes.items())
    return Section(
        [
            Row(
                f"Sensor tick over {MANY:,} connections, 100 ms per answer",
                "none",
                ticks.text(" s"),
                "",
                "under 10 s",
                ticks.median < 10,
            )
        ],
        f"""## Cost of the sensor by number of connections

One pass over all connections, none of which has a new sync, with 100 ms per answer and 16 requests
at once. A loop that polls {LOOP_SIZE} connections in sequence takes {sum(loop.ticks):.0f} s.

| connections | duration | ticks | characters of the cursor | memory |
|---|---|---|---|---|
{lines}""",
    )


def _line(count: int, passes: list[SensorPass]) -> str:
    cells = (
        f"{count:,}",
        Numbers([sum(each.ticks) for each in passes]).text(" s"),
        f"{max(len(each.ticks) for each in passes)}",
        f"{max(each.cursor for each in passes):,}",
        f"{max(each.peak_megabytes for each in passes):.0f} MB",
    )
    return f"| {' | '.join(cells)} |"


def _measure(peer: str, count: int, passes: int) -> list[SensorPass]:
    """Let the sensor or the loop poll all connections, several times."""
    with _server(count) as (url, token):
        return [_pass(peer, url, token, count) for _ in range(passes)]


def _pass(peer: str, url: str, token: str, count: int) -> SensorPass:
    command = [sys.executable, "-m", "benchmarks.sensor_ticks", peer, url, token, str(count)]
    watched = watch(command, cwd=HERE.parent)
    outcome = json.loads(watched.output.splitlines()[-1])
    return SensorPass(outcome["ticks"], outcome.get("cursor", 0), watched.peak_megabytes)


@contextmanager
def _server(count: int) -> Iterator[tuple[str, str]]:
    arguments = [str(count), str(SYNCS), str(LATENCY_SECONDS)]
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serve", *arguments],
        cwd=HERE.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url, token = process.stdout.readline().split()
        try:
            yield url, token
        finally:
            process.terminate()
