"""One service of the cluster: a process that can be killed, restarted and frozen on its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dagster_rudderstack_tests.processes.harness import ROOT, signal_process, wait_for

SUPERVISION_SECONDS = 1.0
"""How soon a service that exited is started again."""


@dataclass
class Service:
    """A process, its log file, and how to see that it is ready.

    Attributes:
        name: Its name, and that of its log file.
        command: The command line.
        variables: Environment variables besides those of this process.
        folder: The folder of its log file.
        is_ready: Whether it can be used.
        user: The user who runs it. None for the one of this process.
    """

    name: str
    command: Sequence[str]
    variables: Mapping[str, str]
    folder: Path
    is_ready: Callable[[], bool]
    user: str | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _is_wanted: bool = field(default=False, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _groups: list[int] = field(default_factory=list, init=False)

    def start(self) -> None:
        """Start the process, without waiting until it is ready."""
        with self._lock:
            self._is_wanted = True
            self._start()

    def start_again_if_exited(self) -> bool:
        """Start the process again if it has ended by itself, as Kubernetes does."""
        with self._lock:
            has_exited = self._is_wanted and not self.is_running
            if has_exited:
                self._start()
        return has_exited

    def _start(self) -> None:
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
            )
        self._groups.append(self._process.pid)

    def wait_until_ready(self) -> None:
        """Wait until the service can be used. Fail with its log if it does not start."""
        try:
            wait_for(self.is_ready, f"the start of {self.name}")
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.printed[-5000:]}") from None

    @property
    def starts(self) -> int:
        """How many times it was started."""
        return len(self._groups)

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def family(self) -> list[int]:
        """The process and its descendants."""
        return [] if self._process is None else family(self._process.pid)

    def kill(self, *, with_children: bool = True) -> None:
        """Kill the process without any notice, by default with its descendants."""
        assert self._process is not None
        with self._lock:
            self._is_wanted = False
            for number in self.family if with_children else [self._process.pid]:
                signal_process(number, signal.SIGKILL)
            self._process.wait()

    def restart(self) -> None:
        """Start the process again after it was killed, and wait until it is ready."""
        assert not self.is_running, f"{self.name} still runs"
        self.start()
        self.wait_until_ready()

    def close(self) -> None:
        """Kill all processes that this service ever started, also those that lost their parent."""
        if self._process is not None:
            self.kill()
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    @property
    def log_file(self) -> Path:
        """The output of the process."""
        return self.folder / f"{self.name}.log"

    @property
    def printed(self) -> str:
        """The output so far."""
        return self.log_file.read_text(errors="replace")


@contextlib.contextmanager
def supervised(services: Mapping[str, Service]) -> Iterator[None]:
    """Start services again that exit, until the end of the `with` statement."""
    is_over = threading.Event()

    def supervise() -> None:
        while not is_over.wait(SUPERVISION_SECONDS):
            for service in list(services.values()):
                if service.start_again_if_exited():
                    sys.stderr.write(f"{service.name} exited, and was started again.\n")

    thread = threading.Thread(target=supervise)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def family(number: int) -> list[int]:
    """Return a process and its descendants. A parent comes before its children."""
    found = [number]
    for parent in found:
        with contextlib.suppress(OSError):
            # A child belongs to the thread that started it. The code server starts runs in others.
            for thread in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
    return found


@contextlib.contextmanager
def frozen(number: int) -> Iterator[None]:
    """Freeze a process until the end of the `with` statement."""
    signal_process(number, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_process(number, signal.SIGCONT)


def listens(port: int) -> bool:
    """Whether something accepts connections on a port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
