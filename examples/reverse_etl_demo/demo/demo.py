"""The demo: warehouse rows travel through RudderStack into a destination, with Dagster in charge.

`run` does it from nothing, twice: everything, then what a night has changed. `dev` opens Dagster's
UI on what `run` has left. Both bring a local RudderStack, and leave no process behind.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import dagster as dg
import duckdb

from dagster_rudderstack import MetadataKey

PROJECT = Path(__file__).resolve().parent.parent
SYNC_ASSETS = ("crm_contacts", "cart_audience")
DESTINATION_TABLES = ("contacts", "cart_audience")
ACCESS_TOKEN = "local-token"  # noqa: S105 - the local RudderStack accepts what it is told to

# How long the processes of Dagster may take to end; then they are killed.
END_SECONDS = 20

NIGHT = """
    -- Support has mended five of the typos.
    UPDATE raw.customers SET email = replace(email, ' at ', '@') WHERE customer_id <= 1250;
    -- Upgrades.
    UPDATE raw.customers SET plan = 'pro' WHERE customer_id % 50 = 1;
    -- New customers; the last of them has no e-mail address at all.
    INSERT INTO raw.customers
    SELECT
        2000 + i, 'New', 'Customer', CASE WHEN i < 25 THEN 'new' || i || '@example.com' END,
        'free', DATE '2027-01-01'
    FROM (SELECT CAST(range AS INTEGER) AS i FROM range(1, 26));
    -- What they have bought, or left in the cart.
    INSERT INTO raw.orders
    SELECT
        6000 + i, 2000 + i, CASE WHEN i <= 10 THEN 'paid' ELSE 'cart' END,
        19.90, TIMESTAMP '2027-01-01 20:00:00'
    FROM (SELECT CAST(range AS INTEGER) AS i FROM range(1, 21));
    -- Carts that were paid after all.
    UPDATE raw.orders SET status = 'paid' WHERE status = 'cart' AND order_id % 4 = 1;
