"""`python -m dagster_rudderstack` and the console script, as processes."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.project.test_packaging import pyproject

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
MODULE = [sys.executable, "-W", "error:::dagster_rudderstack", "-m", "dagster_rudderstack"]
NEVER_ENDS = SyncScript(never_ends=True, duration_seconds=100, rows_total=1000)


def console_script() -> list[str]:
    """Return a command that does what the installed script does."""
    module, _, function = pyproject()["project"]["scripts"]["dagster-rudderstack"].partition(":")
    code = f"import sys; from {module} import {function}; sys.exit({function}())"
    return [sys.executable, "-c", code]


@pytest.fixture
def server() -> Iterator[LocalRudderStack]:
    """A local RudderStack in real time."""
    with LocalRudderStack("rst-0123456789abcdefghij") as server:
        server.add_connection("crm-contacts")
        yield server
        assert server.errors == []


@pytest.fixture
def environ(server: LocalRudderStack) -> dict[str, str]:
    """The environment of the processes."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "RUDDERSTACK_ACCESS_TOKEN": server.access_token,
        "RUDDERSTACK_API_URL": server.url,
    }


@pytest.mark.parametrize("command", [MODULE, console_script()], ids=["module", "script"])
def test_check(command: list[str], environ: dict[str, str]) -> None:
    """Both ways to run the command print the same."""
    done = subprocess.run(
        [*command, "check", "crm-contacts"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok       token        RUDDERSTACK_ACCESS_TOKEN is accepted")
    assert done.stdout.endswith("\nNo problem.\n")


@pytest.mark.parametrize("command", [MODULE, console_script()], ids=["module", "script"])
def test_exit_code(command: list[str], environ: dict[str, str], server: LocalRudderStack) -> None:
    """The exit code of the process is that of the command, and no traceback is printed."""
    server.set_script("crm-contacts", SyncScript(status="failed", error="no"))

    done = subprocess.run(
        [*command, "sync", "crm-contacts"], env=environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: Sync ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["connections"], ["sync", "crm-contacts"]], ids=" ".join)
def test_closed_pipe(environ: dict[str, str], arguments: list[str]) -> None:
    """If the reader of the output has seen enough, the command goes on quietly to its result."""
    with subprocess.Popen(
        [*MODULE, *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()

    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("failed", 1)])
def test_closed_pipes(
    environ: dict[str, str],
    server: LocalRudderStack,
    status: Literal["succeeded", "failed"],
    code: int,
) -> None:
    """The exit code is that of the sync, also if nothing reads the errors."""
    server.set_script("crm-contacts", SyncScript(status=status))
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [*MODULE, "sync", "crm-contacts"], env=environ, stdout=writer, stderr=writer, check=False
    )
    os.close(writer)

    assert done.returncode == code


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Only Linux has /dev/full")
def test_full_disk(environ: dict[str, str]) -> None:
    """If the output cannot be written, one warning says so. The sync goes on to its result."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*MODULE, "sync", "crm-contacts"],
            env=environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert (done.returncode, done.stderr) == (
        0,
        "warning: The output cannot be written: [Errno 28] No space left on device.\n",
    )


def test_ascii_terminal(environ: dict[str, str], server: LocalRudderStack) -> None:
    """A name that the terminal cannot show does not end the command."""
    server.add_source("src", name="Kundenübersicht 顧客")
    server.add_connection("crm-contacts", "src")

    done = subprocess.run(
        [*MODULE, "connections"],
        env={**environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "Kunden?bersicht ??" in done.stdout


def test_ctrl_c(environ: dict[str, str], server: LocalRudderStack) -> None:
    """Ctrl-C on a terminal stops the sync, says so, and shows no traceback."""
    server.set_script("crm-contacts", NEVER_ENDS)
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [*MODULE, "sync", "crm-contacts"], env=environ, stdin=end, stdout=end, stderr=end
    )
    os.close(end)
    shown = read_until(terminal, b" of the changed rows done")
    process.send_signal(signal.SIGINT)
    shown += read_until(terminal, None)
    os.close(terminal)

    (sync,) = server.syncs()
    assert process.wait(60) == 130
    assert not sync.running
    assert len(server.stops()) == 1
    lines = shown.decode().replace("\r\n", "\n").splitlines()
    assert lines[0].endswith(f"Started sync {sync.id} of connection crm-contacts (incremental).")
    assert lines[-1] == (
        f"error: Interrupted. Sync {sync.id} of connection crm-contacts: RudderStack was asked to "
        "stop it."
    )
    assert b"Traceback" not in shown


def read_until(terminal: int, words: bytes | None) -> bytes:
    """Read what a process shows until some words, or until it ends."""
    shown = b""
    while words is None or words not in shown:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # Linux says so when the last writer has ended.
            break
        if not part:
            break
        shown += part
    return shown
