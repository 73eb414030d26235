"""Fuzzes the library with hostile answers, heads, SQL and snapshots.

    python -m dagster_rudderstack_tests.fuzz
    python -m dagster_rudderstack_tests.fuzz answers --seed 7 --only 12

A finding is an error that is not one of the library, a wait beyond the limits of a case, a process
that dies or needs more memory than it may have, or a secret in a log, an event, a file or an error.
Each case has a number, and its input comes from the seed, the kind and the number alone. So one
case can be repeated. Processes of their own run the cases. One in which a case hangs is killed, and
another one goes on with the next case.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from dagster_rudderstack_tests.fuzz.answers import Case, answers
from dagster_rudderstack_tests.fuzz.heads import heads
from dagster_rudderstack_tests.fuzz.snapshots import snapshots
from dagster_rudderstack_tests.fuzz.sql import sql
from dagster_rudderstack_tests.fuzz.watch import Watch, check_files, watching

Open = Callable[[Watch], AbstractContextManager[Case]]


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        open: Gives the case.
        cases: How many cases there are by default.
        seconds: After how many seconds a case hangs.
        processes: How many processes run cases at the same time. Most cases of some kinds wait.
    """

    open: Open
    cases: int
    seconds: float
    processes: int


KINDS = {
    "answers": Kind(answers, 120, 60.0, 4),
    "heads": Kind(heads, 160, 30.0, 8),
    "sql": Kind(sql, 16, 90.0, 2),
    "snapshots": Kind(snapshots, 60, 60.0, 2),
}

START_SECONDS = 120.0
"""After how many seconds a process must have begun its first case."""

MAX_MEMORY = 4 * 1024 * 1024 * 1024
"""Bytes of address space of a process. Dagster alone takes a quarter of it."""


@dataclass
class Outcome:
    """What the cases of a kind have shown."""

    findings: list[str] = field(default_factory=list)
    seconds: dict[int, float] = field(default_factory=dict)


# --- the process that runs cases


def run_cases(open_kind: Open, kind: str, seed: int, numbers: Sequence[int], out: TextIO) -> None:
    """Run cases, each in a folder of its own. Print JSON at the beginning and the end of each."""

    def say(event: str, number: int, text: str = "") -> None:
        print(json.dumps([event, number, text]), file=out, flush=True)

    with watching() as watch, open_kind(watch) as case:
        for number in numbers:
            say("begin", number)
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                try:
                    case(random.Random(f"{seed}/{kind}/{number}"))  # noqa: S311 - repeatable
                    watch.check()
                    check_files(Path(folder))
                except Exception:  # noqa: BLE001 - each is a finding
                    watch.shown.truncate(0)
                    say("finding", number, traceback.format_exc(limit=-12))
                os.chdir("/")
            say("end", number)


def _child(kind: str, seed: int, numbers: Sequence[int]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    run_cases(KINDS[kind].open, kind, seed, numbers, out)


# --- the process that watches them


def watched(command: Sequence[str], seconds: float, numbers: Sequence[int]) -> Outcome:
    """Run cases in a process, and in a new one after a case that ends or hangs it.

    Args:
        command: The command, to which the numbers of the cases are added.
        seconds: After how many seconds a case hangs.
        numbers: The cases.
    """
    outcome = Outcome()
    left = list(numbers)
    while left:
        number = _run_some(command, seconds, left, outcome)
        left = left[left.index(number) + 1 :] if number is not None else []
    return outcome


def _run_some(
    command: Sequence[str], seconds: float, numbers: Sequence[int], outcome: Outcome
) -> int | None:
    """Run cases until one ends or hangs the process. Return its number, or None if all ran."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [*command, ",".join(map(str, numbers))],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        lines: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=_pass_on, args=(process, lines), daemon=True)
        reader.start()
        current, began, reason = None, time.monotonic(), ""
        try:
            while line := lines.get(timeout=START_SECONDS if current is None else seconds):
                event, number, text = json.loads(line)
                if event == "begin":
                    current, began = number, time.monotonic()
                elif event == "finding":
                    outcome.findings.append(f"case {number}: {text}")
                else:
                    outcome.seconds[number] = time.monotonic() - began
        except queue.Empty:
            reason = "it hangs"
            process.kill()
        code = process.wait()
        reader.join()
        if not reason and code:
            errors.seek(0)
            signal = f"killed by signal {-code}"
            reason = signal if code < 0 else f"ended with {code}: {errors.read()[-3000:]}"
    if not reason:
        return None
    outcome.findings.append(f"case {current}: {reason}")
    return numbers[-1] if current is None else current


def _pass_on(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    for line in process.stdout or ():
        lines.put(line)
    lines.put("")


def fuzz(kind: str, seed: int, numbers: Sequence[int]) -> Outcome:
    """Run the cases of a kind in several processes."""
    program = [sys.executable, "-m", __package__, kind, "--seed", str(seed), "--child"]
    parts = [numbers[first :: KINDS[kind].processes] for first in range(KINDS[kind].processes)]
    whole = Outcome()
    with ThreadPoolExecutor(len(parts)) as pool:
        for part in pool.map(lambda part: watched(program, KINDS[kind].seconds, part), parts):
            whole.findings += part.findings
            whole.seconds.update(part.seconds)
    return whole


def _report(kind: str, seed: int, outcome: Outcome, seconds: float) -> Iterator[str]:
    slowest = max(outcome.seconds, key=lambda number: outcome.seconds[number], default=None)
    took = (
        f"; slowest: case {slowest}, {outcome.seconds[slowest]:.1f} s"
        if slowest is not None
        else ""
    )
    yield f"{kind}: {len(outcome.seconds)} cases in {seconds:.0f} s{took}"
    for finding in outcome.findings:
        number = finding.removeprefix("case ").partition(":")[0]
        yield f"FINDING in {kind}, {finding.rstrip()}"
        yield f"  python -m {__package__} {kind} --seed {seed} --only {number}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases, and return 1 if there is a finding."""
    parser = argparse.ArgumentParser(prog=__package__, description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"default: {' '.join(KINDS)}")
    parser.add_argument("--seed", type=int, help="default: a new one")
    parser.add_argument("--cases", type=int, help="how many of each kind")
    parser.add_argument("--only", type=int, help="the number of one case")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**9) if options.seed is None else options.seed
    if options.child:
        _child(options.kinds[0], seed, [int(number) for number in options.child.split(",")])
        return 0
    print(f"Seed {seed}", flush=True)  # noqa: T201 - the output of a command
    findings = 0
    for kind in options.kinds or KINDS:
        count = KINDS[kind].cases if options.cases is None else options.cases
        numbers = range(count) if options.only is None else [options.only]
        began = time.monotonic()
        outcome = fuzz(kind, seed, numbers)
        for line in _report(kind, seed, outcome, time.monotonic() - began):
            print(line, flush=True)  # noqa: T201
        findings += len(outcome.findings)
    print(f"{findings} findings" if findings else "No finding")  # noqa: T201
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
