"""Deferred assets that no polling sensor watches, or whose sensor is stopped."""

import contextlib
import logging
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.execution.api import execute_run
from dagster._core.remote_representation.external import RemoteRepository
from dagster._core.test_utils import in_process_test_workspace
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.definitions import deferred_assets

MODULE = deferred_assets.__name__


def job_of_the_module() -> ReconstructableJob:
    """Return the job of all assets, with its definitions."""
    code = ReconstructableRepository.for_module(MODULE, "definitions")
    return code.get_reconstructable_job("__ASSET_JOB")


@dataclass
class Location:
    """The code location `deferred_assets` as Dagster's daemon sees it."""

    instance: dg.DagsterInstance
    repository: RemoteRepository

    def turn(self, sensor: str, *, on: bool) -> None:
        """Turn a sensor on or off, as a person does in the UI."""
        found = self.repository.get_sensor(sensor)
        if on:
            self.instance.start_sensor(found)
        else:
            self.instance.stop_sensor(found.get_remote_origin_id(), found.selector_id, found)

    def warnings(self, *keys: str) -> list[str]:
        """Launch a run of some assets and return the warnings in its log."""
        job = self.repository.get_full_job("__ASSET_JOB")
        code = job_of_the_module()
        run = self.instance.create_run_for_job(
            code.get_definition(),
            asset_selection=frozenset(map(dg.AssetKey.from_user_string, keys)),
            job_code_origin=code.get_python_origin(),
            remote_job_origin=job.get_remote_origin(),
        )
        result = execute_run(code, run, self.instance)
        assert result.success
        return warnings_of(self.instance, run.run_id)


def warnings_of(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """Return the warnings in the log of a run."""
    entries = instance.all_logs(run_id)
    return [each.user_message for each in entries if each.level == logging.WARNING]


@pytest.fixture(autouse=True)
def connections(server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the connections of the assets, and let the code location find the server."""
    names = ("watched", "by_default", "twice", "unwatched", "unwatched_eu", "waiting", "prefixed")
    for name in (*names, *(f"c{number}" for number in range(5))):
        server.add_connection(name)
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
    monkeypatch.setenv("RUDDERSTACK_API_URL", server.url)


@pytest.fixture
def location(stored_instance: dg.DagsterInstance) -> Iterator[Location]:
    """The code location, whose sensors were never turned on or off."""
    target = LoadableTargetOrigin(
        executable_path=sys.executable, module_name=MODULE, attribute="definitions"
    )
    with in_process_test_workspace(stored_instance, target) as workspace:
        (code_location,) = workspace.code_locations
        (repository,) = code_location.get_repositories().values()
        yield Location(stored_instance, repository)


NO_SENSOR = (
    "No polling sensor of this code location reports the syncs of {}. With wait=False, the step "
    "only starts them, so Dagster does not learn how they end. Add to the definitions: "
    "sensors=[build_rudderstack_polling_sensor({})]. In the YAML of a component: "
    "polling_sensor: true."
)
STOPPED = (
    "The sensor {!r}, which reports the syncs of {!r}, is stopped. Until it runs, Dagster does not "
    "learn how they end. Turn it on under Automation in Dagster's UI. To have a new sensor on from "
    "the beginning, build it with default_status=dg.DefaultSensorStatus.RUNNING. In the YAML of a "
    "component: polling_sensor: {{default_status: RUNNING}}."
)

WARNINGS: dict[str, list[str]] = {
    "unwatched": [NO_SENSOR.format("'unwatched'", "assets=[...]")],
    "unwatched_eu": [
        NO_SENSOR.format("'unwatched_eu'", "assets=[...], resource_key='rudderstack_eu'")
    ],
    "watched": [STOPPED.format("off", "watched")],
    "prefix/prefixed": [STOPPED.format("off_for_others", "prefix/prefixed")],
    "by_default": [],
    "twice": [],
    "waiting": [],
}


@pytest.mark.parametrize(("key", "warnings"), WARNINGS.items(), ids=WARNINGS.keys())
def test_warning(location: Location, key: str, warnings: list[str]) -> None:
    """The log of a deferred step says that no sensor watches its asset, or that it is stopped. One
    sensor that runs is enough. A prefix of the key changes nothing."""
    assert location.warnings(key) == warnings


def test_warning__group(location: Location) -> None:
    """A step of many connections gives one warning, with a few of their assets."""
    assert location.warnings(*(f"c{number}" for number in range(5))) == [
        NO_SENSOR.format("'c0', 'c1', 'c2' and 2 more assets", "assets=[...]")
    ]


def test_turned_on(location: Location) -> None:
    """A sensor that a person has turned on gives no warning."""
    location.turn("off", on=True)

    assert location.warnings("watched") == []


def test_turned_off(location: Location) -> None:
    """A sensor that a person has turned off gives a warning, also if it is on by default."""
    location.turn("on", on=False)

    assert location.warnings("by_default") == [STOPPED.format("on", "by_default")]


def test_unknown_state(stored_instance: dg.DagsterInstance) -> None:
    """A run that was launched without a code location, as by `dagster job execute`, warns of a
    missing sensor, and not of a stopped one, whose state it cannot know."""
    selected = [dg.AssetKey("watched"), dg.AssetKey("unwatched")]

    with dg.execute_job(job_of_the_module(), stored_instance, asset_selection=selected) as result:
        assert result.success

    assert warnings_of(stored_instance, result.run_id) == WARNINGS["unwatched"]


def test_unreadable_state(location: Location) -> None:
    """A state that cannot be read does not fail the step."""
    database = Path(location.instance.root_directory) / "schedules" / "schedules.db"
    with contextlib.closing(sqlite3.connect(database)) as schedules:
        schedules.execute("DROP TABLE instigators")
        schedules.execute("DROP TABLE jobs")

    assert location.warnings("watched") == []


def test_materialize(rudderstack: RudderStackResource, stored_instance: dg.DagsterInstance) -> None:
    """`dg.materialize`, as in a test, has no code location and gives no warning."""
    asset = deferred_assets.deferred("unwatched")

    result = dg.materialize(
        [asset], instance=stored_instance, resources={"rudderstack": rudderstack}
    )

    assert result.success
    assert warnings_of(stored_instance, result.run_id) == []
