"""A server that means no good: its words do no harm, and the token is nowhere."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript

TOKEN = "very-secret-token-0123456789"
NASTY = (
    "\x1b[31mred\x1b[0m \x00\x07 \r\n[2026-01-01] forged line\r\n \u202e <script>alert(1)</script> "
    "![x](http://evil/) " + TOKEN
)


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRudderStack]:
    """A server whose token comes from the environment."""
    monkeypatch.setenv("HOSTILE_TOKEN", TOKEN)
    with LocalRudderStack(access_token=TOKEN) as server:
        yield server


@pytest.fixture
def everything_logged() -> Iterator[io.StringIO]:
    """All that any logger says, at its lowest level."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(level)
    root.removeHandler(handler)


def fail(server: LocalRudderStack, home: Path) -> dg.ExecuteInProcessResult:
    """Materialize an asset in an instance whose files lie in a folder, and expect a failure."""
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")
    resource = RudderStackResource(
        access_token=dg.EnvVar("HOSTILE_TOKEN"), api_url=server.url, request_max_retries=1
    )
    with dg.instance_for_test(
        temp_dir=str(home), overrides={"python_logs": {"managed_python_loggers": ["root"]}}
    ) as instance:
        result = dg.materialize(
            [asset],
            resources={"rudderstack": resource},
            instance=instance,
            raise_on_error=False,
        )
    assert not result.success
    return result


def description(result: dg.ExecuteInProcessResult) -> str:
    """Return the reason as the run's page has it."""
    (event,) = (event for event in result.all_events if event.is_step_failure)
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return data.description or ""


def stored(home: Path) -> bytes:
    """Return all that Dagster keeps of a run: its databases and the output of its steps."""
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "trouble",
    [
        SyncScript(status="failed", error=NASTY),
        SyncScript(status=NASTY),
        Fault("status", status=500, body=NASTY, times=None),
        Fault("status", status=403, body=json.dumps({"error": NASTY}), times=None),
        Fault("status", status=401, body=f"<html><body>{NASTY}</body></html>", times=None),
        Fault("body", body=NASTY, times=None),
        Fault("huge", times=None),
        Fault("redirect", times=None),
    ],
    ids=["error", "status", "500", "403", "401", "200", "10 MB", "redirect"],
)
def test_hostile_words(
    trouble: SyncScript | Fault,
    hostile: LocalRudderStack,
    tmp_path: Path,
    everything_logged: io.StringIO,
) -> None:
    """Control characters, markup, 10 MB and our own token: one short clean line is shown."""
    hostile.add_connection("crm", script=trouble if isinstance(trouble, SyncScript) else None)
    if isinstance(trouble, Fault):
        hostile.add_fault(trouble)

    shown = description(fail(hostile, tmp_path))

    assert len(shown) < 2_000
    assert shown.isprintable()
    logged, files = everything_logged.getvalue(), stored(tmp_path)
    assert "send_request_headers" in logged
    assert b"STEP_FAILURE" in files
    assert TOKEN not in logged
    assert TOKEN.encode() not in files
