"""The services of the cluster, started in the order in which they need each other."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import redis
import yaml

from dagster_rudderstack.testing import LocalRudderStack, ScaledClock
from dagster_rudderstack_tests.cluster.project import (
    REDIS_VARIABLE,
    VISIBILITY_SECONDS,
    VISIBILITY_VARIABLE,
    celery_config,
)
from dagster_rudderstack_tests.cluster.result import (
    CASE_TAG,
    Case,
    is_to_be_retried,
    last_runs,
    runs_of,
)
from dagster_rudderstack_tests.cluster.service import Service, listens, supervised
from dagster_rudderstack_tests.processes.harness import (
    LOCATION,
    Deployment,
    Home,
    Run,
    dagster_command,
    free_port,
)

PROJECT = "dagster_rudderstack_tests.cluster.project"
STEPS_PER_WORKER = 10
MAX_RUNS = 30
MAX_RETRIES = 2
QUERY_SECONDS = 1.0
"""How often a case that waits asks the database."""
MISSED_RETRY_SECONDS = 60.0
"""When a retry that the daemon has promised counts as missed. It comes within seconds."""
DATABASE_USER = "postgres"
"""The user that Debian's package creates. PostgreSQL refuses to run as root."""
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Setup:
    """What a user of the cluster may choose.

    Attributes:
        project: The module of the code location.
        max_retries: How often the daemon retries a failed run.
        visibility_seconds: When a step is delivered again that has not ended.
        steps_per_worker: How many steps each of the two workers executes at the same time.
        scale: How many times as fast RudderStack's clock runs.
    """

    project: str = PROJECT
    max_retries: int = MAX_RETRIES
    visibility_seconds: int = VISIBILITY_SECONDS
    steps_per_worker: int = STEPS_PER_WORKER
    scale: float = 1.0


DEFAULT_SETUP = Setup()


@dataclass
class ClusterHome(Home):
    """A DAGSTER_HOME, the address of the broker, and when it delivers a step again."""

    redis_url: str = ""
    visibility_seconds: int = VISIBILITY_SECONDS

    def run(self, run_id: str) -> Run:
        """Return a run of this instance. Many cases wait at the same time, each with a query."""
        return Run(self.instance, run_id, QUERY_SECONDS)

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of the processes."""
        # `dagster-celery` runs `celery`, which is in the same folder.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {
            **super().variables,
            REDIS_VARIABLE: self.redis_url,
            VISIBILITY_VARIABLE: str(self.visibility_seconds),
            "PATH": path,
            # On a busy machine, the start of a run worker may take longer than the default minute.
            "DAGSTER_GRPC_TIMEOUT_SECONDS": "180",
        }


@dataclass
class Cluster:
    """All services, and what the cases ask of them."""

    folder: Path
    server: LocalRudderStack
    home: ClusterHome
    dagster: Deployment
    broker: redis.Redis
    services: dict[str, Service] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Service:
        return self.services[name]

    @property
    def workers(self) -> list[Service]:
        """The Celery workers."""
        return [service for name, service in self.services.items() if name.startswith("celery")]

    def worker_of(self, process: int) -> Service:
        """Return the Celery worker that a step's process belongs to."""
        return next(worker for worker in self.workers if process in worker.family)

    def launch(self, case: str, *assets: str) -> Run:
        """Launch a run of some assets. Its retries inherit the tag of the case."""
        return self.dagster.launch(*assets, config={"ops": {}}, tags={CASE_TAG: case})

    def reexecute_missed(self, case: Case) -> int:
        """Re-execute the runs of a case whose retry Dagster's daemon has missed. Return how many.

        The daemon reads the failure in the log, sometimes before it is in the status of the run.
        Then it does not retry the run, and does not look again, although it has promised a retry
        (`dagster/will_retry`). See https://github.com/dagster-io/dagster/issues/33741. A person
        would re-execute the run on its page, and so does this function.
        """
        instance = self.home.instance
        missed = [run for run in last_runs(runs_of(instance, case)) if is_to_be_retried(run)]
        count = 0
        for run in missed:
            (record,) = instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
            if time.time() - record.update_timestamp.timestamp() > MISSED_RETRY_SECONDS:
                self.dagster.reexecute(self.home.run(run.run_id))
                count += 1
        return count

    def has_steps_of(self, run_ids: Iterable[str]) -> bool:
        """Whether Celery has a step of these runs: in its queues, or executed by a worker."""
        steps = self._steps_in_celery()
        return any(run_id in step for run_id in run_ids for step in steps)

    def _steps_in_celery(self) -> list[str]:
        """Return the content of the messages that Redis holds for Celery."""
        # Celery has a queue for each of its priorities.
        queues: Any = self.broker.keys("dagster*")
        messages = [json.loads(each) for name in queues for each in self._waiting(name)]
        delivered: Any = self.broker.hvals("unacked")
        messages += [json.loads(each)[0] for each in delivered]
        return [base64.b64decode(message["body"]).decode() for message in messages]

    def _waiting(self, queue: Any) -> list[bytes]:
        messages: Any = self.broker.lrange(queue, 0, -1)
        return list(messages)


