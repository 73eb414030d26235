"""The dbt example: the commands of its README work and have the described result."""

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_rudderstack_tests.discovery.dbt_program import DBT, needs_dbt
from dagster_rudderstack_tests.discovery.nodes import asset_node, column_lineage_of, upstream_of

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "dbt_discovery"
README = EXAMPLE / "README.md"

CONTACTS = "rudderstack/hubspot/contact/customer_value"
BUYERS = "rudderstack/hubspot/deal/buyers"

pytestmark = [pytest.mark.processes, needs_dbt]


@dataclass(frozen=True)
class Example:
    """A copy of the example after the commands of its README were run."""

    folder: Path
    environment: Mapping[str, str]

    def asset_node(self, key: str) -> Any:
        """Return the GraphQL node of an asset. The local RudderStack is no longer running."""
        location = ("--module-name", "dbt_discovery.definitions")
        return asset_node(location, self.environment, key, cwd=self.folder)


def commands() -> str:
    """Return the commands after the installation, which build the models and sync them."""
    _, run = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    return str(run)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """The example after its syncs. Its local RudderStack had a free port."""
    assert DBT is not None
    folder = tmp_path_factory.mktemp("examples") / "dbt_discovery"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("target", "*.duckdb", ".local*"))
    programs = (str(Path(sys.executable).parent), str(DBT.parent), os.environ["PATH"])
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").touch()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_")},
        "PATH": os.pathsep.join(programs),
        "PYTHONPATH": os.pathsep.join((str(folder / "src"), str(ROOT))),
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    port = free_port()
    # A user takes longer to type than the local RudderStack takes to start.
    wait = f"until (: < /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do sleep 0.1; done"
    script = commands().replace("8085", str(port)).replace(" &\n", f" &\n{wait}\n")
    done = subprocess.run(
        ["bash", "-euc", f"trap 'kill $!' EXIT\n{script}"],  # noqa: S607 - as in the README
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # The README exports this variable. The token is no longer needed.
    warehouse = {"WAREHOUSE_PATH": str(folder / "shop.duckdb")}
    return Example(folder, {**environment, **warehouse})


def test_readme(example: Example) -> None:
    """The commands of the README build the models and sync the rows."""
    with duckdb.connect(str(example.folder / "shop.duckdb"), read_only=True) as warehouse:
        models = len(warehouse.table("main_marts.customer_value"))
    with closing(sqlite3.connect(example.folder / "hubspot.sqlite")) as destination:
        rows = destination.execute("select email, name, ltv from contacts order by 1").fetchall()

    assert models == 3
    assert rows == [("ann@example.com", "Ann Lee", 25.5), ("bob@example.com", "Bob Ray", 7.0)]


def test_table(example: Example) -> None:
    """A connection that reads a table depends on its dbt model, and its columns on the model's."""
    node = example.asset_node(CONTACTS)

    assert upstream_of(node) == {"marts/customer_value"}
    assert column_lineage_of(node) == {
        "email": [("marts/customer_value", "email")],
        "name": [("marts/customer_value", "full_name")],
        "ltv": [("marts/customer_value", "lifetime_value")],
    }


def test_sql_model(example: Example) -> None:
    """A connection with a SQL model depends on the dbt models that the SQL names."""
    node = example.asset_node(BUYERS)

    assert upstream_of(node) == {"customers", "orders"}
    assert column_lineage_of(node) == {
        "email": [("customers", "email")],
        "amount": [("orders", "amount")],
    }
