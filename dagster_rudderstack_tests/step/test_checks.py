"""All checks of a sync in a step: one connection, groups, selections, retries and own bodies."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    DurationCheck,
    NoRowsCheck,
    NothingChangedCheck,
    RejectedRowsCheck,
    RudderStackResource,
    SyncChecks,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.group import FAILING, add, group, starts
from dagster_rudderstack_tests.step.world import materialized, run

NAMES = ["rejected_rows", "no_rows", "nothing_changed", "duration"]
ALL = SyncChecks(
    rejected_rows=RejectedRowsCheck(),
    no_rows=NoRowsCheck(),
    nothing_changed=NothingChangedCheck(),
    duration=DurationCheck(max_seconds=60),
)
BLOCKING = SyncChecks(
    no_rows=NoRowsCheck(severity="ERROR", blocking=True),
    nothing_changed=NothingChangedCheck(severity="ERROR", blocking=True),
)
RETRY = dg.RetryPolicy(max_retries=1)

GOOD = SyncScript(rows_total=10)
EMPTY = SyncScript(rows_total=0)
REJECTED = SyncScript(rows_total=10, rows_failed=4)
UNCHANGED = SyncScript(rows_total=10, rows_changed=0)


def outcomes(result: dg.ExecuteInProcessResult) -> list[tuple[str, str, bool]]:
    """Return the asset, the name and the outcome of each check that a run evaluated."""
    evaluations = result.get_asset_check_evaluations()
    return [(each.asset_key.to_user_string(), each.check_name, each.passed) for each in evaluations]


@pytest.mark.parametrize(
    ("script", "failed"),
    [
        (GOOD, set()),
        (EMPTY, {"no_rows", "nothing_changed"}),
        (REJECTED, {"rejected_rows"}),
        (UNCHANGED, {"nothing_changed"}),
        (SyncScript(metrics="null"), set()),
    ],
    ids=["good", "empty source", "rejected rows", "nothing changed", "unknown counts"],
)
def test_one_connection(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    script: SyncScript,
    failed: set[str],
) -> None:
    """Each check has its own result. Warnings fail no run, and unknown counts fail no check."""
    add(server, "crm", script=script)
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", checks=ALL)

    result = run([asset], rudderstack, instance)

    assert result.success
    assert outcomes(result) == [("crm", name, name not in failed) for name in NAMES]
    lines = [entry.user_message for entry in instance.all_logs(result.run_id)]
    descriptions = {
        f"crm: {each.description}"
        for each in result.get_asset_check_evaluations()
        if not each.passed
    }
    assert len(descriptions) == len(failed)
    assert descriptions <= set(lines)


def test_group(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A group has one result for each asset and check."""
    add(server, "a", script=GOOD)
    add(server, "b", script=EMPTY)

    result = run([group("a", "b", checks=ALL)], rudderstack, instance)

    assert sorted(outcomes(result)) == sorted(
        [("a", name, True) for name in NAMES]
        + [("b", name, name in ("rejected_rows", "duration")) for name in NAMES]
    )


def test_blocking(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """All blocking checks are reported before they fail the step, and downstream does not run."""
    add(server, "crm", script=EMPTY)
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", checks=BLOCKING)
    ran: list[str] = []

    @dg.asset(deps=["crm"])
    def report() -> None:
        ran.append("report")

    result = run([asset, report], rudderstack, instance)

    assert not result.success
    assert ran == []
    assert materialized(result) == ["crm"]
    assert outcomes(result) == [
        ("crm", "rejected_rows", True),
        ("crm", "no_rows", False),
        ("crm", "nothing_changed", False),
    ]


def test_selection__some_checks(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """With an asset, only its selected checks are evaluated."""
    add(server, "a", "b", script=UNCHANGED)
    chosen = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("a"), "nothing_changed"))
    selection = dg.AssetSelection.assets("a").without_checks() | chosen

    result = run([group("a", "b", checks=ALL)], rudderstack, instance, selection=selection)

    assert materialized(result) == ["a"]
    assert outcomes(result) == [("a", "nothing_changed", False)]


def checks_of_crm(*names: str) -> dg.AssetSelection:
    """Select checks of the asset `crm` without the asset."""
    return dg.AssetSelection.checks(*(dg.AssetCheckKey(dg.AssetKey("crm"), each) for each in names))


