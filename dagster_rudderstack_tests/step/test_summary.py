"""The summary of a step with many syncs, and the failure of a run for deferred syncs."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest

from dagster_rudderstack.api.models import SyncMetrics
from dagster_rudderstack.errors import SyncAbortedError, SyncFailedError
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.step.deferred import (
    FAILED_SYNCS_TAG,
    OBSERVATIONS_READ,
    failed_syncs_of,
    failure_of_deferred,
)
from dagster_rudderstack.step.results import StepSync, SyncResult
from dagster_rudderstack.step.summary import (
    MAX_REASONS,
    MAX_ROWS,
    SummaryRow,
    failure_of,
    summary_row,
    summary_text,
)
from dagster_rudderstack.sync.request import SyncRequest
from dagster_rudderstack_tests.step.fakes import CRM, FakeInstance, FakeStep, as_step, ids
from dagster_rudderstack_tests.sync.scripted import sync

ERROR = SyncFailedError("No table.", connection_id="crm")


def row(name: str, error: BaseException | None = None, **fields: str) -> SummaryRow:
    facts = {
        "connection": f"{name}-id",
        "sync_id": "s",
        "status": "failed" if error else "succeeded",
        "rows_delivered": "1,000",
        "rows_rejected": "",
        "duration": "1 min",
        **fields,
    }
    return SummaryRow(
        name, error=error, request=SyncRequest(f"{name}-id".replace(" ", "-")), **facts
    )


def test_summary_row() -> None:
    """A row has the names, the sync, its status, its rows and its duration."""
    metrics = SyncMetrics(succeeded={"total": 1200}, failed={"total": 0})
    request = SyncRequest("2hk", connection_name="CRM contacts")
    seen = sync("s", "failed", metrics=metrics)

    assert summary_row(
        SyncResult(StepSync(request, CRM), "failed", last_seen=seen, error=ERROR)
    ) == (
        "crm",
        "CRM contacts (2hk)",
        "s",
        "failed",
        "1,200",
        "0",
        "1 min",
        ERROR,
        request,
    )
    assert summary_row(SyncResult(StepSync(request), "started")) == (
        "CRM contacts (2hk)",
        "CRM contacts (2hk)",
        "",
        "started",
        "",
        "",
        "",
        None,
        request,
    )
    running = SyncResult(StepSync(request), "lost", last_seen=sync("s"))
    assert summary_row(running)[2:7] == ("s", "lost", "", "", "")


def test_summary_row__reason() -> None:
    """The reason is the message of RudderStack's error, or the type and the text of another one."""
    assert row("a").reason == ""
    assert row("a", ERROR).reason == "No table."
    assert row("a", KeyError("x")).reason == "KeyError: 'x'"
    assert row("a", ERROR).is_retryable
    assert row("a", KeyError("x")).is_retryable
    assert not row("a", SyncAbortedError("No.", connection_id="a")).is_retryable


@pytest.mark.parametrize(
    ("total", "others"),
    [
        (2, ""),
        (3, " The other sync is not affected."),
        (1000, " The other 998 syncs are not affected."),
    ],
)
def test_failure_of(total: int, others: str) -> None:
    """The failure names each failed sync with its reason, and the number of the others."""
    failure = failure_of([row("a", ERROR), row("b", KeyError("x"))], total)

    assert failure.description == (
        f"2 of {total:,} syncs failed.{others}\n"
        "- a (connection a-id): No table.\n"
        "- b (connection b-id): KeyError: 'x'"
    )
    assert failure.allow_retries is True
    table = failure.metadata[MetadataKey.FAILED_SYNCS]
    assert isinstance(table, dg.TableMetadataValue)
    assert [record.data for record in table.records] == [
        {
            "asset": "a",
            "connection": "a-id",
            "sync": "s",
            "status": "failed",
            "reason": "No table.",
        },
        {
            "asset": "b",
            "connection": "b-id",
            "sync": "s",
            "status": "failed",
            "reason": "KeyError: 'x'",
        },
    ]


def test_failure_of__one_sync() -> None:
    """The failure of the only sync of a step is that of the sync. Another error has no count."""
    failure = failure_of([row("a", ERROR)], 1, "https://app/{connection_id}/{sync_id}")
    unknown = failure_of([row("a", KeyError("x"))], 1)

    assert failure.description == "No table."
    assert failure.metadata[MetadataKey.CONNECTION_ID].value == "crm"
    assert unknown.description == "The sync failed.\n- a (connection a-id): KeyError: 'x'"


def test_failure_of__retries() -> None:
    """A retry is allowed if it may help one of the syncs."""
    final = SyncAbortedError("No.", connection_id="a")

    assert failure_of([row("a", final)], 2).allow_retries is False
    assert failure_of([row("a", final), row("b", ERROR)], 2).allow_retries is True


def test_failure_of__long() -> None:
    """Thirty failures are explained. The others are named in one line of limited length."""
    rows = [row(f"n{number}", ERROR) for number in range(MAX_REASONS + 2)]

    lines = str(failure_of(rows, 99).description).split("\n")
    exactly = str(failure_of(rows[:MAX_REASONS], 99).description).split("\n")
    many = str(failure_of(rows * 100, 9999).description).split("\n")

    assert len(lines) == 1 + MAX_REASONS + 1
    assert lines[-1] == "- and 2 more: n30, n31"
    assert len(exactly) == 1 + MAX_REASONS
    assert len(many[-1]) == 2000


