"""Dagster's database goes away while syncs run."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.group import add, group, starts
from dagster_rudderstack_tests.step.world import resource_of, run, sync_ids, when


@dataclass
class Outage:
    """Makes each call of the storage fail while it lasts, by the clock of the test."""

    begin: float = float("inf")
    end: float = float("inf")
    failures: list[str] = field(default_factory=list)

    def start(self, seconds: float) -> None:
        """Begin the outage."""
        self.begin = time.monotonic()
        self.end = self.begin + seconds

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call, which fails during the outage."""

        def guarded(*args: Any, **options: Any) -> Any:
            if self.begin <= time.monotonic() < self.end:
                self.failures.append(name)
                raise OSError("connection refused")
            return call(*args, **options)

        return guarded


def observations(instance: dg.DagsterInstance, key: str) -> int:
    return len(instance.fetch_observations(dg.AssetKey(key), limit=10).records)


@pytest.fixture
def outage(stored_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Outage:
    """An outage of the database, which a test begins."""
    made = Outage()
    storages = {
        stored_instance.event_log_storage: ["store_event", "get_records_for_run"],
        stored_instance.run_storage: ["get_runs", "get_run_records"],
    }
    for storage, names in storages.items():
        for name in names:
            monkeypatch.setattr(storage, name, made.around(name, getattr(storage, name)))
    return made


@pytest.mark.parametrize("names", [["one"], ["one", "two", "three"]], ids=["single", "group"])
@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_outage(
    server: LocalRudderStack,
    stored_instance: dg.DagsterInstance,
    outage: Outage,
    names: list[str],
    status: str,
) -> None:
    """Each sync is started once and reported once when the database is back, although it ended
    while its progress could not be logged."""
    add(server, *names, script=SyncScript(duration_seconds=1, status=status))

    with when(lambda: len(server.starts()) == len(names), lambda: outage.start(3)):
        result = run([group(*names)], resource_of(server), stored_instance)

    assert outage.failures
    assert starts(server) == dict.fromkeys(names, 1)
    if status == "succeeded":
        assert result.success
        assert set(sync_ids(result)) == {sync.id for sync in server.syncs()}
        assert len(sync_ids(result)) == len(names)
    else:
        observed = {name: observations(stored_instance, name) for name in names}
        assert observed == dict.fromkeys(names, 1)


def test_outage__longer_than_tolerated(
    server: LocalRudderStack, stored_instance: dg.DagsterInstance, outage: Outage
) -> None:
    """After the outage tolerance the step fails with the error of the database."""
    add(server, "one", script=SyncScript(duration_seconds=1))
    rudderstack = resource_of(server, outage_tolerance_seconds=2)

    with (
        when(lambda: bool(server.starts()), lambda: outage.start(60)),
        pytest.raises(OSError, match="connection refused"),
    ):
        run([group("one")], rudderstack, stored_instance)

    assert starts(server) == {"one": 1}
    assert outage.begin + 2 < time.monotonic() < outage.end
