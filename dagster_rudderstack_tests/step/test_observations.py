"""Observations of failed and stopped syncs, without a server."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.errors import RudderStackError, SyncFailedError, SyncTimedOutError
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.step.observations import AssetObserver
from dagster_rudderstack.step.resume import EarlierAttempts
from dagster_rudderstack_tests.step.fakes import CRM, FakeStep, as_step
from dagster_rudderstack_tests.sync.scripted import Script, script, sync

FAILED = SyncFailedError("No table.", connection_id="crm")


def timed_out(*, stop_requested: bool) -> SyncTimedOutError:
    error = SyncTimedOutError("Too late.", connection_id="crm")
    error.stop_requested = stop_requested
    return error


def running_for_a_minute() -> Sync:
    return sync("s", started_at=datetime.now(timezone.utc) - timedelta(minutes=1))


def ended() -> Script:
    """Return an attempt whose sync has ended."""
    scripted = script()
    scripted.attempt.is_over = True
    return scripted


def observer(step: FakeStep, scripted: Script) -> AssetObserver:
    return AssetObserver(as_step(step), EarlierAttempts(as_step(step)), scripted.attempt, CRM)


def observed_before(step: FakeStep, key: dg.AssetKey = CRM, reason: str = "No table.") -> None:
    """Let an earlier attempt have reported a failure without a sync."""
    before = dg.AssetObservation(key, description=reason)
    step.instance.add("observed", "now", asset_observation=before)


def second_attempt() -> FakeStep:
    step = FakeStep()
    step.instance.begin("now")
    step.instance.begin("now")
    return step


def metadata_of(step: FakeStep) -> dict[str, Any]:
    """Return the metadata of the only observation."""
    (observation,) = step.context.logged_events
    return {key: value.value for key, value in observation.metadata.items()}


@pytest.mark.parametrize(
    "error", [FAILED, timed_out(stop_requested=False)], ids=["failed", "left_running"]
)
def test_report_failed__not_stopped(error: RudderStackError) -> None:
    """The sync of an error is reported with the status that was seen."""
    step = FakeStep()

    observer(step, ended()).report_failed(error, running_for_a_minute())

    found = metadata_of(step)
    assert found[MetadataKey.STATUS] == "running"
    assert MetadataKey.DURATION not in found


def test_report_failed__stopped() -> None:
    """A sync that its timeout stopped is reported as stopped, with the duration so far."""
    step = FakeStep()

    observer(step, ended()).report_failed(timed_out(stop_requested=True), running_for_a_minute())

    found = metadata_of(step)
    assert found[MetadataKey.STATUS] == "stopped"
    assert found[MetadataKey.DURATION] == pytest.approx(60, abs=10)


def test_report_stopped() -> None:
    """A sync that our run stopped is reported as stopped, with the duration so far."""
    step, scripted = FakeStep(), ended()
    scripted.attempt.last_seen = running_for_a_minute()

    observer(step, scripted).report_stopped("the run was canceled")

    found = metadata_of(step)
    assert found[MetadataKey.STATUS] == "stopped"
    assert found[MetadataKey.DURATION] == pytest.approx(60, abs=10)


def test_report_stopped__ended() -> None:
    """A sync that ended by itself keeps its status and its duration."""
    step, scripted = FakeStep(), ended()
    scripted.attempt.last_seen = sync("s", "failed")

    observer(step, scripted).report_stopped("the run was canceled")

    found = metadata_of(step)
    assert (found[MetadataKey.STATUS], found[MetadataKey.DURATION]) == ("failed", 60)


def test_report_stopped__no_sync() -> None:
    """If no state of the sync was seen, the observation has no status."""
    step = FakeStep()

    observer(step, ended()).report_stopped("its step was interrupted")

    assert MetadataKey.STATUS not in metadata_of(step)


@pytest.mark.parametrize(
    ("runs", "attempts", "is_reported"),
    [(("now",), 1, True), (("now",), 2, False), (("now", "later"), 1, False)],
    ids=["first attempt", "second attempt", "retried run"],
)
def test_report_failed__same_reason(
    runs: tuple[str, ...], attempts: int, is_reported: bool
) -> None:
    """A failure without a sync is not reported again by a retry that meets the same reason."""
    step = FakeStep(runs=runs)
    for _ in range(attempts):
        step.instance.begin("now")
    observed_before(step)

    observer(step, ended()).report_failed(FAILED, None)

    assert len(step.context.logged_events) == is_reported


@pytest.mark.parametrize(
    ("key", "reason"), [(CRM, "Another reason."), (dg.AssetKey("ads"), "No table.")]
)
def test_report_failed__another_reason(key: dg.AssetKey, reason: str) -> None:
    """A retry reports another reason, and the same one of another asset."""
    step = second_attempt()
    observed_before(step, key, reason)

    observer(step, ended()).report_failed(FAILED, None)

    assert len(step.context.logged_events) == 1


def test_report_failed__same_reason_of_a_sync() -> None:
    """The failure of a sync is reported, even if a start failed for the same reason before."""
    step = second_attempt()
    observed_before(step)

    observer(step, ended()).report_failed(FAILED, sync("s", "failed"))

    assert len(step.context.logged_events) == 1
