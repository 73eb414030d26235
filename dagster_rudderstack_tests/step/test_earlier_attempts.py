"""What a step reads of its earlier attempts, and how often."""

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import cast

import pytest

from dagster_rudderstack.step import resume
from dagster_rudderstack.step.dagster_step import DagsterStep
from dagster_rudderstack.step.records import SyncRecord
from dagster_rudderstack.step.resume import EarlierAttempts
from dagster_rudderstack.sync.request import SyncRequest


def test_records__read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many threads that need the records of a run at the same time read them once."""
    reads: list[str] = []

    def read_slowly(_: object, run_id: str) -> list[SyncRecord]:
        reads.append(run_id)
        time.sleep(0.1)
        return []

    monkeypatch.setattr(resume, "read_records", read_slowly)
    step = SimpleNamespace(ancestry=[SimpleNamespace(run_id="run")], instance=None)
    earlier = EarlierAttempts(cast("DagsterStep", step))

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(earlier.last_record, [SyncRequest("crm")] * 8))

    assert found == [None] * 8
    assert reads == ["run"]
