"""The polling sensor against a server that takes 100 ms per answer."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import watch

HERE = Path(__file__).parent
LATENCY_SECONDS = 0.1
SYNCS = 10


@dataclass(frozen=True)
class Round:
    """All connections had their turn.

    Attributes:
        ticks: seconds of each tick.
        cursor: characters of the cursor; 0: there is none.
        peak_megabytes: of the process.
    """

    ticks: list[float]
    cursor: int
    peak_megabytes: float


def measure(peer: str, count: int, rounds: int) -> list[Round]:
    """Let the sensor, or a plain loop, look at so many connections, several times."""
    with _server(count) as (url, token):
        return [_round(peer, url, token, count) for _ in range(rounds)]


def _round(peer: str, url: str, token: str, count: int) -> Round:
    command = [sys.executable, "-m", "benchmarks.ticks", peer, url, token, str(count)]
    watched = watch(command, cwd=HERE.parent)
    outcome = json.loads(watched.output.splitlines()[-1])
    return Round(outcome["ticks"], outcome.get("cursor", 0), watched.peak_megabytes)


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
