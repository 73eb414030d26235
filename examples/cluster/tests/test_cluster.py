"""Tests of the example that need no services."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

pytest.importorskip("dagster_celery", reason="it is in the dependency group `cluster`")

from reverse_etl_cluster import definitions, settings
from reverse_etl_demo import definitions as demo_definitions

FOLDER = Path(__file__).parents[1]
BROKER = "redis://127.0.0.1:1/0"


@pytest.fixture
def defs() -> dg.Definitions:
    """The definitions of the example. They load without the environment variables."""
    loaded = definitions.defs()
    dg.Definitions.validate_loadable(loaded)
    return loaded


def assets(defs: dg.Definitions) -> set[str]:
    """Return the keys of the assets."""
    keys = defs.resolve_asset_graph().get_all_asset_keys()
    return {key.to_user_string() for key in keys}


def test_definitions__of_the_demo(defs: dg.Definitions) -> None:
    """The example has the assets, checks, jobs, schedules and sensors of the demo."""
    demo = demo_definitions.defs()

    def names(definitions: dg.Definitions) -> list[set[str]]:
        repository = definitions.get_repository_def()
        return [
            assets(definitions),
            {str(key) for key in definitions.resolve_asset_graph().asset_check_keys},
            {job.name for job in repository.get_all_jobs()},
            {schedule.name for schedule in repository.schedule_defs},
            {sensor.name for sensor in repository.sensor_defs},
        ]

    assert names(defs) == names(demo)
    assert all(names(defs))


def test_definitions__executor(defs: dg.Definitions) -> None:
    """The jobs run on Celery."""
    job = defs.resolve_job_def("daily_activation")

    assert job.executor_def.name == "celery"


def test_visibility_timeout() -> None:
    """Redis delivers a step again only a minute after the step must have ended."""
    options = settings.executor_config()["config_source"]["broker_transport_options"]

    limit = definitions.rudderstack.sync_timeout_seconds
    assert options["visibility_timeout"] >= limit + 60


def test_worker__tasks_are_delivered_again() -> None:
    """The task of the workers has the settings of celery.yaml."""
    code = """
from reverse_etl_cluster.worker import app
task = app.tasks["execute_plan"]
print(app.conf.broker_url, task.acks_late, task.reject_on_worker_lost,
      app.conf.worker_prefetch_multiplier, app.conf.broker_transport_options["visibility_timeout"])
"""
    paths = [str(FOLDER / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "CELERY_BROKER_URL": BROKER,
        "CELERY_RESULT_BACKEND": BROKER,
    }

    finished = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )

    assert finished.stdout.split() == [BROKER, "True", "True", "1", "180"]


def test_processes__ports_and_variables() -> None:
    """The processes and configs use only variables that cluster.py sets."""
    source = (FOLDER / "cluster.py").read_text()
    known = set(re.findall(r'"([A-Z][A-Z_]+)":', source))
    processes = (FOLDER / "supervisord.conf").read_text()
    used = set(re.findall(r"%\(ENV_(\w+)\)s", processes))
    for name in ("dagster.yaml", "workspace.yaml", "src/reverse_etl_cluster/celery.yaml"):
        used |= set(re.findall(r"env: (\w+)", (FOLDER / name).read_text()))

    assert used
    assert used <= known


def test_processes__this_machine_only() -> None:
    """No process listens on an address that other machines can reach."""
    processes = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    processes.read(FOLDER / "supervisord.conf")
    commands = {
        section: processes[section]["command"]
        for section in processes.sections()
        if section.startswith("program:")
    }
    # The local RudderStack listens on this machine only, unless --host is given.
    listening = ("redis", "postgres", "code-server", "webserver")

    assert all("127.0.0.1" in commands[f"program:{name}"] for name in listening)
    assert not [command for command in commands.values() if "0.0.0.0" in command]  # noqa: S104
    assert "--host" not in commands["program:rudderstack"]


def test_instance(tmp_path: Path) -> None:
    """Dagster accepts dagster.yaml, which monitors runs and retries those whose worker died."""
    pytest.importorskip("dagster_postgres")
    config: dict[str, Any] = yaml.safe_load((FOLDER / "dagster.yaml").read_text())
    # The rest of the file, without a connection to the database.
    assert config.pop("storage")["postgres"]["postgres_db"]["password"] == {
        "env": "DAGSTER_PG_PASSWORD"
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert not instance.run_retries_retry_on_asset_or_op_failure