def instance_config(database_port: int, max_retries: int) -> Mapping[str, Any]:
    """Return the content of `dagster.yaml`."""
    # Since SQLAlchemy 2.1, another driver than that of dagster-postgres is the default.
    url = f"postgresql+psycopg2://{DATABASE_USER}@127.0.0.1:{database_port}/postgres"
    return {
        "telemetry": {"enabled": False},
        "storage": {"postgres": {"postgres_url": url}},
        # The logs of the workers have the output of the steps. Files of their own would take two
        # processes for each step.
        "compute_logs": {
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
        },
        "run_coordinator": {
            "module": "dagster",
            "class": "QueuedRunCoordinator",
            "config": {
                "max_concurrent_runs": MAX_RUNS,
                "dequeue_interval_seconds": 1,
                # Each launch waits until the process of the run has started.
                "dequeue_use_threads": True,
                "dequeue_num_workers": 4,
            },
        },
        "run_launcher": {"module": "dagster", "class": "DefaultRunLauncher"},
        "run_retries": {"enabled": True, "max_retries": max_retries},
        "run_monitoring": {
            "enabled": True,
            "poll_interval_seconds": 3,
            "start_timeout_seconds": 120,
            "cancel_timeout_seconds": 60,
        },
    }


@contextlib.contextmanager
def cluster(folder: Path, setup: Setup = DEFAULT_SETUP) -> Iterator[Cluster]:
    """Run all services until the end of the `with` statement, in a folder that exists."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            LocalRudderStack("rst-0123456789abcdefghij", clock=ScaledClock(setup.scale))
        )
        started: dict[str, Service] = {}

        def start(*services: Service) -> None:
            for service in services:
                stack.callback(service.close)
                service.start()
                started[service.name] = service

        broker_port, database_port, code_port, web_port = (free_port() for _ in range(4))
        broker = stack.enter_context(contextlib.closing(redis.Redis(port=broker_port)))
        data = stack.enter_context(database_folder())
        start(redis_server(folder, broker_port, broker), postgres(folder, data, database_port))
        for service in started.values():
            service.wait_until_ready()
        url = f"redis://127.0.0.1:{broker_port}/0"
        config = instance_config(database_port, setup.max_retries)
        home = ClusterHome(folder, server, config, url, setup.visibility_seconds)
        stack.callback(home.close)
        workspace = folder / "workspace.yaml"
        code = {"host": "127.0.0.1", "port": code_port, "location_name": LOCATION}
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": code}]}))
        workers = [worker(home, name, setup) for name in ("1", "2")]
        start(code_server(home, setup.project, code_port), *workers)
        started["code-server"].wait_until_ready()
        start(webserver(home, workspace, web_port), daemon(home, workspace))
        for service in started.values():
            service.wait_until_ready()
        web_url = f"http://127.0.0.1:{web_port}"
        client = stack.enter_context(httpx.Client(base_url=web_url, timeout=60, trust_env=False))
        stack.enter_context(supervised(started))
        yield Cluster(folder, server, home, Deployment(home, web_url, client), broker, started)


# --- Redis and PostgreSQL


def redis_server(folder: Path, port: int, client: redis.Redis) -> Service:
    """Redis, which keeps its data in a file and reads it again after a restart."""
    options = {"port": port, "bind": "127.0.0.1", "dir": folder, "appendonly": "yes", "save": ""}
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]

    def is_ready() -> bool:
        # While it reads its file, it accepts connections and answers with an error.
        with contextlib.suppress(redis.RedisError):
            return bool(client.ping())
        return False

    return Service("redis", [program("redis-server"), *arguments], {}, folder, is_ready)


@contextlib.contextmanager
def database_folder() -> Iterator[Path]:
    """A folder for the database that its user can read, removed afterwards."""
    user = database_user()
    with tempfile.TemporaryDirectory(prefix="cluster-postgres-") as name:
        folder = Path(name)
        if user is not None:
            shutil.chown(folder, user, user)
        yield folder


def database_user() -> str | None:
    """Return the user who runs the database. None for the one of this process."""
    return DATABASE_USER if os.geteuid() == 0 else None


def postgres(folder: Path, data: Path, port: int) -> Service:
    """A new PostgreSQL database."""
    user = database_user()
    subprocess.run(
        [program("initdb"), "--pgdata", data, "--username", DATABASE_USER, "--auth", "trust"],
        check=True,
        cwd=data,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": data,
        "max_connections": 300,
        # The test kills processes and not the machine, so nothing can be lost.
        "fsync": "off",
    }
    arguments = [f"--{name}={value}" for name, value in settings.items()]

    def is_ready() -> bool:
        asked = [program("pg_isready"), "--host", "127.0.0.1", "--port", str(port)]
        return subprocess.run(asked, check=False, capture_output=True).returncode == 0

    command = [program("postgres"), "-D", str(data), *arguments]
    return Service("postgres", command, {}, folder, is_ready, user)


def program(name: str) -> str:
    """Return the path of a program from Debian's packages."""
    versions = sorted(DEBIAN_POSTGRES.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = str(versions[-1]) if versions else shutil.which(name)
    if found is None:
        raise FileNotFoundError(
            f"There is no {name}. Install it: apt-get install redis-server postgresql"
        )
    return found


# --- Dagster and Celery


def worker(home: ClusterHome, name: str, setup: Setup) -> Service:
    """A Celery worker that executes steps in processes of its own."""
    config = home.path / "celery.yaml"
    urls = {"broker": home.redis_url, "backend": home.redis_url}
    content = {
        "execution": {"config": {**urls, "config_source": celery_config(home.visibility_seconds)}}
    }
    config.write_text(yaml.safe_dump(content))
    command = dagster_command(
        *("dagster-celery", "worker", "start", "-A", "dagster_celery.app", "-y", str(config)),
        *("-n", f"worker{name}", "--", f"--concurrency={setup.steps_per_worker}"),
    )
    service = Service(f"celery-{name}", command, home.variables, home.path, lambda: True)
    # It has no port. After a restart, it says so once more.
    service.is_ready = lambda: service.printed.count(" ready.") == service.starts
    return service


def code_server(home: ClusterHome, project: str, port: int) -> Service:
    """The code server."""
    command = dagster_command(
        *("dagster", "api", "grpc", "--module-name", project),
        *("--host", "127.0.0.1", "--port", str(port), "--location-name", LOCATION),
    )
    variables = home.variables
    return Service("code-server", command, variables, home.path, lambda: listens(port))


def webserver(home: ClusterHome, workspace: Path, port: int) -> Service:
    """The webserver."""
    command = dagster_command(
        *("dagster-webserver", "--workspace", str(workspace)),
        *("--host", "127.0.0.1", "--port", str(port)),
    )
    return Service("webserver", command, home.variables, home.path, lambda: listens(port))


def daemon(home: ClusterHome, workspace: Path) -> Service:
    """The daemon."""
    command = dagster_command("dagster-daemon", "run", "--workspace", str(workspace))
    return Service("daemon", command, home.variables, home.path, lambda: True)
