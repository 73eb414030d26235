"""What a seed decides: the runs, how long their syncs take, and what is killed when."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from dagster_rudderstack_tests.cluster.result import Case

KINDS = ("single", "group", "waiting", "single", "deferred")
"""The kinds of runs, in turn. A `waiting` run finds another client's sync in its way."""
LAUNCH_SHARE = 0.6
"""In which part of the time runs are launched, so that the last ones can still be killed."""
PAUSE_SECONDS = (3.0, 7.0)
"""The shortest and the longest pause between two kills."""
SYNC_SECONDS = (2.0, 60.0)
QUICK_SYNC_SECONDS = (2.0, 25.0)
"""The length of a sync that the sensor reports, or that waits for another client's sync."""
OTHER_SYNC_SECONDS = (5.0, 25.0)
"""The length of that other sync."""


class Victim(Enum):
    """What is killed."""

    RUN_WORKER = "run worker"
    STEP = "step"
    """The Celery child that executes a step, at any moment."""
    STEP_AT_START = "step that starts a sync"
    """The same, in the moment in which it starts a sync, which it may not have recorded yet."""
    STEP_AT_END = "step whose sync ends"
    """The same, around the moment in which it reports its sync."""
    WORKER = "Celery worker"
    """A whole Celery worker with its children, which is then restarted."""
    DAEMON = "daemon"
    """The daemon, which is then restarted."""


_WEIGHTS = {
    Victim.RUN_WORKER: 6,
    Victim.STEP: 4,
    Victim.STEP_AT_START: 3,
    Victim.STEP_AT_END: 3,
    Victim.WORKER: 2,
    Victim.DAEMON: 2,
}


@dataclass(frozen=True)
class Launch:
    """A run to launch.

    Attributes:
        at: When, in seconds since the begin.
        case: Its assets, and how long their syncs take.
        other_seconds: How long the sync of another client takes, which is in its way. None if
            there is none.
    """

    at: float
    case: Case
    other_seconds: float | None = None


@dataclass(frozen=True)
class Kill:
    """Something to kill.

    Attributes:
        at: When, in seconds since the begin. The next kill waits for this one.
        victim: What.
        choice: Which one: its place among those that there are then, from 0.0 to 1.0.
    """

    at: float
    victim: Victim
    choice: float


@dataclass(frozen=True)
class Plan:
    """All that a seed decides.

    Attributes:
        launches: The runs, in the order in which they are launched.
        kills: What is killed, in this order.
    """

    launches: Sequence[Launch]
    kills: Sequence[Kill]


def kind_of(number: int) -> str:
    """Return the kind of a run."""
    return KINDS[number % len(KINDS)]


def assets_of(number: int) -> tuple[str, ...]:
    """Return the assets of a run, which have the names of their connections."""
    name = f"{kind_of(number)}_{number:02}"
    return tuple(f"{name}_{each}" for each in "abc") if kind_of(number) == "group" else (name,)


def plan_of(seed: int, runs: int, seconds: float) -> Plan:
    """Return the plan of a seed, which is always the same.

    Args:
        seed: The seed.
        runs: How many runs are launched.
        seconds: For how long something is killed.
    """
    rng = random.Random(seed)  # noqa: S311 - not for cryptography
    times = sorted(rng.uniform(0, seconds * LAUNCH_SHARE) for _ in range(runs))
    launches = [_launch(rng, number, at) for number, at in enumerate(times)]
    return Plan(launches, list(_kills(rng, seconds)))


def _launch(rng: random.Random, number: int, at: float) -> Launch:
    kind = kind_of(number)
    assets = assets_of(number)
    is_quick = kind in ("waiting", "deferred")
    limits = QUICK_SYNC_SECONDS if is_quick else SYNC_SECONDS
    lengths = {asset: round(rng.uniform(*limits), 1) for asset in assets}
    other = round(rng.uniform(*OTHER_SYNC_SECONDS), 1) if kind == "waiting" else None
    return Launch(at, Case(f"{kind}_{number:02}", kind, lengths), other)


def _kills(rng: random.Random, seconds: float) -> Sequence[Kill]:
    kills = []
    at = rng.uniform(*PAUSE_SECONDS)
    while at < seconds:
        (victim,) = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        kills.append(Kill(at, victim, rng.random()))
        at += rng.uniform(*PAUSE_SECONDS)
    return kills
