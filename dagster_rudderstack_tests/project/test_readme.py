"""The example and the claims of the README."""

import re
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RejectedRowsCheck,
    RudderStackMetadataSet,
    RudderStackResource,
    SyncChecks,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.project import pages
from dagster_rudderstack_tests.project.pages import (
    CONNECTION,
    README,
    ROOT,
    broken_links,
    executed,
    local,
)


@pytest.fixture
def server(documented: LocalRudderStack) -> LocalRudderStack:
    """A local RudderStack with the connection of the README."""
    return documented


# Examples


def test_smallest_example(server: LocalRudderStack) -> None:
    """It loads without the token. With the token, it syncs its connection."""
    example = executed(pages.block("The smallest example", "python"))
    dg.Definitions.validate_loadable(example["defs"])

    result = dg.materialize([example["crm_contacts"]], resources={"rudderstack": local(server)})

    (materialization,) = result.asset_materializations_for_node("crm_contacts")
    keys = ["ROWS_TOTAL", "ROWS_CHANGED", "ROWS_SUCCEEDED", "ROWS_FAILED"]
    counts = [materialization.metadata[getattr(MetadataKey, key)].value for key in keys]
    assert counts == [100, 20, 17, 3]
    assert len(result.get_asset_check_evaluations()) == 1


