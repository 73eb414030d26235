"""Measures commands: their duration, and the memory of all their processes.

Memory is the proportional set size, in which shared pages count once. Linux only.
"""

import os
import platform
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

SAMPLE_SECONDS = 0.2
PAUSE_FACTOR = 10
"""The pause after a sample is at least this many times as long as the sample. Sampling a hundred
processes takes long, and must not compete with them for the cores."""
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Numbers:
    """Several measurements of the same number."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    def text(self, unit: str = "", digits: int = 1) -> str:
        """Return the median, followed by the minimum and the maximum if there are several."""
        median = f"{self.median:,.{digits}f}{unit}"
        if len(self.values) == 1:
            return median
        return f"{median} ({min(self.values):,.{digits}f} to {max(self.values):,.{digits}f})"

    def over(self, other: "Numbers") -> "Numbers":
        """Return the ratios of all pairs, because the measurements are not paired."""
        return Numbers([ours / theirs for ours in self.values for theirs in other.values])

    def minus(self, other: "Numbers") -> "Numbers":
        """Return the differences to the median of the others."""
        return Numbers([value - other.median for value in self.values])


def ratio_text(ratio: Numbers) -> str:
    """Return a ratio as median (minimum to maximum)."""
    least, most = min(ratio.values), max(ratio.values)
    return f"{ratio.median:,.2g}x ({least:,.2g}x to {most:,.2g}x)"


@dataclass
class Watched:
    """The measurements of a command."""

    seconds: float = 0.0
    peak_megabytes: float = 0.0
    output: str = ""


def watch(command: Sequence[str], **options: object) -> Watched:
    """Run a command and measure it. Raises RuntimeError with its output if it fails."""
    watched = Watched()
    began = time.monotonic()
    with (
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,  # type: ignore[call-overload]
        ) as process,
        _sampled(process.pid, watched),
    ):
        watched.output, errors = process.communicate()
    watched.seconds = time.monotonic() - began
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{errors[-3000:]}")
    return watched


@contextmanager
def _sampled(root: int, watched: Watched) -> Iterator[None]:
    over = threading.Event()

    def sample() -> None:
        pause = SAMPLE_SECONDS
        while not over.wait(pause):
            began = time.monotonic()
            watched.peak_megabytes = max(watched.peak_megabytes, _tree_megabytes(root))
            pause = max(SAMPLE_SECONDS, PAUSE_FACTOR * (time.monotonic() - began))

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield
    finally:
        over.set()
        sampler.join()


def _tree_megabytes(root: int) -> float:
    return sum(_bytes_of(process) for process in _tree(root)) / MEGABYTE


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            children.setdefault(_parent_of(folder), []).append(int(folder.name))
    found, following = [], [root]
    while following:
        process = following.pop()
        found.append(process)
        following += children.get(process, [])
    return found


def _parent_of(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def _bytes_of(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def machine() -> str:
    """Return a description of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / MEGABYTE / 1024
    return (
        f"{len(os.sched_getaffinity(0))} cores ({_processor()}), {memory:.0f} GB, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"Dagster {version('dagster')}"
    )


def measured_on() -> str:
    """Return a sentence with today's date, for a table that is measured apart from the others."""
    today = datetime.now(timezone.utc).date().isoformat()
    return f"Measured on {today} with {len(os.sched_getaffinity(0))} cores."


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"
