"""The page on alerts: its example has the checks of its table."""

import dagster as dg
import pytest

from dagster_rudderstack.testing import LocalRudderStack, ScaledClock, SyncScript
from dagster_rudderstack_tests.project import pages

PAGE = pages.DOCS / "guides" / "alerts.md"
ALERTS = {row[0].strip("`"): row[2] for row in pages.rows("Alerts", PAGE)}
BAD_SYNCS = {
    "rejected_rows": SyncScript(rows_total=226, rows_failed=4),
    "no_rows": SyncScript(rows_total=0),
    "nothing_changed": SyncScript(rows_total=100, rows_changed=0),
    "duration": SyncScript(rows_total=100, duration_seconds=3900),
}


@pytest.mark.parametrize("name", ALERTS)
def test_alerts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example has the checks of the table, whose results say what the table says."""
    example = pages.executed(pages.block("Alerts", "python", PAGE), PAGE)
    with LocalRudderStack(clock=ScaledClock(scale=10_000)) as server:
        monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
        server.add_connection(pages.CONNECTION, script=BAD_SYNCS[name])
        resources = {"rudderstack": pages.local(server)}
        result = dg.materialize(
            [example["crm_contacts"]], resources=resources, raise_on_error=False
        )

    evaluations = {each.check_name: each for each in result.get_asset_check_evaluations()}
    assert list(evaluations) == list(ALERTS)
    assert (evaluations[name].description or "").startswith(ALERTS[name])
    assert result.success is (name != "no_rows")
