"""A step that outlives its run, and the other executions of a step, without Dagster."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.step import run_guard
from dagster_rudderstack.step import runner as runner_module
from dagster_rudderstack.step.dagster_step import StepLog
from dagster_rudderstack.step.interrupts import RunEndedError
from dagster_rudderstack.step.records import RunRecorder
from dagster_rudderstack.step.run_guard import RunGuard
from dagster_rudderstack.sync.recorder import Successor
from dagster_rudderstack.sync.request import SyncRequest
from dagster_rudderstack.sync.storage import SyncUnwantedError
from dagster_rudderstack_tests.step.fakes import (
    CRM,
    FakeInstance,
    FakeStep,
    as_step,
    at_once,
    recorder,
    runner,
    written,
)
from dagster_rudderstack_tests.sync.scripted import ListLog, ScriptedApi, succeeded, sync


def guard(step: FakeStep | None) -> RunGuard:
    return RunGuard(as_step(step) if step else None, at_once(), ListLog())


def stored_step(**fields: Any) -> FakeStep:
    """Return a step whose storage is not in memory, so that other processes can reach it."""
    return FakeStep(FakeInstance(is_ephemeral=False), **fields)


# --- a run that is over


def test_guard__outside_dagster() -> None:
    """Outside Dagster every sync is wanted, and every result is reported."""
    assert guard(None).check_begin()
    guard(None).check_result(None)


@pytest.mark.parametrize("fields", [{"over": lambda: True}, {"canceled": lambda: True}])
def test_check_begin__run_over(fields: dict[str, Any]) -> None:
    """A step that begins after the end of its run is not wanted."""
    assert guard(FakeStep()).check_begin()
    assert not guard(FakeStep(**fields)).check_begin()


def test_check_begin__retry_of_a_canceled_run() -> None:
    """A run that Dagster launched to retry a canceled one fails, and is not retried again."""
    with pytest.raises(dg.Failure, match="A person canceled run first, which this run") as failure:
        guard(FakeStep(retries_canceled="first")).check_begin()

    assert failure.value.allow_retries is False


def test_check_result() -> None:
    """A result is reported while the run goes on, and while it is being canceled."""
    guard(FakeStep()).check_result(None)
    guard(FakeStep(canceled=lambda: True)).check_result(None)


@pytest.mark.parametrize(
    ("step", "error"),
    [(FakeStep(over=lambda: True), None), (FakeStep(), SyncUnwantedError())],
    ids=["run over", "sync unwanted"],
)
def test_check_result__run_over(step: FakeStep, error: Exception | None) -> None:
    """No result is reported once the run is over."""
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        guard(step).check_result(error)


def test_run__over_before_it_begins() -> None:
    """A step that begins after the end of its run sends no request and records nothing."""
    step, api = FakeStep(over=lambda: True), ScriptedApi()

    with pytest.raises(RunEndedError, match="The run has already ended, so this step starts, rep"):
        list(runner(api, step).run())

    assert (api.requests, written(step), step.context.log.lines) == ([], [], [])


@pytest.mark.parametrize("last", [sync("new"), succeeded("new")], ids=["running", "ended"])
def test_run__over_while_the_sync_runs(
    monkeypatch: pytest.MonkeyPatch, last: Sync, request: pytest.FixtureRequest
) -> None:
    """The sync of a run that has ended is neither stopped nor reported."""
    monkeypatch.setattr(runner_module, "STATUS_SECONDS", 0.05)
    api = ScriptedApi(get=[last])
    step = FakeStep(over=lambda: "get" in api.operations)

    with pytest.raises(RunEndedError) as error:
        list(runner(api, step, stop_when="always").run())

    is_running = "running" in request.node.name
    assert ("Sync new of connection CRM contacts (crm) is left" in str(error.value)) is is_running
    assert "stop" not in api.operations
    assert step.context.logged_events == []


# --- another execution of the step


def test_successor__newest() -> None:
    """The newest execution of a step has no successor, even if earlier ones have records."""
    step = stored_step()
    step.instance.begin("now")
    recorder(step).waiting("old", "started", owned=True)
    step.instance.begin("now")

    assert recorder(step).successor() is None


def test_successor() -> None:
    """The successor is what a newer execution has recorded about the same connection."""
    step = stored_step(began=1)
    step.instance.begin("now")
    recorder(step).waiting("old", "started", owned=True)
    step.instance.begin("now")
    assert recorder(step).successor() == Successor()

    other = recorder(step)
    object.__setattr__(other, "request", SyncRequest("ads", "full"))
    other.waiting("of ads", "started", owned=True)
    assert recorder(step).successor() == Successor()

    recorder(step).starting(["old"])
    assert recorder(step).successor() == Successor()

    recorder(step).waiting("new", "attached", owned=False)
    assert recorder(step).successor() == Successor("new", owned=False)


def test_successor__of_another_step() -> None:
    """An execution of another step of the run is no successor."""
    step = stored_step(began=1)
    step.instance.begin("now")
    step.instance.begin("now", "another_step")

    assert recorder(step).successor() is None


@pytest.mark.parametrize(
    ("run_id", "sync_id", "is_reported"),
    [("now", "new", True), ("now", "another", False), ("before", "new", False)],
)
def test_run__reported_by_another_execution(run_id: str, sync_id: str, is_reported: bool) -> None:
    """A sync that another execution of the step has reported since is not reported again."""
    step = stored_step()
    step.instance.begin("now")
    step.instance.begin("now")
    metadata = {MetadataKey.SYNC_ID: dg.MetadataValue.text(sync_id)}
    reported = dg.AssetMaterialization(CRM, metadata=metadata)
    step.instance.recent = [SimpleNamespace(run_id=run_id, asset_materialization=reported)]

    (result,) = runner(ScriptedApi(get=[succeeded("new")]), step).run()

    assert result.is_reported is is_reported
    assert result.metadata is not None


@pytest.mark.parametrize("is_awaited", [True, False])
def test_run__output_of_a_killed_execution(is_awaited: bool) -> None:
    """What a killed execution has reported is reported again only if other steps wait for it."""
    step = stored_step(lost_outputs=frozenset({CRM} if is_awaited else ()))
    step.instance.begin("now")
    run_recorder = RunRecorder(as_step(step), SyncRequest("crm"))
    run_recorder.waiting("ours", "started", owned=True)
    step.instance.materialize("now", sync_id="ours")
    step.instance.begin("now")
    api = ScriptedApi()

    (result,) = runner(api, step).run()

    assert (result.status, result.is_reported) == ("succeeded earlier", not is_awaited)
    assert result.metadata is not None
    assert result.metadata[MetadataKey.SYNC_ID].value == "ours"
    assert api.requests == []


def delivered_again(**fields: Any) -> FakeStep:
    """Return the first execution of a step that was delivered again."""
    step = stored_step(began=1, **fields)
    step.instance.begin("now")
    step.instance.begin("now")
    return step


def report(step: FakeStep, sync_id: str) -> None:
    """Let another execution report a sync."""
    metadata = {MetadataKey.SYNC_ID: dg.MetadataValue.text(sync_id)}
    reported = dg.AssetMaterialization(CRM, metadata=metadata)
    step.instance.recent = [SimpleNamespace(run_id="now", asset_materialization=reported)]


def test_older_execution__newer_one_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The older execution lets the newer one report the sync."""
    step = delivered_again()
    monkeypatch.setattr(time, "sleep", lambda _: report(step, "new"))

    assert guard(step).was_reported_by_another("new", CRM)


