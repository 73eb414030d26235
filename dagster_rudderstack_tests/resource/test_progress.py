"""The progress that a person sees outside Dagster, on a real terminal and in a real notebook."""

import contextlib
import io
import itertools
import os
import pty
import re
import sys
from collections.abc import Iterator
from queue import Empty
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.testing import LocalRudderStack, RunScript, SyncScript
from dagster_rudderstack_tests.resource.world import resource_for

LOG = dg.get_dagster_logger("rudderstack")
ROWS = SyncScript(duration_seconds=40, rows_total=2021, rows_changed=2000, rows_failed=3)


@pytest.fixture
def slow() -> Iterator[LocalRudderStack]:
    """A RudderStack whose clock advances by a second whenever it is read."""
    with LocalRudderStack(clock=itertools.count(1_767_571_200.0).__next__) as server:
        server.add_connection("crm", script=ROWS)
        yield server


@pytest.fixture
def without_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """No handler of a log, as in a new process. pytest adds its own to each logger."""
    monkeypatch.setattr(LOG, "hasHandlers", lambda: False)


@contextlib.contextmanager
def terminal() -> Iterator[list[str]]:
    """Make a pseudo-terminal the standard error of a block, and list the lines written to it."""
    lines: list[str] = []
    reader, writer = pty.openpty()
    end = b"\x04"
    with os.fdopen(writer, "w") as stream:
        with contextlib.redirect_stderr(stream):
            yield lines
        stream.write(end.decode())
        stream.flush()
        written = b""
        while not written.endswith(end):
            written += os.read(reader, 65536)
    os.close(reader)
    lines += written[: -len(end)].decode().splitlines()


# --- on a terminal


def test_terminal(without_logging: None, slow: LocalRudderStack) -> None:
    """On a terminal, each change of a sync is a line, and the last one says how it ended."""
    with terminal() as lines, resource_for(slow) as rudderstack:
        report = rudderstack.sync_and_poll("crm")

    first, *others, last = lines
    assert first.startswith(f"Sync {report.id}: running (")
    assert others
    assert all(re.search(r"\d rows? delivered, .* % of the changed rows done", e) for e in others)
    assert len({first, *others, last}) == len(others) + 2
    assert last.startswith(f"Sync {report.id}: succeeded (1,997 rows delivered, 3 rows rejected")


def test_terminal__another_sync_runs(without_logging: None, slow: LocalRudderStack) -> None:
    """The first line says that a sync which is already running is waited for."""
    running = slow.start_sync("crm")
    with terminal() as lines, resource_for(slow) as rudderstack:
        report = rudderstack.sync_and_poll("crm")

    assert lines[0].startswith(f"Sync {running} of connection crm is already running. Waiting")
    assert lines[-1].startswith(f"Sync {report.id}: succeeded (")


def test_terminal__run(without_logging: None, slow: LocalRudderStack) -> None:
    """A run of a Profiles project shows its changes as well."""
    slow.add_project("profiles", RunScript(duration_seconds=20))
    with terminal() as lines, resource_for(slow) as rudderstack:
        report = rudderstack.run_source_and_poll("profiles")

    assert [re.sub(r" \(.*", "", line) for line in lines] == [
        f"Run {report.id}: running",
        f"Run {report.id}: {report.status}",
    ]


def test_terminal__poll_sync(without_logging: None, slow: LocalRudderStack) -> None:
    """`poll_sync` shows the changes of the sync that it waits for."""
    with terminal() as lines, resource_for(slow) as rudderstack:
        sync_id = rudderstack.start_sync("crm")
        rudderstack.poll_sync("crm", sync_id)

    assert lines[-1].startswith(f"Sync {sync_id}: succeeded (")


def test_terminal__turned_off(without_logging: None, server: LocalRudderStack) -> None:
    """With `show_progress=False`, a terminal stays empty."""
    with terminal() as lines, resource_for(server) as rudderstack:
        rudderstack.sync_and_poll("crm", show_progress=False)

    assert lines == []


def test_terminal__with_logging(server: LocalRudderStack, caplog: pytest.LogCaptureFixture) -> None:
    """If the program has set up a log, that has the progress, and the terminal does not."""
    with terminal() as lines, resource_for(server) as rudderstack:
        rudderstack.sync_and_poll("crm")

    assert lines == []
    assert "succeeded (" in caplog.text


