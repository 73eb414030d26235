"""The guide on freshness."""

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.freshness_evaluator import TimeWindowFreshnessPolicyEvaluator
from dagster._core.loader import LoadingContextForTest

from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.docs.guide import CONTACTS, Guide, materialize

GUIDE = Guide("freshness")

KEY = dg.AssetKey("crm_contacts")


@pytest.fixture
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalRudderStack]:
    """A local RudderStack whose clock is some hours behind. A test can choose how many."""
    hours = getattr(request, "param", 24)
    clock = ManualClock(start=time.time() - timedelta(hours=hours).total_seconds())
    with LocalRudderStack(clock=clock) as server:
        server.add_connection(CONTACTS)
        monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
        yield server


@pytest.fixture
def defs(server: LocalRudderStack) -> dg.Definitions:
    """The definitions of the guide."""
    definitions: dg.Definitions = GUIDE.run(0, server)["defs"]
    return definitions


def check(defs: dg.Definitions, instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
    """Run the job of the guide's schedule, and return the result of its only check."""
    schedule = defs.resolve_schedule_def("freshness_schedule")
    job = defs.resolve_job_def(schedule.job_name)
    (evaluation,) = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    return evaluation


def state(defs: dg.Definitions, instance: dg.DagsterInstance) -> str:
    """Return the state of the policy, as Dagster's daemon evaluates it."""
    node: Any = defs.resolve_asset_graph().get(KEY)
    evaluation = TimeWindowFreshnessPolicyEvaluator().evaluate_freshness(
        LoadingContextForTest(instance), node
    )
    return asyncio.run(evaluation).value


def test_no_sync(
    defs: dg.Definitions, instance: dg.DagsterInstance, server: LocalRudderStack
) -> None:
    """Before the first sync, the check fails, and starts none."""
    result = check(defs, instance)

    assert (result.passed, result.description) == (False, "No sync has succeeded yet.")
    assert server.starts() == []
    assert state(defs, instance) == "UNKNOWN"


def test_recent_sync(defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
    """After a sync, the check and the policy pass."""
    materialize(defs, instance, "crm_contacts")

    result = check(defs, instance)

    assert result.passed
    assert result.description == "The last successful sync ended 24.0 h ago."
    assert state(defs, instance) == "PASS"


@pytest.mark.parametrize("script", [SyncScript(rows_total=10, rows_failed=2), SyncScript()])
def test_recent_sync__rows(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    server: LocalRudderStack,
    script: SyncScript,
) -> None:
    """A sync with rejected rows counts, and so does one that had nothing to send."""
    server.set_script(CONTACTS, script)
    materialize(defs, instance, "crm_contacts")

    assert check(defs, instance).passed


def test_failed_sync(
    defs: dg.Definitions, instance: dg.DagsterInstance, server: LocalRudderStack
) -> None:
    """A failed sync does not count."""
    server.set_script(CONTACTS, SyncScript(status="failed"))
    materialize(defs, instance, "crm_contacts")

    assert not check(defs, instance).passed
    assert state(defs, instance) == "UNKNOWN"


@pytest.mark.parametrize("server", [30], indirect=True)
def test_old_sync__stored_today(defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
    """A sync that ended 30 hours ago and was stored today is fresh for the policy only."""
    materialize(defs, instance, "crm_contacts")

    result = check(defs, instance)

    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert state(defs, instance) == "PASS"


def test_deadline() -> None:
    """The policy with a deadline is valid."""
    code = next(line for line in GUIDE.text.splitlines() if "FreshnessPolicy.cron(" in line)

    policy = eval(code.strip("`."), {"dg": dg, "timedelta": timedelta})  # noqa: S307 - our own page

    assert isinstance(policy, dg.FreshnessPolicy)
