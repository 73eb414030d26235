"""Judges what the random kills left behind, from the records of Dagster and of RudderStack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import dagster as dg

from dagster_rudderstack import MetadataKey
from dagster_rudderstack.step.dagster_step import BEGIN_EVENTS
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.cluster.result import Case, runs_of
from dagster_rudderstack_tests.processes.project import PROCESS_HEADER

OVER = ("SUCCESS", "FAILURE", "CANCELED")
NOTHING_TO_RETRY = "No steps needed to be retried in the failed run"
"""What Dagster says if the worker of a run was killed after all its steps had succeeded."""


@dataclass(frozen=True)
class RunFacts:
    """How one run ended.

    Attributes:
        run_id: The run.
        status: Its status.
        parent_id: The run that it retries. None if it was launched.
        had_nothing_to_retry: Whether the daemon found all its steps done, although it failed.
        executions: How many times a step of it was executed.
    """

    run_id: str
    status: str
    parent_id: str | None = None
    had_nothing_to_retry: bool = False
    executions: int = 1


@dataclass(frozen=True)
class Report:
    """A materialization.

    Attributes:
        sync_id: The sync that it reports.
        run_id: The run. Empty for the polling sensor.
    """

    sync_id: str
    run_id: str


@dataclass(frozen=True)
class ConnectionFacts:
    """What happened to one wanted sync.

    Attributes:
        name: The connection, and its asset.
        owned: The syncs that were started through the API.
        starts: The number of requests that started a sync.
        stops: The number of requests that stopped one.
        running: The syncs that still run.
        reports: The materializations of the asset.
    """

    name: str
    owned: Sequence[str]
    starts: int
    stops: int
    running: Sequence[str]
    reports: Sequence[Report]


@dataclass(frozen=True)
class Verdict:
    """What a launched run and its retries left behind.

    Attributes:
        case: The run.
        runs: The run and its retries, the oldest first.
        connections: Its wanted syncs.
        problems: What must not be, one sentence each.
        repeats: The reports of a failed run that its retry wrote again, one sentence each.
    """

    case: Case
    runs: Sequence[RunFacts]
    connections: Sequence[ConnectionFacts]
    errors: Sequence[str] = ()
    problems: list[str] = field(init=False)
    repeats: list[str] = field(init=False)

    def __post_init__(self) -> None:
        problems = [*self.errors, *problems_of_runs(self.runs)]
        for connection in self.connections:
            problems += problems_of_connection(connection, self.runs)
        repeats = [each for found in self.connections for each in repeats_of(found, self.runs)]
        object.__setattr__(self, "problems", problems)
        object.__setattr__(self, "repeats", repeats)


# --- judging


def problems_of_runs(runs: Sequence[RunFacts]) -> Iterator[str]:
    """Yield what is wrong with a run and its retries.

    A run may fail if its retry succeeds, or if only the process of the run was killed after all
    steps had succeeded. Then Dagster retries nothing.
    """
    for run in runs:
        if run.status not in OVER:
            yield f"Run {run.run_id} has not ended: it is {run.status}."
    parents = {run.parent_id for run in runs}
    last = [run for run in runs if run.run_id not in parents]
    if len(last) != 1:
        yield f"The chain of retries has {len(last)} ends, not 1."
    for run in last:
        is_done = run.status == "FAILURE" and run.had_nothing_to_retry
        if run.status in OVER and run.status != "SUCCESS" and not is_done:
            yield f"The last run, {run.run_id}, has ended as {run.status}."


def problems_of_connection(found: ConnectionFacts, runs: Sequence[RunFacts]) -> Iterator[str]:
    """Yield what is wrong with a wanted sync."""
    if found.starts != 1:
        yield f"Connection {found.name} has {found.starts} starts, not 1."
    if found.stops:
        yield f"Connection {found.name} has {found.stops} stops, and no person stopped a sync."
    for sync_id in found.running:
        yield f"Sync {sync_id} of {found.name} still runs."
    reported = {report.sync_id for report in found.reports}
    for sync_id in found.owned:
        if sync_id not in reported:
            yield f"Sync {sync_id} of {found.name} has no materialization."
    for sync_id in sorted(reported - set(found.owned)):
        yield f"Sync {sync_id} of {found.name} was materialized, and is another client's."
    for sync_id in sorted(reported):
        where = [report.run_id for report in found.reports if report.sync_id == sync_id]
        if len(where) > 1 and not _is_repeat(where, runs):
            names = ", ".join(run_id or "the sensor" for run_id in where)
            yield f"Sync {sync_id} of {found.name} was materialized {len(where)} times: {names}."


def repeats_of(found: ConnectionFacts, runs: Sequence[RunFacts]) -> Iterator[str]:
    """Yield the syncs that the retry of a failed run materialized again, as the docs say.

    Dagster counts an asset as failed if a failed run plans it and does not materialize it. See
    docs/guides/many-syncs.md.
    """
    for sync_id in found.owned:
        where = [report.run_id for report in found.reports if report.sync_id == sync_id]
        if len(where) > 1 and _is_repeat(where, runs):
            yield f"Sync {sync_id} of {found.name} was reported by {' and '.join(where)}."


def _is_repeat(run_ids: Sequence[str], runs: Sequence[RunFacts]) -> bool:
    """Whether each materialization is one of another run of the same chain of retries."""
    known = {run.run_id: run for run in runs}
    if len(set(run_ids)) < len(run_ids) or not set(run_ids) <= set(known):
        return False
    ancestry = [{run.run_id, *_ancestors(run, known)} for run in runs if run.run_id in run_ids]
    return any(set(run_ids) <= ids for ids in ancestry)


def _ancestors(run: RunFacts, known: dict[str, RunFacts]) -> Iterator[str]:
    while run.parent_id in known:
        run = known[run.parent_id]
        if run.status == "FAILURE":
            yield run.run_id


# --- reading


def verdict_of(
    case: Case, instance: dg.DagsterInstance, server: LocalRudderStack, errors: Sequence[str] = ()
) -> Verdict:
    """Read what a case left behind, and judge it.

    Args:
        case: The run, and its wanted syncs.
        instance: Dagster's instance.
        server: The RudderStack.
        errors: What went wrong while the run was launched.
    """
    return Verdict(
        case,
        [_run_facts(instance, run) for run in runs_of(instance, case)],
        [_connection_facts(instance, server, name) for name in case.seconds],
        errors,
    )


def _run_facts(instance: dg.DagsterInstance, run: dg.DagsterRun) -> RunFacts:
    engine_events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    return RunFacts(
        run.run_id,
        run.status.value,
        run.parent_run_id,
        any(NOTHING_TO_RETRY in _error_of(entry) for entry in engine_events),
        len(instance.all_logs(run.run_id, of_type=BEGIN_EVENTS)),
    )


def _error_of(entry: dg.EventLogEntry) -> str:
    event = entry.dagster_event
    error = event.engine_event_data.error if event else None
    return error.to_string() if error else ""


def _connection_facts(
    instance: dg.DagsterInstance, server: LocalRudderStack, name: str
) -> ConnectionFacts:
    syncs = server.syncs(name)
    return ConnectionFacts(
        name,
        [sync.id for sync in syncs if sync.origin == "api"],
        len(server.starts(name)),
        len(server.stops(name)),
        [sync.id for sync in syncs if sync.running],
        reports_of(instance, name),
    )


def reports_of(instance: dg.DagsterInstance, asset: str) -> list[Report]:
    """Return the materializations of an asset, the oldest first."""
    records = instance.fetch_materializations(dg.AssetKey(asset), limit=100).records
    return [
        Report(str(found.metadata[MetadataKey.SYNC_ID].value), record.run_id)
        for record in reversed(records)
        if (found := record.asset_materialization) is not None
    ]


# --- printing


def evidence(
    verdict: Verdict, instance: dg.DagsterInstance, server: LocalRudderStack, since: float
) -> Iterator[str]:
    """Yield the lines that explain a verdict: the syncs, the starts, and the logs of the runs.

    Args:
        verdict: What to explain.
        instance: Dagster's instance.
        server: The RudderStack.
        since: The begin of the kills, in epoch seconds. All times are shown in seconds since then.
    """
    yield f"=== {verdict.case.name}: {dict(verdict.case.seconds)}"
    yield from (f"- {problem}" for problem in verdict.problems)
    yield from (f"- (documented) {repeat}" for repeat in verdict.repeats)
    for name in verdict.case.seconds:
        for sync in server.syncs(name):
            end = "running" if sync.finished_at is None else f"{sync.finished_at - since:.2f} s"
            begin = sync.started_at - since
            yield f"  sync {sync.id} of {name} ({sync.origin}): {begin:.2f} s to {end}"
        for request in [*server.starts(name), *server.stops(name)]:
            process = request.headers.get(PROCESS_HEADER)
            yield f"  {request.operation} of {name} at {request.at - since:.2f} s by {process}"
    for run in runs_of(instance, verdict.case):
        yield f"--- run {run.run_id}: {run.status.value}, retries {run.parent_run_id}"
        for entry in instance.all_logs(run.run_id):
            event = entry.dagster_event
            number = str(event.pid) if event and event.pid else ""
            yield f"{entry.timestamp - since:8.2f} s  {number:>8}  {_text_of(entry)}"


def _text_of(entry: dg.EventLogEntry) -> str:
    lines = entry.message.strip().splitlines() or [""]
    kind = entry.dagster_event_type.value if entry.dagster_event_type else "LOG"
    error = _error_of(entry) if kind == "ENGINE_EVENT" else ""
    return f"{kind}: {' / '.join([*lines, *error.splitlines()])[:600]}"


def counts(verdicts: Sequence[Verdict]) -> str:
    """Return the totals in one line each."""
    runs = [run for verdict in verdicts for run in verdict.runs]
    found = [connection for verdict in verdicts for connection in verdict.connections]
    statuses = ", ".join(f"{n} {name}" for name, n in Counter(r.status for r in runs).most_common())
    done = sum(run.had_nothing_to_retry for run in runs)
    starts, stops = sum(each.starts for each in found), sum(each.stops for each in found)
    reports, repeats = (
        sum(len(each.reports) for each in found),
        sum(len(v.repeats) for v in verdicts),
    )
    lines = [
        f"runs launched: {len(verdicts)}; with retries: {len(runs)} ({statuses})",
        f"failed runs whose steps had all succeeded, so that nothing was retried: {done}",
        f"executions of steps: {sum(run.executions for run in runs)}",
        f"wanted syncs: {len(found)}; starts: {starts}; stops: {stops}; reports: {reports}",
        f"syncs reported again by the retry of a failed run: {repeats}",
        f"runs with a violation: {sum(bool(v.problems) for v in verdicts)}",
    ]
    return "\n".join(lines)