def test_summary_text() -> None:
    """The failed syncs come first, then all by name, and numbers are aligned on the right."""
    rows = [
        row("b"),
        row("long name", rows_delivered="5"),
        row("z", ERROR),
        row("a", status="lost"),
    ]

    assert summary_text(rows).split("\n") == [
        "4 syncs have ended: 1 failed, 1 lost, 2 succeeded.",
        "asset      connection    sync  status     delivered  rejected  duration",
        "z          z-id          s     failed         1,000               1 min",
        "a          a-id          s     lost           1,000               1 min",
        "b          b-id          s     succeeded      1,000               1 min",
        "long name  long name-id  s     succeeded          5               1 min",
    ]


def test_summary_text__error() -> None:
    """A sync with an error counts as failed, even if its status is another one."""
    assert summary_text([row("a", ERROR, status="lost")]).startswith("1 sync has ended: 1 failed.")


def test_summary_text__no_blanks_at_the_end() -> None:
    """A line without a duration ends with its last cell."""
    lines = summary_text([row("a", duration=""), row("b")]).split("\n")

    assert lines[2] == "a      a-id        s     succeeded      1,000"


def test_summary_text__long() -> None:
    """The table has two hundred rows, and says how many it leaves out."""
    rows = [row(f"n{number:04}") for number in range(MAX_ROWS + 3)]

    lines = summary_text(rows).split("\n")
    exactly = summary_text(rows[:MAX_ROWS]).split("\n")

    assert len(lines) == 2 + MAX_ROWS + 1
    assert lines[-1] == "... and 3 more"
    assert len(exactly) == 2 + MAX_ROWS


# --- the run that fails for deferred syncs


@pytest.mark.parametrize(
    ("tag", "syncs"),
    [
        (None, {}),
        ('{"crm": "s"}', {"crm": "s"}),
        ('{"7": 8}', {"7": "8"}),
        ("broken", {}),
        ('["crm"]', {}),
    ],
)
def test_failed_syncs_of(tag: str | None, syncs: dict[str, str]) -> None:
    """The failed syncs are read from a tag of the run. A damaged or missing tag means none."""
    step = FakeStep()
    step.run.tags = {} if tag is None else {FAILED_SYNCS_TAG: tag}

    assert failed_syncs_of(as_step(step)) == syncs


def test_failed_syncs_of__reexecution() -> None:
    """A re-execution of such a run starts syncs, and so does code outside Dagster."""
    step = FakeStep()
    step.run.tags = {FAILED_SYNCS_TAG: json.dumps({"crm": "s"})}
    step.run.parent_run_id = "parent"

    assert failed_syncs_of(as_step(step)) == {}
    assert failed_syncs_of(None) == {}


def observed(sync_id: str, description: str | None) -> Any:
    observation = dg.AssetObservation(CRM, description=description, metadata=ids(sync_id=sync_id))
    return SimpleNamespace(asset_observation=observation)


def failure_of_syncs(instance: FakeInstance, **syncs: str) -> dg.Failure:
    keys = {dg.AssetKey(key): (f"{key}-id", sync_id) for key, sync_id in syncs.items()}
    return failure_of_deferred(cast("dg.DagsterInstance", instance), keys)


def test_failure_of_deferred() -> None:
    """The failure has the reason and the metadata of the sensor's observation, and is not
    retried."""
    others = [SimpleNamespace(asset_observation=None), observed("other", "Other.")]
    instance = FakeInstance(observed={CRM: [*others, observed("s", "No table.")]})

    failure = failure_of_syncs(instance, crm="s")

    assert failure.description == "No table."
    assert failure.metadata == ids(sync_id="s")
    assert failure.allow_retries is False


def test_failure_of_deferred__no_reason() -> None:
    """If the observation has no reason, the failure has none."""
    instance = FakeInstance(observed={CRM: [observed("s", None)]})

    assert not failure_of_syncs(instance, crm="s").description


@pytest.mark.parametrize("older", [OBSERVATIONS_READ, 0])
def test_failure_of_deferred__not_observed(older: int) -> None:
    """Without a recent observation the failure names the ids, and says where to look."""
    below = [observed("s", "Too far down.")] if older else []
    instance = FakeInstance(observed={CRM: [observed("other", "Other.")] * older + below})

    failure = failure_of_syncs(instance, crm="s")

    assert failure.description == (
        "Deferred sync s of connection crm-id failed. Look at it in RudderStack's dashboard."
    )
    assert failure.metadata == {
        MetadataKey.SYNC_ID: dg.MetadataValue.text("s"),
        MetadataKey.CONNECTION_ID: dg.MetadataValue.text("crm-id"),
    }


def test_failure_of_deferred__several() -> None:
    """Several syncs are one failure with a line for each asset."""
    instance = FakeInstance(observed={CRM: [observed("s", "No table.")]})

    failure = failure_of_syncs(instance, crm="s", ads="t")

    assert failure.description == (
        "2 deferred syncs failed.\n"
        "- crm: No table.\n"
        "- ads: Deferred sync t of connection ads-id failed. Look at it in RudderStack's dashboard."
    )
    assert failure.allow_retries is False
