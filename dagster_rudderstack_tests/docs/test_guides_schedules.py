"""The guides on schedules and on full syncs."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import yaml
from dagster._core.test_utils import create_run_for_test

from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.docs.guide import CONTACTS, Guide, materialize, sync_types, synced

SCHEDULES, FULL = Guide("schedules"), Guide("full-refresh")

BERLIN = ZoneInfo("Europe/Berlin")
SUNDAY = datetime(2026, 11, 29, 6, tzinfo=BERLIN)
MONDAY = datetime(2026, 11, 30, 6, tzinfo=BERLIN)


def tick(
    schedule: dg.ScheduleDefinition,
    instance: dg.DagsterInstance,
    time: datetime | None = None,
) -> Any:
    """Evaluate a schedule."""
    context = dg.build_schedule_context(instance, scheduled_execution_time=time)
    return schedule.evaluate_tick(context)


def test_every_morning(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """The schedule is on, and its job builds the table and then syncs it."""
    page = SCHEDULES.run(0, server)
    schedule: dg.ScheduleDefinition = page["every_morning"]

    (request,) = tick(schedule, instance, MONDAY).run_requests
    job = page["defs"].resolve_job_def(schedule.job_name)
    result = job.execute_in_process(instance=instance, run_config=request.run_config)

    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.execution_timezone == "Europe/Berlin"
    assert synced(result) == ["crm_contacts"]


def test_every_morning__failed_table(
    server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the table fails, no sync starts."""
    code = SCHEDULES.blocks()[0].replace('"""Build the table that the sync reads."""', "1 / 0")
    monkeypatch.setattr(Guide, "blocks", lambda *_: [code])

    result = materialize(SCHEDULES.run(0, server)["defs"], instance)

    assert not result.success
    assert server.starts() == []


@pytest.mark.parametrize("status", ["STARTING", "STARTED", "CANCELING"])
def test_every_hour(
    server: LocalRudderStack, stored_instance: dg.DagsterInstance, status: str
) -> None:
    """A tick requests a run, and is skipped while a run of the job is active."""
    schedule = SCHEDULES.run(1, server)["every_hour"]

    create_run_for_test(stored_instance, "hourly_sync", status=dg.DagsterRunStatus.SUCCESS)
    idle = tick(schedule, stored_instance)
    run = create_run_for_test(stored_instance, "hourly_sync", status=dg.DagsterRunStatus[status])
    busy = tick(schedule, stored_instance)

    assert len(idle.run_requests) == 1
    assert (busy.run_requests, busy.skip_message) == ([], f"Run {run.run_id} is still active.")


@pytest.mark.parametrize(("time", "sync_type"), [(SUNDAY, "full"), (MONDAY, "incremental")])
def test_sundays(
    server: LocalRudderStack, instance: dg.DagsterInstance, time: datetime, sync_type: str
) -> None:
    """The sync is full on Sundays, and incremental on other days."""
    page = FULL.run(0, server)

    (request,) = tick(page["every_morning"], instance, time).run_requests
    job = page["defs"].resolve_job_def("contacts_job")
    job.execute_in_process(instance=instance, run_config=request.run_config)

    assert sync_types(server) == [sync_type]


def test_sundays__config_of_the_run(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """The sync type is in the config of the run, which its retries take over."""
    page = FULL.run(0, server)
    server.script_next(CONTACTS, SyncScript(status="failed", error="no such table"))
    (request,) = tick(page["every_morning"], instance, SUNDAY).run_requests
    job = page["defs"].resolve_job_def("contacts_job")

    failed = job.execute_in_process(
        instance=instance, run_config=request.run_config, raise_on_error=False
    )
    run = instance.get_run_by_id(failed.run_id)
    assert run
    job.execute_in_process(instance=instance, run_config=run.run_config)

    assert sync_types(server) == ["full", "full"]


def test_reason(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """The run config of the guide asks for a full sync, which needs a reason."""
    defs = FULL.run(0, server)["defs"]
    (config,) = FULL.blocks("yaml")
    run_config = yaml.safe_load(config)

    refused = materialize(defs, instance, "crm_contacts", run_config=run_config)
    run_config["ops"]["crm_contacts"]["config"]["reason"] = "a new field"
    accepted = materialize(defs, instance, "crm_contacts", run_config=run_config)

    assert (refused.success, accepted.success) == (False, True)
    assert sync_types(server) == ["full"]


def test_run_config__refused(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """An unknown value is refused before the run starts."""
    defs = FULL.run(0, server)["defs"]
    run_config = {"ops": {"crm_contacts": {"config": {"sync_type": "everything"}}}}

    with pytest.raises(dg.DagsterInvalidConfigError, match="everything"):
        materialize(defs, instance, "crm_contacts", run_config=run_config)

    assert server.starts() == []