"""


@dataclass(frozen=True)
class Home:
    """The folder that the demo keeps everything in."""

    path: Path

    @property
    def warehouse(self) -> Path:
        """The DuckDB file with raw tables and models."""
        return self.path / "warehouse.duckdb"

    @property
    def warehouse_before(self) -> Path:
        """The warehouse as it was before the night's changes, to compare with."""
        return self.path / "warehouse-before.duckdb"

    @property
    def destinations(self) -> Path:
        """The SQLite file that stands for the CRM and the ads network."""
        return self.path / "destinations.sqlite"

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance: runs, events, logs."""
        return self.path / "dagster_home"

    @property
    def rudderstack_config(self) -> Path:
        """The RudderStack workspace; its relative paths begin here."""
        return self.path / "rudderstack.json"

    @property
    def lock(self) -> Path:
        """Locked as long as a demo uses the folder."""
        return self.path / "lock"

    def create(self) -> None:
        """Make all that is in the folder anew."""
        for leftover in self.path.iterdir():
            if leftover.is_dir():
                shutil.rmtree(leftover)
            elif leftover != self.lock:
                leftover.unlink()
        self.dagster_home.mkdir()
        (self.dagster_home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        shutil.copy(PROJECT / "demo" / "rudderstack.json", self.rudderstack_config)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second demo out of the folder, which is made if it is missing."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.lock.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                sys.exit(f"Another demo is using {self.path}: end it first.")
            yield

    def environment(self, rudderstack_url: str) -> dict[str, str]:
        """Return the variables that the project reads."""
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
    """Run a command for as long as the block lasts.

    In a session of its own, so that Ctrl-C comes to this process alone, which ends its children in
    order: Dagster first, RudderStack last.
    """
    process = subprocess.Popen(command, text=True, start_new_session=True, **options)  # type: ignore[call-overload]  # noqa: S603
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """End a child and whatever it has started, as Ctrl-C would."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def local_rudderstack(home: Home) -> Iterator[str]:
    """Run a local RudderStack and return its URL."""
    command = [sys.executable, "-m", "dagster_rudderstack.testing", "--port", "0"]
    command += ["--config", str(home.rudderstack_config), "--token", ACCESS_TOKEN]
    with child(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        first_line = process.stdout.readline()
        if "http://" not in first_line:
            sys.exit("The local RudderStack did not start.")
        yield first_line.split()[-1]


def dg_command(*arguments: str) -> list[str]:
    """Return a command of Dagster's CLI, which is installed beside this Python."""
    return [str(Path(sys.executable).with_name("dg")), *arguments]


def launch(home: Home, rudderstack_url: str, arguments: Sequence[str], log_name: str) -> float:
    """Launch a run of the project, wait for its end and return the seconds that it took."""
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
        tail = "\n".join(log.read_text().splitlines()[-40:])
        sys.exit(f"{tail}\n\nThe run failed (exit code {code}); its whole log is {log}.")
    return time.monotonic() - begin


# What happens


def run(home: Home) -> None:
    """Sync all rows, change some, sync again."""
    home.create()
    print("A DuckDB warehouse, a local RudderStack and Dagster, all in", home.path)
    with local_rudderstack(home) as url:
        took = launch(home, url, ["--assets", "*"], "first-run.log")
        show(home, f"The first run built the warehouse and synced all of it ({took:.0f} s):")
        shutil.copy(home.warehouse, home.warehouse_before)
        change_rows(home)
        took = launch(home, url, ["--job", "daily_activation"], "second-run.log")
        show(home, f"The second run synced what the night had changed ({took:.0f} s):")
    show_destinations(home)
    print("\nOpen the history in Dagster's UI:  make dev")


def change_rows(home: Home) -> None:
    """Be what loads the raw tables at night."""
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.execute(NIGHT)


def dev(home: Home, port: int) -> None:
    """Open Dagster's UI on what `run` has left, until somebody ends it."""
    if not home.rudderstack_config.exists():
        sys.exit(f"There is no demo in {home.path} yet:  make demo")
    command = dg_command("dev", "--port", str(port))
    with (
        local_rudderstack(home) as url,
        child(command, cwd=PROJECT, env=home.environment(url)) as process,
    ):
        sys.exit(process.wait())


# What is shown


def show(home: Home, title: str) -> None:
    """Print what Dagster's event log tells about the last sync of each connection."""
    print(f"\n{title}\n")
    line = "{:<15}{:>8}{:>9}{:>7}{:>10}  {}"
    print(line.format("asset", "rows", "changed", "sent", "rejected", "check on rejected rows"))
    with dg.DagsterInstance.from_config(str(home.dagster_home)) as instance:
        for name in SYNC_ASSETS:
            print(line.format(name, *row_counts(instance, name), check_result(instance, name)))


def row_counts(instance: dg.DagsterInstance, name: str) -> list[str]:
    """Return the counts of an asset's last materialization."""
    event = instance.get_latest_materialization_event(dg.AssetKey(name))
    assert event is not None  # noqa: S101 - the run succeeded
    assert event.asset_materialization is not None  # noqa: S101 - that is what the event is
    metadata = event.asset_materialization.metadata
    keys = ("ROWS_TOTAL", "ROWS_CHANGED", "ROWS_SUCCEEDED", "ROWS_FAILED")
    return [str(metadata[getattr(MetadataKey, key)].value) for key in keys]


def check_result(instance: dg.DagsterInstance, name: str) -> str:
    """Return what the last check on rejected rows said."""
    key = dg.AssetCheckKey(dg.AssetKey(name), "rejected_rows")
    record = instance.get_latest_asset_check_evaluation_record(key)
    assert record is not None  # noqa: S101 - the asset comes with the check
    assert record.event is not None  # noqa: S101 - it has been evaluated
    evaluation = record.event.asset_check_evaluation
    assert evaluation is not None  # noqa: S101 - that is what the event is
    verdict = "passed" if evaluation.passed else evaluation.severity.value
    return f"{verdict}: {evaluation.description}"


def show_destinations(home: Home) -> None:
    """Print how many rows the destinations hold."""
    print(f"\nThe destinations ({home.destinations}) now hold:\n")
    with contextlib.closing(sqlite3.connect(home.destinations)) as connection:
        for table in DESTINATION_TABLES:
            (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
            print(f"{table:<15}{count:>8} rows")


# The command


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demo, or open the UI on it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "dev"])
    parser.add_argument("--home", type=Path, default=Path(".demo"), help="default: %(default)s")
    parser.add_argument("--port", type=int, default=3000, help="of the UI; default: %(default)s")
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