def test_terminal__in_dagster(without_logging: None, server: LocalRudderStack) -> None:
    """In a Dagster step, the log of the step has the progress, also if the call asks for it."""

    @dg.asset
    def own(rudderstack: RudderStackResource) -> None:
        rudderstack.sync_and_poll("crm", show_progress=True)

    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm_contacts")
    resources = {"rudderstack": resource_for(server)}
    with terminal() as lines:
        result = dg.materialize([own, asset], resources=resources)

    assert result.success
    assert not [line for line in lines if line.startswith("Sync ")]


# --- elsewhere


def test_pipe(
    without_logging: None, server: LocalRudderStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a program without a terminal, nothing is shown unless that is asked for."""
    with resource_for(server) as rudderstack:
        rudderstack.sync_and_poll("crm")
        assert capsys.readouterr().err == ""
        rudderstack.sync_and_poll("crm", show_progress=True)

    assert "succeeded (4 rows delivered, 1 row rejected" in capsys.readouterr().err


@pytest.mark.parametrize("is_closed", [True, False])
def test_no_standard_error(
    is_closed: bool, server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standard error that is closed or missing fails no sync."""
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream if is_closed else None)
    with resource_for(server) as rudderstack:
        for show_progress in (None, True):
            assert rudderstack.sync_and_poll("crm", show_progress=show_progress).rows_failed == 1


# --- in a notebook


class Notebook:
    """A real Jupyter kernel with a resource."""

    def __init__(self, client: Any, manager: Any) -> None:
        self._client = client
        self.manager = manager

    def run(self, code: str) -> list[dict[str, Any]]:
        """Run a cell and return the messages about it until it ends."""
        sent = self.send(code)
        return list(self.messages(sent))

    def send(self, code: str) -> str:
        """Run a cell without waiting for it."""
        sent: str = self._client.execute(code)
        return sent

    def messages(self, sent: str) -> Iterator[dict[str, Any]]:
        """The messages about a cell until it ends."""
        while True:
            try:
                message: dict[str, Any] = self._client.get_iopub_msg(timeout=60)
            except Empty:
                pytest.fail("The kernel does not answer.")
            if message["parent_header"].get("msg_id") != sent:
                continue
            yield message
            if message["content"].get("execution_state") == "idle":
                return


@pytest.fixture(scope="module")
def kernel() -> Iterator[Notebook]:
    """A notebook."""
    jupyter = pytest.importorskip("jupyter_client.manager")
    pytest.importorskip("ipykernel")
    manager, client = jupyter.start_new_kernel(kernel_name="python3")
    try:
        yield Notebook(client, manager)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def cell(server: LocalRudderStack, call: str) -> str:
    return (
        "from dagster_rudderstack import RudderStackResource\n"
        f"with RudderStackResource(access_token={server.access_token!r}, api_url={server.url!r}, "
        "poll_min_interval_seconds=0.05) as rudderstack:\n"
        f"    report = {call}\n"
    )


@pytest.mark.processes
def test_notebook(kernel: Notebook, slow: LocalRudderStack) -> None:
    """In a notebook, one progress bar is updated, and is full when the sync has ended."""
    messages = kernel.run(cell(slow, "rudderstack.sync_and_poll('crm')"))

    shown = [each for each in messages if each["msg_type"] == "display_data"]
    updates = [each for each in messages if each["msg_type"] == "update_display_data"]
    ids = {each["content"]["transient"]["display_id"] for each in [*shown, *updates]}
    assert (len(shown), len(ids)) == (1, 1)
    assert '<progress max="100"' in shown[0]["content"]["data"]["text/html"]
    last = updates[-1]["content"]["data"]
    assert last["text/html"].startswith('<progress max="100" value="100"></progress> Sync ')
    assert "succeeded (1,997 rows delivered" in last["text/plain"]
    assert not [each for each in messages if each["msg_type"] in ("stream", "error")]


@pytest.mark.processes
def test_notebook__interrupted(kernel: Notebook, server: LocalRudderStack) -> None:
    """If the kernel is interrupted, the cell says how to stop the sync, which goes on."""
    server.set_script("crm", SyncScript(never_ends=True))
    sent = kernel.send(cell(server, "rudderstack.sync_and_poll('crm')"))

    messages = []
    for message in kernel.messages(sent):
        messages.append(message)
        if message["msg_type"] == "display_data":
            kernel.manager.interrupt_kernel()

    text = "".join(each["content"].get("text", "") for each in messages)
    command = f"dagster-rudderstack stop crm --api-url {server.url}"
    assert f"is left running. To stop it, run `{command}`" in text
    assert server.stops("crm") == []
