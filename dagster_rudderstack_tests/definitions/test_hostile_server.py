"""A hostile server: its text is shown safely, and it cannot make us leak the token."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript

TOKEN = "very-secret-token-0123456789"
HOSTILE_TEXT = (
    "\x1b[31mred\x1b[0m \x00\x07 \r\n[2026-01-01] forged line\r\n \u202e <script>alert(1)</script> "
    "![x](http://evil/) " + TOKEN
)


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRudderStack]:
    """A server whose token is in an environment variable."""
    monkeypatch.setenv("HOSTILE_TOKEN", TOKEN)
    with LocalRudderStack(access_token=TOKEN) as server:
        yield server


def fail(server: LocalRudderStack, home: Path) -> dg.ExecuteInProcessResult:
    """Materialize an asset in an instance with its files in `home`, and expect a failure."""
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
    """Return the reason that the run page shows."""
    (event,) = (event for event in result.all_events if event.is_step_failure)
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return data.description or ""


def stored(home: Path) -> bytes:
    """Return the content of all files of Dagster: its databases and the output of its steps."""
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "cause",
    [
        SyncScript(status="failed", error=HOSTILE_TEXT),
        SyncScript(status=HOSTILE_TEXT),
        Fault("status", status=500, body=HOSTILE_TEXT, times=None),
        Fault("status", status=403, body=json.dumps({"error": HOSTILE_TEXT}), times=None),
        Fault("status", status=401, body=f"<html><body>{HOSTILE_TEXT}</body></html>", times=None),
        Fault("body", body=HOSTILE_TEXT, times=None),
        Fault("huge", times=None),
        Fault("redirect", times=None),
    ],
    ids=["error text", "status text", "500", "403", "401", "200", "10 MB", "redirect"],
)
def test_hostile_text(
    cause: SyncScript | Fault,
    hostile: LocalRudderStack,
    tmp_path: Path,
    logged: io.StringIO,
) -> None:
    """A failure is one short, printable line, and no log and no file has the token, even if the
    server sends control characters, markup, 10 MB or the token itself."""
    hostile.add_connection("crm", script=cause if isinstance(cause, SyncScript) else None)
    if isinstance(cause, Fault):
        hostile.add_fault(cause)

    shown = description(fail(hostile, tmp_path))

    assert len(shown) < 2_000
    assert shown.isprintable()
    output, files = logged.getvalue(), stored(tmp_path)
    assert "send_request_headers" in output
    assert b"STEP_FAILURE" in files
    assert TOKEN not in output
    assert TOKEN.encode() not in files