def test_smallest_example__address() -> None:
    """It uses RudderStack in the US, and the token from the environment."""
    example = executed(pages.block("The smallest example", "python"))

    resource = example["defs"].resources["rudderstack"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", "a-token")
        with resource as rudderstack:
            assert rudderstack.access_token == "a-token"
            assert (rudderstack.region, rudderstack.api_url) == (None, None)


@pytest.mark.parametrize("language", ["python", "yaml", "sh"])
def test_every_example_is_tested(language: str) -> None:
    """Each example of the README has a test here."""
    count = len(pages.blocks_of(README.read_text(), language))

    assert count == {"python": 1, "yaml": 0, "sh": 2}[language]


def test_commands_of_make() -> None:
    """The README's commands are targets of the Makefile."""
    commands = re.findall(r"make ([a-z-]+)", pages.section("Try it"))
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert commands
    assert set(commands) <= set(targets)


def test_links() -> None:
    """The targets of the links exist."""
    assert broken_links(README) == []


# What happens when something goes wrong

Scenario = Callable[[LocalRudderStack], None]
SCENARIOS: dict[str, Scenario] = {}

TESTED_ELSEWHERE = {
    # This needs a real process.
    "A person cancels the run": "dagster_rudderstack_tests/processes/test_cancel.py",
}


def scenario(claim: str) -> Callable[[Scenario], Scenario]:
    """Register a scenario for the row of the table that it tests."""

    def register(function: Scenario) -> Scenario:
        SCENARIOS[claim] = function
        return function

    return register


def sync(
    server: LocalRudderStack, settings: dict[str, Any] | None = None, **choices: Any
) -> dg.ExecuteInProcessResult:
    """Materialize an asset of the connection."""
    asset = build_rudderstack_sync_asset(connection_id=CONNECTION, spec="contacts", **choices)
    resources = {"rudderstack": local(server, **settings or {})}
    return dg.materialize([asset], resources=resources, raise_on_error=False)


def failure(result: dg.ExecuteInProcessResult) -> Any:
    """Return the failure of the step."""
    (event,) = (event for event in result.all_events if event.is_step_failure)
    return event.step_failure_data.user_failure_data


def origins(result: dg.ExecuteInProcessResult) -> list[Any]:
    materializations = result.asset_materializations_for_node("contacts")
    return [RudderStackMetadataSet.extract(each.metadata).origin for each in materializations]


@scenario("RudderStack says that the sync failed")
def failed_sync(server: LocalRudderStack) -> None:
    bad = SyncScript(status="failed", error="no such table", rows_total=10, rows_succeeded=4)
    server.script_next(CONNECTION, bad, bad)

    failed = failure(sync(server))
    retried = sync(server, retry_policy=dg.RetryPolicy(max_retries=1))

    assert "no such table" in failed.description
    assert failed.metadata[MetadataKey.SYNC_ID].value == server.syncs()[0].id
    assert failed.metadata[MetadataKey.ROWS_SUCCEEDED].value == 4
    assert retried.success
    assert len(server.starts()) == 3


@scenario("The sync ends with an unknown status, or someone stops it")
def unknown_status(server: LocalRudderStack) -> None:
    for status in ("Completed, with failures", "Aborted"):
        server.script_next(CONNECTION, SyncScript(status=status))

        result = sync(server)

        assert status in failure(result).description
        assert origins(result) == []


@scenario("The destination rejects rows")
def rejected_rows(server: LocalRudderStack) -> None:
    result = sync(server)
    strict = RejectedRowsCheck(max_failed_rows=2, severity="ERROR", blocking=True)
    failed = sync(server, checks=SyncChecks(rejected_rows=strict))
    lenient = RejectedRowsCheck(max_failed_rows=3)
    within_limits = sync(server, checks=SyncChecks(rejected_rows=lenient))

    (check,) = result.get_asset_check_evaluations()
    (event,) = result.get_asset_materialization_events()
    assert (result.success, len(origins(result))) == (True, 1)
    for metadata in (check.metadata, event.materialization.metadata):
        assert "sync_log" in str(metadata[MetadataKey.FAILED_ROWS_SQL].value)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert not failed.success
    assert within_limits.get_asset_check_evaluations()[0].passed


@scenario("The answer to the start is lost")
def lost_answer(server: LocalRudderStack) -> None:
    server.add_fault(Fault("reset", operation="start", effect=True))

    result = sync(server)

    assert origins(result) == ["adopted"]
    assert len(server.syncs()) == 1


@scenario("RudderStack cannot be reached while the sync runs")
def outage(server: LocalRudderStack) -> None:
    server.add_fault(Fault("status", status=503, operation="get_sync", times=1))

    result = sync(server)

    assert origins(result) == ["started"]
    assert RudderStackResource.model_fields["outage_tolerance_seconds"].default == 45 * 60


@scenario("A sync of the connection is already running")
def running_already(server: LocalRudderStack) -> None:
    other = SyncScript(duration_seconds=1.5)

    server.start_sync(CONNECTION, "dashboard", script=other)
    waited = sync(server)
    other_sync, own_sync = server.syncs()
    server.start_sync(CONNECTION, "dashboard", script=other)
    attached = sync(server, on_running_sync="attach")
    server.start_sync(CONNECTION, "dashboard", script=SyncScript(never_ends=True))
    refused = sync(server, on_running_sync="fail")

    assert other_sync.finished_at is not None
    assert other_sync.finished_at <= own_sync.started_at
    assert origins(waited) == ["started"]
    assert origins(attached) == ["attached"]
    assert "already running" in failure(refused).description
    assert len(server.starts()) == 1


@scenario("The worker dies, or the step is retried")
def retried_step(server: LocalRudderStack) -> None:
    server.set_script(CONNECTION, SyncScript(duration_seconds=0.5))
    server.add_fault(Fault("status", status=503, operation="get_sync", times=1))

    impatient = {"outage_tolerance_seconds": 0}
    result = sync(server, impatient, retry_policy=dg.RetryPolicy(max_retries=1))

    assert origins(result) == ["resumed"]
    assert len(server.starts()) == 1


@scenario("The sync takes longer than a day")
def timeout(server: LocalRudderStack) -> None:
    server.set_script(CONNECTION, SyncScript(never_ends=True))

    result = sync(server, {"sync_timeout_seconds": 1})

    assert not result.success
    assert len(server.stops()) == 1
    assert RudderStackResource.model_fields["sync_timeout_seconds"].default == 24 * 3600


@scenario("The connection is disabled")
def disabled(server: LocalRudderStack) -> None:
    server.update_connection(CONNECTION, enabled=False)

    failed = sync(server)
    skipped = sync(server, on_disabled="skip")

    assert "disabled" in failure(failed).description
    assert (skipped.success, origins(skipped)) == (True, [])
    assert server.starts() == []


@scenario("The token is refused (401)")
def refused_token(server: LocalRudderStack) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", "another-token")
        # The 15 seconds are tested in `sync/test_api_facts.py`.
        refused = sync(server, {"request_max_retries": 0}, retry_policy=dg.RetryPolicy())

    assert "right address (api_url)" in failure(refused).description
    assert [event for event in refused.all_events if event.is_step_up_for_retry]


@scenario("The token lacks a permission (403)")
def forbidden(server: LocalRudderStack) -> None:
    server.deny("not allowed", operation="start")

    result = sync(server, retry_policy=dg.RetryPolicy(max_retries=3))

    assert "RudderStack says: not allowed" in failure(result).description
    assert re.search("Edit.*Connect", failure(result).description)
    assert failure(result).metadata is not None
    assert not [event for event in result.all_events if event.is_step_up_for_retry]


@pytest.mark.parametrize(
    "claim", [row[0] for row in pages.rows("What happens when something goes wrong")]
)
def test_what_happens(claim: str, server: LocalRudderStack) -> None:
    """Each row of the table is correct."""
    if claim in TESTED_ELSEWHERE:
        assert (ROOT / TESTED_ELSEWHERE[claim]).exists()
    else:
        SCENARIOS[claim](server)


# Security


def test_token_in_code(caplog: pytest.LogCaptureFixture) -> None:
    """A token in code gives a warning, which does not contain the token."""
    resource = RudderStackResource(access_token="a-secret-token")

    dg.Definitions(resources={"rudderstack": resource}).get_repository_def()

    assert "EnvVar" in caplog.text
    assert "a-secret-token" not in caplog.text + repr(resource)


def test_token_goes_over_https_only() -> None:
    """Plain http is refused except for this machine."""
    with pytest.raises(ValueError, match="use https"):
        RudderStackResource(access_token="a-token", api_url="http://rudderstack.example.com")


def test_token_follows_no_redirect(server: LocalRudderStack) -> None:
    """The target of a redirect gets no request."""
    with LocalRudderStack(access_token=server.access_token) as elsewhere:
        location = f"{elsewhere.url}/v2/retl-connections/{CONNECTION}"
        server.add_fault(Fault("redirect", status=307, location=location, times=None))

        result = sync(server, {"request_max_retries": 0})

        assert not result.success
        assert elsewhere.requests == []
