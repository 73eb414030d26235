# noqa: INP001 - a script, not a package
"""Start the cluster from nothing: `python cluster.py`. Ctrl-C ends all its processes.

It creates the database, the warehouse and the folders, and then runs supervisord, which starts the
processes of supervisord.conf.
"""

import argparse
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import duckdb

from reverse_etl_demo.defs.warehouse import RAW_CUSTOMERS, RAW_ORDERS

HERE = Path(__file__).resolve().parent
DEMO = HERE.parent / "reverse_etl_demo"

PORTS = {
    "REDIS_PORT": 16379,
    "POSTGRES_PORT": 15432,
    "RUDDERSTACK_PORT": 18085,
    "CODE_SERVER_PORT": 14266,
}

# Long enough to kill something while a sync runs.
SYNC_SECONDS = 60

# Seconds in which all processes can stop, one after the other.
STOP_TIMEOUT_SECONDS = 90


@dataclass(frozen=True)
class Cluster:
    """The folder with all files of the cluster, and its ports."""

    folder: Path
    ui_port: int

    @property
    def warehouse(self) -> Path:
        """The DuckDB file with the raw tables and the models."""
        return self.folder / "warehouse.duckdb"

    @property
    def dagster_home(self) -> Path:
        """The folder of Dagster's instance."""
        return self.folder / "dagster_home"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder if needed, and keep a second cluster out of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                sys.exit(f"Another cluster is using {self.folder}. End it first.")
            yield

    def create(self, postgres: "Postgres", password: str) -> None:
        """Delete the content of the folder, and create everything that the processes need."""
        for leftover in self.folder.iterdir():
            if leftover.is_dir():
                shutil.rmtree(leftover)
            elif leftover.name != "lock":
                leftover.unlink()
        for name in ("logs", "redis"):
            (self.folder / name).mkdir()
        self.dagster_home.mkdir()
        shutil.copy(HERE / "dagster.yaml", self.dagster_home)
        self._create_workspace()
        self._create_warehouse()
        postgres.create(self.folder / "postgres", password)

    def _create_workspace(self) -> None:
        """Copy the RudderStack workspace of the demo, with slower syncs to the CRM."""
        workspace = json.loads((DEMO / "demo" / "local.json").read_text())
        for connection in workspace["connections"]:
            if connection["id"] == "crm-contacts":
                connection["script"] = {"duration_seconds": SYNC_SECONDS}
        (self.folder / "local.json").write_text(json.dumps(workspace, indent=2))

    def _create_warehouse(self) -> None:
        """Create the raw tables, which have their own schedule in the demo."""
        with duckdb.connect(str(self.warehouse)) as connection:
            connection.execute("CREATE SCHEMA raw")
            connection.execute(f"CREATE TABLE raw.customers AS {RAW_CUSTOMERS}")
            connection.execute(f"CREATE TABLE raw.orders AS {RAW_ORDERS}")

    def environment(self, postgres: "Postgres", password: str) -> dict[str, str]:
        """Return the environment variables of all processes."""
        redis = f"redis://127.0.0.1:{PORTS['REDIS_PORT']}"
        path = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        modules = [HERE / "src", DEMO / "src", os.environ.get("PYTHONPATH", "")]
        return {
            **os.environ,
            **{name: str(port) for name, port in PORTS.items()},
            "UI_PORT": str(self.ui_port),
            "PATH": os.pathsep.join(path),
            "PYTHONPATH": os.pathsep.join(str(each) for each in modules if str(each)),
            "CLUSTER": str(self.folder),
            "POSTGRES_BIN": str(postgres.programs),
            "AS_POSTGRES": " ".join(postgres.prefix),
            "DAGSTER_HOME": str(self.dagster_home),
            "DAGSTER_PG_PASSWORD": password,
            "CELERY_BROKER_URL": f"{redis}/0",
            "CELERY_RESULT_BACKEND": f"{redis}/1",
            "WAREHOUSE_PATH": str(self.warehouse),
            "RUDDERSTACK_API_URL": f"http://127.0.0.1:{PORTS['RUDDERSTACK_PORT']}",
            "RUDDERSTACK_ACCESS_TOKEN": "local-token",
        }