def test_selection__check_alone(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A check that is selected without its asset is about the last sync. It starts none."""
    add(server, "crm", script=UNCHANGED)
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", checks=ALL)
    run([asset], rudderstack, instance)

    result = run(
        [asset], rudderstack, instance, selection=checks_of_crm("nothing_changed", "duration")
    )

    assert outcomes(result) == [("crm", "nothing_changed", False), ("crm", "duration", True)]
    assert starts(server) == {"crm": 1}


def test_selection__check_alone__other_materialization(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A materialization that reports no sync, as a person can add in the UI, is passed over."""
    add(server, "crm", script=UNCHANGED)
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", checks=ALL)
    run([asset], rudderstack, instance)
    instance.report_runless_asset_event(dg.AssetMaterialization("crm"))

    result = run([asset], rudderstack, instance, selection=checks_of_crm("nothing_changed"))

    assert outcomes(result) == [("crm", "nothing_changed", False)]


def test_selection__check_alone__no_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A check of an asset that was never synced does not pass. It is a warning, also if the check
    blocks."""
    add(server, "crm")
    checks = SyncChecks(no_rows=NoRowsCheck(severity="ERROR", blocking=True))
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", checks=checks)

    result = run([asset], rudderstack, instance, selection=checks_of_crm("no_rows"))

    (evaluation,) = result.get_asset_check_evaluations()
    assert (evaluation.passed, evaluation.severity.value, result.success) == (False, "WARN", True)
    assert evaluation.description is not None
    assert evaluation.description.startswith("There is no sync to check yet")


def test_step_retry(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If a step fails between two checks of an asset, its retry evaluates all of them, and syncs
    nothing again."""
    add(server, "crm", script=UNCHANGED)
    attempts: list[int] = []

    def fail_between_checks(
        context: dg.AssetExecutionContext,
        sync: Callable[[], Iterator[Any]],
    ) -> Iterator[Any]:
        attempts.append(context.op_execution_context.retry_number)
        for event in sync():
            yield event
            if attempts == [0] and isinstance(event, dg.AssetCheckResult):
                raise RuntimeError("The worker failed.")

    asset = build_rudderstack_sync_asset(
        connection_id="crm",
        spec="crm",
        checks=ALL,
        execute=fail_between_checks,
        retry_policy=RETRY,
    )
    result = run([asset], rudderstack, instance)

    assert (result.success, attempts) == (True, [0, 1])
    assert starts(server) == {"crm": 1}
    assert materialized(result) == ["crm"]
    last = {name: passed for _, name, passed in outcomes(result)}
    assert last == {name: name != "nothing_changed" for name in NAMES}
    assert len(outcomes(result)) == 1 + len(NAMES)


def test_group_retry(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A retry because of another sync evaluates all checks again, so that each still blocks."""
    add(server, "empty", script=EMPTY)
    add(server, "b", script=GOOD)
    server.script_next("b", FAILING)

    step = group("empty", "b", checks=BLOCKING, retry_policy=RETRY)
    result = run([step], rudderstack, instance)

    assert not result.success
    assert starts(server) == {"empty": 1, "b": 2}
    assert sorted(materialized(result)) == ["b", "empty"]
    last = {(key, name): passed for key, name, passed in outcomes(result)}
    assert [name for (key, name), passed in last.items() if not passed] == [
        "no_rows",
        "nothing_changed",
    ]


def test_own_body(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A body that syncs twice gets each result once, as does one that replaces a result."""
    add(server, "crm", script=UNCHANGED)

    def body(
        _context: dg.AssetExecutionContext,
        _rudderstack: RudderStackResource,
        sync: Callable[[], Iterator[Any]],
    ) -> Iterator[Any]:
        yield dg.AssetCheckResult(asset_key="crm", check_name="nothing_changed", passed=True)
        yield from sync()
        yield from sync()

    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", checks=ALL, execute=body)
    result = run([asset], rudderstack, instance)

    assert result.success
    assert sorted(outcomes(result)) == sorted(("crm", name, True) for name in NAMES)


def test_disabled__skip(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """No check of a disabled connection that is skipped is evaluated, blocking ones included."""
    server.add_connection("crm", enabled=False)
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="crm", checks=BLOCKING, on_disabled="skip"
    )

    result = run([asset], rudderstack, instance)

    assert (result.success, outcomes(result)) == (True, [])


def test_failed_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A failed sync evaluates no check: its step fails with the reason."""
    add(server, "crm", script=FAILING)
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", checks=ALL)

    result = run([asset], rudderstack, instance)

    assert (result.success, outcomes(result)) == (False, [])
