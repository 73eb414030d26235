"""Tests of the values for Dagster's Helm chart. They need neither Helm nor Kubernetes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from dagster_rudderstack import RudderStackResource

FILE = Path(__file__).parents[1] / "helm-values.yaml"
KEYS = yaml.safe_load(Path(__file__).with_name("helm-chart-keys.yaml").read_text())
VALUES = yaml.safe_load(FILE.read_text())
TYPES = {"bool": bool, "int": int, "str": str, "list": list}


def wrong(values: Any, keys: Any, path: str = "") -> Iterator[str]:
    """Return the paths of unknown keys, and of values of the wrong type."""
    if keys == "any":
        return
    if isinstance(keys, str):
        if type(values) is not TYPES[keys]:
            yield f"{path}: not {keys}"
    elif type(values) is not type(keys):
        yield f"{path}: not {type(keys).__name__}"
    elif isinstance(keys, list):
        for index, value in enumerate(values):
            yield from wrong(value, keys[0], f"{path}[{index}]")
    else:
        for key, value in values.items():
            inner = f"{path}.{key}"
            yield from wrong(value, keys[key], inner) if key in keys else [f"{inner}: unknown"]


def launcher(name: str = "k8sRunLauncher") -> dict[str, Any]:
    """Return the config of a run launcher."""
    config: dict[str, Any] = VALUES["runLauncher"]["config"][name]
    return config


def alternative() -> dict[str, Any]:
    """Return the launcher for Celery, which is a comment in the file."""
    lines = re.findall(r"^    # ((?:  )*\S.*)$", FILE.read_text(), re.MULTILINE)
    begin = lines.index("celeryK8sRunLauncher:")
    end = next(i for i in range(begin + 1, len(lines)) if not lines[i].startswith(" "))
    config: dict[str, Any] = yaml.safe_load("\n".join(lines[begin:end]))
    return config


def test_keys() -> None:
    """The chart has all keys of the file, and their types."""
    assert list(wrong(VALUES, KEYS)) == []


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"runLauncher": {"typ": "K8sRunLauncher"}}, [".runLauncher.typ: unknown"]),
        ({"dagsterDaemon": {"runRetries": {"enabled": 1}}}, ["runRetries.enabled: not bool"]),
        ({"runLauncher": ["K8sRunLauncher"]}, [".runLauncher: not dict"]),
    ],
)
def test_keys__wrong(values: dict[str, Any], found: list[str]) -> None:
    """A misspelled key and a value of the wrong type are found."""
    assert all(path.endswith(end) for path, end in zip(wrong(values, KEYS), found, strict=True))


def test_grace_period() -> None:
    """A pod may use twice the time that the stop of a step with many syncs needs."""
    pod = launcher()["runK8sConfig"]["podSpecConfig"]

    assert pod["terminationGracePeriodSeconds"] >= 2 * 26


def test_run_monitoring() -> None:
    """Runs are monitored, and the limits do not interfere with those of the library."""
    monitoring = VALUES["dagsterDaemon"]["runMonitoring"]
    grace_seconds = launcher()["runK8sConfig"]["podSpecConfig"]["terminationGracePeriodSeconds"]
    sync_timeout = RudderStackResource.model_fields["sync_timeout_seconds"].default

    assert monitoring["enabled"]
    assert monitoring["cancelTimeoutSeconds"] > grace_seconds
    assert monitoring["maxRuntimeSeconds"] > sync_timeout
    assert monitoring["maxResumeRunAttempts"] == 0


def test_run_retries() -> None:
    """Runs are retried if their worker was lost."""
    retries = VALUES["dagsterDaemon"]["runRetries"]

    assert retries["enabled"]
    assert retries["maxRetries"] > 0
    assert retries["retryOnAssetOrOpFailure"] is False


def test_instance(tmp_path: Path) -> None:
    """Dagster accepts the settings of the daemon under the names of dagster.yaml."""
    daemon = VALUES["dagsterDaemon"]

    def snake_case(config: dict[str, Any]) -> dict[str, Any]:
        return {re.sub("[A-Z]", lambda m: f"_{m[0].lower()}", k): v for k, v in config.items()}

    config = {
        "run_monitoring": snake_case(daemon["runMonitoring"]),
        "run_retries": snake_case(daemon["runRetries"]),
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": snake_case(daemon["runCoordinator"]["config"]["queuedRunCoordinator"]),
        },
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds == 93600


def test_secrets() -> None:
    """The token comes from a secret, for the definitions and for the pods of runs."""
    (deployment,) = VALUES["dagster-user-deployments"]["deployments"]

    assert deployment["envSecrets"] == launcher()["envSecrets"] == [{"name": "rudderstack"}]
    assert not re.search(r"token: *\S|TOKEN: *\S", FILE.read_text())


def test_celery() -> None:
    """The commented launcher for Celery is valid, and a step may take longer than a sync."""
    config = alternative()
    launchers = {"runLauncher": {"type": "CeleryK8sRunLauncher", "config": config}}
    options = config["celeryK8sRunLauncher"]["configSource"]["broker_transport_options"]
    sync_timeout = RudderStackResource.model_fields["sync_timeout_seconds"].default

    assert list(wrong(launchers, KEYS)) == []
    assert options["visibility_timeout"] > sync_timeout
