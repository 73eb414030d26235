"""What the page of a polling sensor says: what it covers, and what a tick has reported."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from dagster_rudderstack.api.models import Sync, SyncState
from dagster_rudderstack.sensor.detect import Finding
from dagster_rudderstack.sensor.watch import Watch
from dagster_rudderstack.text import MAX_EXAMPLES, one_line, plural, shown

__all__ = ["coverage_text", "report_text"]

MAX_REASON_LENGTH = 100
"""How much of RudderStack's reason for a failed sync is shown."""


def coverage_text(watches: Collection[Watch], resource_key: str) -> str:
    """Return the description of a sensor. Dagster's page shows it as it is.

    Args:
        watches: The assets that it watches.
        resource_key: The key of its resource, by which a project knows the workspace.
    """
    text = (
        f"Reports the syncs of {_assets_of(watches)} that no step waits for, in the RudderStack "
        f"workspace of the resource {resource_key}."
    )
    deferred = [watch for watch in watches if watch.deferred]
    if not deferred:
        return text
    start = "starts" if len(deferred) == 1 else "start"
    step = "step" if len(deferred) == 1 else "steps"
    return f"{text} The {step} of {_assets_of(deferred)} only {start} syncs (wait=False)."


def _assets_of(watches: Iterable[Watch]) -> str:
    return _list_of(sorted(watch.key.to_user_string() for watch in watches))


def report_text(reported: Sequence[tuple[Finding, Watch]]) -> str:
    """Return what a tick has reported, in one sentence. Failed syncs come first.

    Args:
        reported: The syncs, and their assets.
    """
    if not reported:
        return "There was no sync to report."
    ordered = sorted(reported, key=lambda each: _is_good(each[0]))
    ends = [f"{watch.key.to_user_string()} {_end_of(finding)}" for finding, watch in ordered]
    return f"Reported {plural(len(ends), 'sync')}: {_list_of(ends)}."


def _is_good(finding: Finding) -> bool:
    return finding.sync.state is SyncState.SUCCEEDED and not finding.overdue


def _end_of(finding: Finding) -> str:
    sync = finding.sync
    if finding.overdue:
        return "exceeded its timeout"
    if sync.state is SyncState.SUCCEEDED:
        return f"succeeded{_rows_of(sync)}"
    if finding.recorded is not None and finding.recorded.timed_out:
        return "was stopped after its timeout"
    if sync.state is SyncState.ABORTED:
        return "was stopped"
    if sync.state is not SyncState.FAILED:
        return f"ended with the unknown status {shown(sync.status)}"
    return f"failed ({one_line(sync.error, MAX_REASON_LENGTH)})" if sync.error else "failed"


def _rows_of(sync: Sync) -> str:
    """Return how many rows were delivered and rejected. Empty if RudderStack does not say it."""
    delivered = None if sync.rows_succeeded is None else plural(sync.rows_succeeded, "row")
    rejected = f"{sync.rows_failed:,} rejected" if sync.rows_failed else None
    rows = ", ".join(each for each in (delivered, rejected) if each)
    return f" ({rows})" if rows else ""


def _list_of(texts: Sequence[str]) -> str:
    """Return the first few texts, and how many others there are: `a, b, c and 7 others`."""
    first, more = list(texts[:MAX_EXAMPLES]), len(texts) - MAX_EXAMPLES
    last = plural(more, "other") if more > 0 else first.pop()
    return f"{', '.join(first)} and {last}" if first else last
