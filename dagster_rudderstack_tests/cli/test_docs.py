"""The commands on the page of the command line, and what they print.

`python -m dagster_rudderstack_tests.cli.test_docs` writes the output into the page.
"""

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dagster_rudderstack.cli.arguments import COMMANDS
from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.cli.conftest import TOKEN, CommandLine

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
BLOCK = re.compile(r"```console\n\$ dagster-rudderstack (.*)\n((?:.*\n)*?)```")
CONTACTS, AUDIENCE = "2hkeBOp0lGJpMPyur0oXUxxIDhw", "2hkeBWdTkWWcBlbJyvsrqGdfGbe"


def page_with_output() -> str:
    """Return the page, with the output of each command under the command."""
    with (
        LocalRudderStack(TOKEN, clock=ManualClock()) as us,
        LocalRudderStack("another-token", clock=ManualClock()) as eu,
    ):
        prepare(us)
        cli = CommandLine(us, eu)

        def with_output(block: re.Match[str]) -> str:
            with in_an_empty_folder():
                result = cli(*shlex.split(block[1]))
            return f"```console\n$ dagster-rudderstack {block[1]}\n{result.err}{result.out}```"

        return BLOCK.sub(with_output, PAGE.read_text())


@contextmanager
def in_an_empty_folder() -> Iterator[None]:
    """Let commands that write a file leave none behind."""
    before = Path.cwd()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def prepare(server: LocalRudderStack) -> None:
    """Add the connections of the page."""
    assert isinstance(server.clock, ManualClock)
    table = {"schema": "analytics", "table": "customers"}
    server.add_source("customers", name="customers", definition="snowflake", config=table)
    server.add_source("active_users", name="active users", definition="snowflake", config=table)
    server.add_destination("hubspot", name="HubSpot", type="HS")
    server.add_destination("google_ads", name="Google Ads", type="GOOGLE_ADS")
    script = SyncScript(duration_seconds=45, rows_total=50_000, rows_changed=1200, rows_failed=2)
    server.add_connection(CONTACTS, "customers", "hubspot", script=script)
    schedule = {"type": "basic", "everyMinutes": 60}
    server.add_connection(AUDIENCE, "active_users", "google_ads", enabled=False, schedule=schedule)
    server.start_sync(CONTACTS)
    server.clock.advance(3600)


def test_page() -> None:
    """The page shows what the commands print."""
    assert PAGE.read_text() == page_with_output()


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command(command: str) -> None:
    """Each command has an example, with its keys in the table."""
    page = PAGE.read_text()

    assert f"$ dagster-rudderstack {command}" in page
    assert f"| `{command}` | `" in page


def test_keys(cli: CommandLine, us: LocalRudderStack, tmp_path: Path) -> None:
    """The table has the keys of each document, and of the objects in it."""
    sync_id = us.start_sync("crm-contacts")
    rows = dict(
        re.findall(r"^\| (?:`([^`|]+)`|a sync) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    )
    shown = {
        command: cli(*arguments, "--json").json
        for command, arguments in {
            "check": ["check"],
            "connections": ["connections"],
            "syncs": ["syncs", "crm-contacts"],
            "sync": ["sync", "crm-contacts"],
            "stop": ["stop", "crm-contacts"],
            "failed-rows": ["failed-rows", "crm-contacts", sync_id],
            "snapshot": ["snapshot", str(tmp_path / "crm.json")],
        }.items()
    }
    inner = {
        "check": shown["check"]["findings"],
        "connections": shown["connections"]["connections"],
    }

    for command, content in shown.items():
        keys = [*content, *(inner[command][0] if command in inner else ())]
        assert re.findall(r"`(\w+)`", rows[command]) == keys
    assert re.findall(r"`(\w+)`", rows[""]) == list(shown["sync"]["sync"])


if __name__ == "__main__":
    PAGE.write_text(page_with_output())