def test_older_execution__newer_one_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The older execution reports the sync itself if the newer one does not, and waits once."""
    monkeypatch.setattr(run_guard, "REPORT_SECONDS", 0.05)
    monkeypatch.setattr(run_guard, "LOOK_SECONDS", 0.01)
    step = delivered_again()
    older = guard(step)

    assert not older.was_reported_by_another("new", CRM)
    waited = len(step.instance.latest_requests)
    assert not older.was_reported_by_another("new", CRM)

    assert waited > 1
    assert len(step.instance.latest_requests) == waited + 1


def test_older_execution__output_awaited() -> None:
    """Both executions report an asset that other steps wait for: the process of the run gets the
    outputs of the one that ends first."""
    step = delivered_again(lost_outputs=frozenset({CRM}))
    report(step, "new")

    assert not guard(step).was_reported_by_another("new", CRM)


def test_newer_execution__reports_at_once() -> None:
    """The newest execution waits for no other one."""
    step = stored_step()
    step.instance.begin("now")
    step.instance.begin("now")

    assert not guard(step).was_reported_by_another("new", CRM)
    assert len(step.instance.latest_requests) == 1


# --- the log


class BrokenLog(ListLog):
    """Its lines cannot be stored."""

    def info(self, msg: object, /) -> None:
        """Fail."""
        raise OSError(f"database away: {msg}")

    def warning(self, msg: object, /) -> None:
        """Fail."""
        raise OSError(f"database away: {msg}")


def test_step_log() -> None:
    """Lines go to the log of the run."""
    good = ListLog()
    StepLog(good).info("one")
    StepLog(good).warning("two")

    assert good.lines == ["info: one", "warning: two"]


def test_step_log__away(capsys: pytest.CaptureFixture[str]) -> None:
    """A line that cannot be stored fails nothing, and is in the output of the process."""
    StepLog(BrokenLog()).info("50 % done")
    StepLog(BrokenLog()).warning("failed")

    assert capsys.readouterr().err == "50 % done\nfailed\n"