@dataclass(frozen=True)
class Postgres:
    """The programs of PostgreSQL, and the prefix that runs them as a user that is not root."""

    programs: Path
    prefix: Sequence[str]

    @classmethod
    def find(cls) -> "Postgres":
        """Find the newest PostgreSQL. Debian does not add it to the PATH."""
        found = shutil.which("initdb")
        debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parts[-2])
        if found is None and not debian:
            missing("postgresql")
        programs = Path(found).parent if found else debian[-1]
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        return cls(programs, user if os.geteuid() == 0 else [])

    def create(self, data: Path, password: str) -> None:
        """Create a database server with an empty database. `dagster` owns both."""
        data.mkdir(mode=0o700)
        password_file = data.with_name("postgres-password")
        password_file.touch(mode=0o600)
        password_file.write_text(password)
        if self.prefix:
            shutil.chown(data, "postgres", "postgres")
            shutil.chown(password_file, "postgres", "postgres")
        options = ["--username=dagster", "--auth=scram-sha-256", f"--pwfile={password_file}"]
        self._run("initdb", "-D", str(data), *options, "--encoding=UTF8", "--no-locale")
        create = "CREATE DATABASE dagster;\n"
        self._run("postgres", "--single", "-D", str(data), "template1", stdin=create)
        password_file.unlink()

    def _run(self, program: str, *arguments: str, stdin: str = "") -> None:
        command = [*self.prefix, str(self.programs / program), *arguments]
        finished = subprocess.run(  # noqa: S603 - our own arguments
            command, check=False, input=stdin, capture_output=True, text=True
        )
        if finished.returncode:
            sys.exit(
                f"{finished.stdout}{finished.stderr}\n{program} failed. If you are root, the user"
                " postgres must be able to enter the folder: choose another one with --folder."
            )


def missing(package: str) -> None:
    """End with the command that installs a package."""
    sys.exit(f"The cluster needs {package}. On Debian: apt-get install redis-server postgresql")


def check_programs_and_ports(ui_port: int) -> None:
    """End with the reason if the cluster cannot start."""
    if shutil.which("redis-server") is None:
        missing("redis-server")
    for port in (ui_port, *PORTS.values()):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                sys.exit(f"Port {port} of this machine cannot be used: {error.strerror}")


def run(environment: dict[str, str]) -> None:
    """Run supervisord until it ends or is interrupted, then end all processes."""
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", "supervisord.conf"]
    # Its own session, so that Ctrl-C reaches only this process, and no process is left at the end.
    process = subprocess.Popen(  # noqa: S603 - our own arguments
        command, cwd=HERE, env=environment, start_new_session=True
    )
    try:
        process.wait()
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_SECONDS)
        end_session(process.pid)


def end_session(session: int) -> None:
    """Kill what is left of a session."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # The fields after the name of the program: state, parent, group, session.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                os.kill(int(folder.name), signal.SIGKILL)


def main(arguments: Sequence[str] | None = None) -> None:
    """Create the cluster and run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path(".cluster"), help="default: %(default)s"
    )
    parser.add_argument(
        "--port", type=int, default=13000, help="port of Dagster's UI; default: %(default)s"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    cluster = Cluster(options.folder.resolve(), options.port)
    with cluster.locked():
        try:
            check_programs_and_ports(options.port)
            postgres = Postgres.find()
            password = secrets.token_urlsafe()
            begin = time.monotonic()
            cluster.create(postgres, password)
            print(f"Created {cluster.folder} in {time.monotonic() - begin:.0f} s.")  # noqa: T201
            print(f"Dagster's UI will be at http://127.0.0.1:{options.port}")  # noqa: T201
            run(cluster.environment(postgres, password))
        except KeyboardInterrupt:
            sys.exit("\nEnded.")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
