"""The demo: Dagster builds a warehouse, RudderStack Profiles its features, and syncs copy the rows.

`run` starts from nothing and syncs twice: first all rows, then the rows that a night has changed.
`dev` opens Dagster's UI on the result. Both start a local RudderStack and end all their processes.
"""

import argparse
import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import dagster as dg
import duckdb

from dagster_rudderstack import MetadataKey

PROJECT = Path(__file__).resolve().parent.parent
SYNC_ASSETS = ("crm_contacts", "crm_segments", "cart_audience")
FEATURES_ASSET = "customer_features"
DEFERRED_ASSET = "newsletter"
DESTINATION_TABLES = ("contacts", "segments", "cart_audience", "readers")
ACCESS_TOKEN = "local-token"  # noqa: S105 - only the local RudderStack accepts it

# Seconds after which Dagster's processes are killed if they have not ended.
END_TIMEOUT_SECONDS = 20

# Seconds that the daemon may take to start and to report the sync that no run waits for.
REPORT_TIMEOUT_SECONDS = 120

NIGHT = """
    -- Support has fixed five of the typos.
    UPDATE raw.customers SET email = replace(email, ' at ', '@') WHERE customer_id <= 1250;
    -- Customers have upgraded their plan.
    UPDATE raw.customers SET plan = 'pro' WHERE customer_id % 50 = 1;
    -- There are new customers. The last one has no e-mail address.
    INSERT INTO raw.customers
    SELECT
        2000 + i, 'New', 'Customer', CASE WHEN i < 25 THEN 'new' || i || '@example.com' END,
        'free', DATE '2027-01-01'
    FROM (SELECT CAST(range AS INTEGER) AS i FROM range(1, 26));
    -- They have bought something or left it in the cart.
    INSERT INTO raw.orders
    SELECT
        6000 + i, 2000 + i, CASE WHEN i <= 10 THEN 'paid' ELSE 'cart' END,
        19.90, TIMESTAMP '2027-01-01 20:00:00'
    FROM (SELECT CAST(range AS INTEGER) AS i FROM range(1, 21));
    -- Some of the old carts were paid.
    UPDATE raw.orders SET status = 'paid' WHERE status = 'cart' AND order_id % 4 = 1;
"""


