"""The commands on the page for people on call, and what they print.

`python -m dagster_rudderstack_tests.docs.test_on_call` writes the output into the page.
"""

import re
import shlex
from pathlib import Path

from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.cli.conftest import TOKEN, CommandLine
from dagster_rudderstack_tests.docs.messages import all_templates, dagster_templates

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "on-call.md"
BLOCK = re.compile(r"```console\n\$ dagster-rudderstack (.*)\n((?:.*\n)*?)```")
CONTACTS = "2hkeBOp0lGJpMPyur0oXUxxIDhw"


def page_with_output() -> str:
    """Return the page, with the output of each command under the command."""
    with (
        LocalRudderStack(TOKEN, clock=ManualClock()) as us,
        LocalRudderStack("another-token", clock=ManualClock()) as eu,
    ):
        rejected = _prepare(us)
        cli = CommandLine(us, eu)

        def with_output(block: re.Match[str]) -> str:
            command = re.sub(r"(failed-rows \S+) \S+", rf"\1 {rejected}", block[1])
            result = cli(*shlex.split(command))
            return f"```console\n$ dagster-rudderstack {command}\n{result.err}{result.out}```"

        return BLOCK.sub(with_output, PAGE.read_text("utf-8"))


def _prepare(server: LocalRudderStack) -> str:
    """Add a connection whose last sync failed. Return its sync that had rejected rows."""
    assert isinstance(server.clock, ManualClock)
    table = {"schema": "analytics", "table": "customers"}
    server.add_source("customers", name="customers", definition="snowflake", config=table)
    server.add_destination("hubspot", name="HubSpot", type="HS")
    script = SyncScript(duration_seconds=45, rows_total=50_000, rows_changed=1200)
    server.add_connection(CONTACTS, "customers", "hubspot", script=script)
    rejected = SyncScript(duration_seconds=45, rows_total=50_000, rows_changed=1200, rows_failed=2)
    rejected_id = server.start_sync(CONTACTS, script=rejected)
    server.clock.advance(3600)
    failed = SyncScript(duration_seconds=45, status="failed", error="API key expired")
    server.start_sync(CONTACTS, script=failed)
    server.clock.advance(3600)
    return rejected_id


def test_commands() -> None:
    """The page shows what the commands print."""
    assert page_with_output() == PAGE.read_text("utf-8")


def test_messages() -> None:
    """The words of the first table are words of the code."""
    table = PAGE.read_text("utf-8").partition("## 1. ")[2].partition("## 2. ")[0]
    phrases = [
        "did not accept the access token",
        "may lack a permission",
        "is disabled in RudderStack",
        "did not answer",
        "no request about it succeeded for",
        "did not end within the timeout",
        "was stopped",
        "is already running",
        "It is unknown whether a run of … was started",
    ]

    of_dagster = re.findall(r"\*([^*]+)\*", table.partition("The words in italics")[0])

    for phrase in phrases:
        assert phrase in table
        assert any(phrase in text for text in all_templates()), phrase
    for phrase in of_dagster:
        assert any(phrase in text for text in dagster_templates()), phrase
    assert len(of_dagster) == 4
    assert table.count("\n|") == len(phrases) + 4 + 3


if __name__ == "__main__":
    PAGE.write_text(page_with_output(), "utf-8")
