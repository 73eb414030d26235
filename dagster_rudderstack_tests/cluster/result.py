"""What a case left behind, compared with what is wanted: one row of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from dagster_rudderstack import MetadataKey
from dagster_rudderstack.testing import LocalRudderStack

CASE_TAG = "case"
"""Tag of the runs of a case, which their retries inherit."""
_PARENT_TAG = "dagster/parent_run_id"
_WILL_RETRY_TAG = "dagster/will_retry"
_RETRY_TAG = "dagster/auto_retry_run_id"
_OVER = ("SUCCESS", "FAILURE", "CANCELED")
HEADINGS = ("case", "runs ended", "starts", "stops", "materializations", "as wanted")


@dataclass(frozen=True)
class Case:
    """One row of the table: some connections, and what is wanted of each.

    Attributes:
        name: The tag of its runs.
        title: What happens, for the table.
        seconds: How long a sync takes, by connection. Each connection has an asset of its name.
        runs: How many runs are launched, without retries.
        syncs: How many syncs of each connection are wanted, and so how many starts.
        end: How each run, or else its last retry, ends.
        stops: How many stops of each connection are wanted.
    """

    name: str
    title: str
    seconds: Mapping[str, float]
    runs: int = 1
    syncs: int = 1
    end: str = "SUCCESS"
    stops: int = 0

    @property
    def materializations(self) -> int:
        """How many materializations of each asset are wanted."""
        return self.syncs if self.end == "SUCCESS" else 0


@dataclass(frozen=True)
class Row:
    """What a case left behind.

    Attributes:
        case: The case.
        runs: The status of each run, the oldest first.
        starts: The number of starts of all its connections.
        stops: The number of stops.
        materializations: The number of materializations of all its assets.
        problems: What is not as wanted, one sentence each.
    """

    case: Case
    runs: Sequence[str]
    starts: int
    stops: int
    materializations: int
    problems: Sequence[str]

    @property
    def cells(self) -> list[str]:
        """The row of the table."""
        numbers = (self.starts, self.stops, self.materializations)
        verdict = "NO" if self.problems else "yes"
        return [self.case.title, ", ".join(self.runs), *map(str, numbers), verdict]


def runs_of(instance: dg.DagsterInstance, case: Case) -> list[dg.DagsterRun]:
    """Return the runs of a case with their retries, the oldest first."""
    filters = dg.RunsFilter(tags={CASE_TAG: case.name})
    return list(instance.get_runs(filters))[::-1]


def last_runs(runs: Sequence[dg.DagsterRun]) -> list[dg.DagsterRun]:
    """Return the runs that have no retry."""
    parents = {run.tags.get(_PARENT_TAG) for run in runs}
    return [run for run in runs if run.run_id not in parents]


def are_over(case: Case, runs: Sequence[dg.DagsterRun]) -> bool:
    """Whether all runs of a case have ended, and none will be retried."""
    last = last_runs(runs)
    return len(last) == case.runs and all(
        run.status.value in _OVER and run.tags.get(_WILL_RETRY_TAG) != "true" for run in last
    )


def is_to_be_retried(run: dg.DagsterRun) -> bool:
    """Whether a run has failed, and Dagster's daemon has promised a retry that is not there yet."""
    is_promised = run.tags.get(_WILL_RETRY_TAG) == "true" and _RETRY_TAG not in run.tags
    return run.status is dg.DagsterRunStatus.FAILURE and is_promised


def row_of(
    case: Case, instance: dg.DagsterInstance, server: LocalRudderStack, errors: Sequence[str] = ()
) -> Row:
    """Compare what a case left behind with what is wanted.

    Args:
        case: The case.
        instance: Dagster's instance.
        server: The RudderStack of the case.
        errors: What went wrong while the case ran.
    """
    runs = runs_of(instance, case)
    reported = {name: materialized_syncs(instance, name) for name in case.seconds}
    problems = [*errors, *_problems_of_runs(case, runs)]
    for name, syncs in reported.items():
        problems += _problems_of_connection(case, server, name, syncs)
    return Row(
        case,
        [run.status.value for run in runs],
        sum(len(server.starts(name)) for name in case.seconds),
        sum(len(server.stops(name)) for name in case.seconds),
        sum(map(len, reported.values())),
        problems,
    )


def materialized_syncs(instance: dg.DagsterInstance, asset: str) -> list[str]:
    """Return the sync of each materialization of an asset."""
    records = instance.fetch_materializations(dg.AssetKey(asset), limit=100).records
    found = [record.asset_materialization for record in records]
    return [str(each.metadata[MetadataKey.SYNC_ID].value) for each in found if each is not None]


def _problems_of_runs(case: Case, runs: Sequence[dg.DagsterRun]) -> list[str]:
    last = [run.status.value for run in last_runs(runs)]
    if last == [case.end] * case.runs and (case.end == "SUCCESS" or len(runs) == case.runs):
        return []
    found = ", ".join(run.status.value for run in runs) or "nothing"
    retries = " (after retries)" if case.end == "SUCCESS" else " (and no retry)"
    return [f"{case.runs} x {case.end}{retries} is wanted of the runs, not {found}."]


def _problems_of_connection(
    case: Case, server: LocalRudderStack, name: str, reported: Sequence[str]
) -> list[str]:
    numbers = [
        ("starts", len(server.starts(name)), case.syncs),
        ("stops", len(server.stops(name)), case.stops),
        ("materializations", len(reported), case.materializations),
    ]
    problems = [
        f"Connection {name} has {found} {what}, not {wanted}."
        for what, found, wanted in numbers
        if found != wanted
    ]
    owned = {sync.id for sync in server.syncs(name) if sync.origin == "api"}
    problems += [
        f"Sync {sync_id} of {name} was materialized {reported.count(sync_id)} times."
        for sync_id in sorted({each for each in reported if reported.count(each) > 1})
    ]
    problems += [
        f"Sync {sync_id} of {name} was materialized, and is another client's."
        for sync_id in sorted(set(reported) - owned)
    ]
    return problems


def table(rows: Sequence[Row]) -> str:
    """Return the table of all rows."""
    cells = [list(HEADINGS), *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