@dataclass(frozen=True)
class Home:
    """The folder with all files of the demo."""

    path: Path

    @property
    def warehouse(self) -> Path:
        """The DuckDB file with the raw tables and the models."""
        return self.path / "warehouse.duckdb"

    @property
    def warehouse_before(self) -> Path:
        """A copy of the warehouse before the changes of the night."""
        return self.path / "warehouse-before.duckdb"

    @property
    def destinations(self) -> Path:
        """The SQLite file that represents the CRM, the newsletter tool and the ads network."""
        return self.path / "destinations.sqlite"

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance, with runs, events and logs."""
        return self.path / "dagster_home"

    @property
    def rudderstack_config(self) -> Path:
        """The RudderStack workspace. Its relative paths are relative to the folder."""
        return self.path / "local.json"

    @property
    def lock(self) -> Path:
        """A file that is locked while a demo uses the folder."""
        return self.path / "lock"

    def create(self) -> None:
        """Delete the content of the folder and create it again."""
        for leftover in self.path.iterdir():
            if leftover.is_dir():
                shutil.rmtree(leftover)
            elif leftover != self.lock:
                leftover.unlink()
        self.dagster_home.mkdir()
        (self.dagster_home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        shutil.copy(PROJECT / "demo" / "local.json", self.rudderstack_config)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder if needed, and keep a second demo out of it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.lock.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                sys.exit(f"Another demo is using {self.path}. End it first.")
            yield

    def environment(self, rudderstack_url: str) -> dict[str, str]:
        """Return the environment variables of the project."""
        paths = [str(PROJECT / "src"), os.environ.get("PYTHONPATH", "")]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "DAGSTER_HOME": str(self.dagster_home),
            "WAREHOUSE_PATH": str(self.warehouse),
            "RUDDERSTACK_API_URL": rudderstack_url,
            "RUDDERSTACK_ACCESS_TOKEN": ACCESS_TOKEN,
        }


# Processes


@contextlib.contextmanager
def child(command: Sequence[str | Path], **options: object) -> Iterator[subprocess.Popen[str]]:
    """Run a command during the block.

    It has its own session, so that Ctrl-C reaches only this process. This process then ends its
    children in order: Dagster first, RudderStack last.
    """
    process = subprocess.Popen(command, text=True, start_new_session=True, **options)  # type: ignore[call-overload]  # noqa: S603
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """End a child and the processes that it has started, as Ctrl-C would."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_TIMEOUT_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def local_rudderstack(home: Home) -> Iterator[str]:
    """Run a local RudderStack during the block, and return its URL."""
    command = [sys.executable, "-m", "dagster_rudderstack.testing", "--port", "0"]
    command += ["--config", str(home.rudderstack_config), "--token", ACCESS_TOKEN]
    with child(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        first_line = process.stdout.readline()
        if "http://" not in first_line:
            sys.exit("The local RudderStack did not start.")
        yield first_line.split()[-1]


def dg_command(*arguments: str) -> list[str]:
    """Return a command of `dg`."""
    return [program("dg"), *arguments]


def program(name: str) -> str:
    """Return the path of a program of this Python environment."""
    return str(Path(sys.executable).with_name(name))


def launch(home: Home, rudderstack_url: str, arguments: Sequence[str], log_name: str) -> float:
    """Launch a run of the project, wait until it ends, and return its seconds."""
    log = home.path / log_name
    begin = time.monotonic()
    print(f"\n$ dg launch {shlex.join(arguments)}")
    command = dg_command("launch", *arguments)
    environment = home.environment(rudderstack_url)
    with (
        log.open("w") as output,
        child(command, cwd=PROJECT, env=environment, stdout=output, stderr=output) as process,
    ):
        code = process.wait()
    if code:
        exit_with_log(log, f"The run failed (exit code {code})")
    return time.monotonic() - begin


def wait_for_sensor(home: Home, rudderstack_url: str) -> float:
    """Run Dagster's daemon until a sensor has reported the deferred sync. Return the seconds."""
    log = home.path / "daemon.log"
    begin = time.monotonic()
    arguments = ["run", "--module-name", "reverse_etl_demo.definitions"]
    print(f"\n$ dagster-daemon {shlex.join(arguments)}")
    command = [program("dagster-daemon"), *arguments]
    environment = home.environment(rudderstack_url)
    with (
        dg.DagsterInstance.from_config(str(home.dagster_home)) as instance,
        log.open("w") as output,
        child(command, cwd=PROJECT, env=environment, stdout=output, stderr=output) as process,
    ):
        # The last event that the sensor reports for a deferred sync.
        while evaluation(instance, DEFERRED_ASSET, "sync_succeeded") is None:
            if process.poll() is not None or time.monotonic() - begin > REPORT_TIMEOUT_SECONDS:
                exit_with_log(log, f"No sensor has reported the sync of {DEFERRED_ASSET}")
            time.sleep(0.5)
        return time.monotonic() - begin


def exit_with_log(log: Path, error: str) -> NoReturn:
    """End the demo with the last lines of a log."""
    tail = "\n".join(log.read_text().splitlines()[-40:])
    sys.exit(f"{tail}\n\n{error}. The whole log is in {log}.")


# The two commands


def run(home: Home) -> None:
    """Sync all rows, change some of them, and sync again."""
    home.create()
    print("The DuckDB warehouse, the destinations and Dagster's history are in", home.path)
    with local_rudderstack(home) as url:
        took = launch(home, url, ["--assets", "*"], "first-run.log")
        show(home, f"The first run built the warehouse and synced all rows ({took:.0f} s):")
        show_profiles_run(home)
        show_reasons(home)
        took = wait_for_sensor(home, url)
        title = f"A sensor reported the sync that the run did not wait for ({took:.0f} s):"
        show(home, title, [DEFERRED_ASSET])
        shutil.copy(home.warehouse, home.warehouse_before)
        change_rows(home)
        took = launch(home, url, ["--job", "daily_activation"], "second-run.log")
        show(home, f"The second run synced the changes of the night ({took:.0f} s):")
        show_reasons(home)
    show_destinations(home)
    print("\nTo see the history in Dagster's UI, run:  make dev")


def change_rows(home: Home) -> None:
    """Change the raw tables, as a nightly load does."""
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.execute(NIGHT)


def dev(home: Home, port: int) -> None:
    """Run Dagster's UI on the result of `run`, until it is ended."""
    if not home.rudderstack_config.exists():
        sys.exit(f"There is no demo in {home.path}. Run first:  make demo")
    command = dg_command("dev", "--port", str(port))
    with (
        local_rudderstack(home) as url,
        child(command, cwd=PROJECT, env=home.environment(url)) as process,
    ):
        sys.exit(process.wait())


# The output


def show(home: Home, title: str, names: Sequence[str] = SYNC_ASSETS) -> None:
    """Print the last sync of each asset, from Dagster's event log."""
    print(f"\n{title}\n")
    line = "{:<15}{:>8}{:>9}{:>11}{:>10}  {}"
    print(line.format("asset", "rows", "changed", "delivered", "rejected", "rejected_rows check"))
    with dg.DagsterInstance.from_config(str(home.dagster_home)) as instance:
        for name in names:
            print(line.format(name, *row_counts(instance, name), check_result(instance, name)))


def show_profiles_run(home: Home) -> None:
    """Print what the last run of the Profiles project did, from Dagster's event log."""
    with dg.DagsterInstance.from_config(str(home.dagster_home)) as instance:
        metadata = last_metadata(instance, FEATURES_ASSET)
    tasks = ", ".join(str(task["task_id"]) for task in metadata[MetadataKey.TASKS].value)
    run_id, status = (metadata[key].value for key in (MetadataKey.RUN_ID, MetadataKey.STATUS))
    print(f"\nBefore crm_segments, run {run_id} of the Profiles project {status}: {tasks}")


def last_metadata(instance: dg.DagsterInstance, name: str) -> Mapping[str, Any]:
    """Return the metadata of the last materialization of an asset."""
    event = instance.get_latest_materialization_event(dg.AssetKey(name))
    assert event is not None  # noqa: S101 - the run succeeded
    assert event.asset_materialization is not None  # noqa: S101 - the event is a materialization
    return event.asset_materialization.metadata


def row_counts(instance: dg.DagsterInstance, name: str) -> list[str]:
    """Return the row counts of the last materialization of an asset."""
    metadata = last_metadata(instance, name)
    keys = ("ROWS_TOTAL", "ROWS_CHANGED", "ROWS_SUCCEEDED", "ROWS_FAILED")
    return [str(metadata[getattr(MetadataKey, key)].value) for key in keys]


def check_result(instance: dg.DagsterInstance, name: str) -> str:
    """Return the result of the last check of rejected rows."""
    result = evaluation(instance, name, "rejected_rows")
    assert result is not None  # noqa: S101 - the asset has the check
    verdict = "passed" if result.passed else result.severity.value
    return f"{verdict}: {result.description}"


def show_reasons(home: Home) -> None:
    """Print why the CRM rejected rows, as the project's own check has found in the warehouse."""
    with dg.DagsterInstance.from_config(str(home.dagster_home)) as instance:
        result = evaluation(instance, SYNC_ASSETS[0], "rejection_reasons")
    assert result is not None  # noqa: S101 - the run has evaluated the check
    verdict = "passed" if result.passed else result.severity.value
    print(f"\nThe check rejection_reasons of {SYNC_ASSETS[0]} ({verdict}: {result.description})")
    print(f"\n{result.metadata['top_reasons'].value}")


def evaluation(
    instance: dg.DagsterInstance, name: str, check: str
) -> dg.AssetCheckEvaluation | None:
    """Return the last evaluation of a check. None: it was not evaluated yet."""
    key = dg.AssetCheckKey(dg.AssetKey(name), check)
    record = instance.get_latest_asset_check_evaluation_record(key)
    return record.event.asset_check_evaluation if record and record.event else None


def show_destinations(home: Home) -> None:
    """Print the row counts of the destinations."""
    print(f"\nThe destinations in {home.destinations} have:\n")
    with contextlib.closing(sqlite3.connect(home.destinations)) as connection:
        for table in DESTINATION_TABLES:
            (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
            print(f"{table:<15}{count:>8} rows")


# The command line


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demo, or Dagster's UI on its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "dev"])
    parser.add_argument(
        "--home", type=Path, default=Path(".demo"), help="folder; default: %(default)s"
    )
    parser.add_argument(
        "--port", type=int, default=3000, help="port of the UI; default: %(default)s"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    home = Home(options.home.resolve())
    with home.locked():
        try:
            run(home) if options.what == "run" else dev(home, options.port)
        except KeyboardInterrupt:
            sys.exit("\nEnded.")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
