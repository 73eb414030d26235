"""The guide on checks: its example has the checks of its table, and they say what it says."""

import re
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack.testing import LocalRudderStack, ScaledClock, SyncScript
from dagster_rudderstack_tests.docs.guide import CONTACTS, Guide, materialize

GUIDE = Guide("checks")

ROWS: list[tuple[str, str]] = re.findall(
    r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|$", GUIDE.text, re.MULTILINE
)
BAD_SYNCS = {
    "rejected_rows": SyncScript(rows_total=226, rows_failed=4),
    "no_rows": SyncScript(rows_total=0),
    "nothing_changed": SyncScript(rows_total=100, rows_changed=0),
    "duration": SyncScript(rows_total=100, duration_seconds=3900),
}


@pytest.mark.parametrize(("name", "words"), ROWS)
def test_bad_sync(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    """The result of each check says what the table says. Only `no_rows` fails the run."""
    with LocalRudderStack(clock=ScaledClock(scale=10_000)) as server:
        monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
        server.add_connection(CONTACTS, script=BAD_SYNCS[name])
        result = materialize(GUIDE.run(0, server)["defs"], instance)

    evaluations = {each.check_name: each for each in result.get_asset_check_evaluations()}
    assert list(evaluations) == [row for row, _ in ROWS] == list(BAD_SYNCS)
    # 4 rejected rows are within the limit of the example.
    assert evaluations[name].passed is (name == "rejected_rows")
    assert (evaluations[name].description or "").startswith(words)
    assert result.success is (name != "no_rows")


def test_execute(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """Executing a check on its own evaluates the last materialization, and starts no sync."""
    server.set_script(CONTACTS, SyncScript(rows_total=226, rows_failed=6))
    page: dict[str, Any] = GUIDE.run(0, server)
    materialize(page["defs"], instance)
    key = dg.AssetCheckKey(dg.AssetKey("crm_contacts"), "rejected_rows")

    result = dg.materialize(
        [page["crm_contacts"]],
        instance=instance,
        resources=page["defs"].resources,
        selection=dg.AssetSelection.checks(key),
    )

    (evaluation,) = result.get_asset_check_evaluations()
    assert not evaluation.passed
    assert len(server.starts()) == 1
